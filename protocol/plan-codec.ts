import { PopulaceError } from "@populace/domain";
import { BEHAVIOR_MAGIC, BEHAVIOR_SPEC, decodeBehaviorPlan, encodeBehaviorPlan, isBehaviorPlan } from "./behavior-plan.ts";
import { JOB_MAGIC, JOB_SPEC, decodeJobPlan, encodeJobPlan, isJobPlan } from "./job-plan.ts";
import { CanonicalReader, CanonicalWriter, toHex, type Sha256 } from "./canonical.ts";
import type { RunSpec } from "./messages.ts";
import { ARITHMETIC_PROFILES, KERNEL_SPEC, type Plan, type PlanInfluence, type PlanPersona, type PlanScenario, type PlanTrait } from "./plan.ts";

const PLAN_MAGIC = "populace plan 2";
const RUN_MAGIC = "populace run 1";
const LEVEL = 0;
const GRID = 1;

/** The canonical bytes of a plan: equal plans give equal bytes, so their SHA-256 is `planHash` and their blob address. */
export function encodePlan(plan: Plan): Uint8Array {
  if (isBehaviorPlan(plan)) return encodeBehaviorPlan(plan);
  if (isJobPlan(plan)) return encodeJobPlan(plan);
  const writer = new CanonicalWriter();
  writer.text(PLAN_MAGIC).text(plan.kernelSpec).text(plan.arithmeticProfile);
  writer.u32(plan.seed[0]).u32(plan.seed[1]).u32(plan.worlds).u32(plan.ticks).u32(plan.ordinalsMax).u32(plan.slots).u32(plan.tableLength).u32(plan.factors);
  writer.array(plan.slotKind).array(plan.tableOffset);
  writer.u32(plan.steps.length);
  for (const step of plan.steps) writer.text(step);
  writer.u32(plan.stimuli.length);
  for (const stimulus of plan.stimuli) writer.text(stimulus.id).u32(stimulus.contact ? 1 : 0);
  writer.u32(plan.personas.length);
  for (const persona of plan.personas) writePersona(writer, persona);
  writer.u32(plan.scenarios.length);
  for (const scenario of plan.scenarios) writer.text(scenario.name).array(scenario.schedule);
  writer.u32(plan.cells.length);
  for (const cell of plan.cells) writer.u32(cell.scenario).u32(cell.stimulus);
  writer.array(plan.weights).array(plan.tables).array(plan.factorWeights).array(plan.bias).array(plan.leaveBias).array(plan.drawBits).array(plan.leaveBits).array(plan.offset).array(plan.pressureWeight);
  writer.i32(plan.pressureLeaveWeight).u32(plan.pressureGain).u32(plan.pressureGainResponse).u32(plan.gapTicks);
  writer.u32(plan.influence === null ? 0 : 1);
  if (plan.influence !== null) writeInfluence(writer, plan.influence);
  return writer.finish();
}

/** The plan of its canonical bytes. CORRUPT when they are not a whole plan, BAD_STUDY when of another kernel or profile. */
export function decodePlan(bytes: Uint8Array): Plan {
  const reader = new CanonicalReader(bytes, "the plan");
  const magic = reader.text();
  if (magic === BEHAVIOR_MAGIC) return decodeBehaviorPlan(bytes);
  if (magic === JOB_MAGIC) return decodeJobPlan(bytes);
  if (magic !== PLAN_MAGIC) throw new PopulaceError("CORRUPT", "the bytes are not a plan of format 2", {});
  const kernelSpec = reader.text();
  const profile = reader.text();
  const arithmeticProfile = ARITHMETIC_PROFILES.find((each) => each === profile);
  if (kernelSpec !== KERNEL_SPEC || arithmeticProfile === undefined) {
    throw new PopulaceError("BAD_STUDY", `the plan is made for kernel ${kernelSpec}, profile ${profile}; this version runs ${KERNEL_SPEC}, ${ARITHMETIC_PROFILES.join(" or ")}: compile the study again`, { kernelSpec, arithmeticProfile: profile });
  }
  const seed = [reader.u32(), reader.u32()] as const;
  const worlds = reader.u32();
  const ticks = reader.u32();
  const ordinalsMax = reader.u32();
  const slots = reader.u32();
  const tableLength = reader.u32();
  const factors = reader.u32();
  const plan: Plan = {
    kernelSpec, arithmeticProfile, seed, worlds, ticks, ordinalsMax, slots, tableLength, factors,
    slotKind: reader.array(Uint8Array),
    tableOffset: reader.array(Int16Array),
    steps: many(reader, () => reader.text()),
    stimuli: many(reader, () => ({ id: reader.text(), contact: reader.u32() === 1 })),
    personas: many(reader, () => readPersona(reader)),
    scenarios: many(reader, (): PlanScenario => ({ name: reader.text(), schedule: reader.array(Int16Array) })),
    cells: many(reader, () => ({ scenario: reader.u32(), stimulus: reader.u32() })),
    weights: reader.array(Int16Array),
    tables: reader.array(Int32Array),
    factorWeights: reader.array(Int16Array),
    bias: reader.array(Int32Array),
    leaveBias: reader.array(Int32Array),
    drawBits: reader.array(Uint8Array),
    leaveBits: reader.array(Uint8Array),
    offset: reader.array(Int32Array),
    pressureWeight: reader.array(Int32Array),
    pressureLeaveWeight: reader.i32(),
    pressureGain: reader.u32(),
    pressureGainResponse: reader.u32(),
    gapTicks: reader.u32(),
    influence: reader.u32() === 1 ? readInfluence(reader) : null,
  };
  reader.end();
  return plan;
}

/** SHA-256 (hex) of the plan's canonical bytes. */
export const planHash = (plan: Plan, sha256: Sha256): string => toHex(sha256(encodePlan(plan)));

/** What a run of this plan is. */
export function runSpecOf(plan: Plan, hash: string): RunSpec {
  if (isJobPlan(plan)) return { kernelSpec: JOB_SPEC, arithmeticProfile: "doubles", planHash: hash, seed: plan.seed, agents: 0, ticks: plan.ticks };
  return {
    ...(isBehaviorPlan(plan) ? { kernelSpec: BEHAVIOR_SPEC, arithmeticProfile: "integers" } : { kernelSpec: plan.kernelSpec, arithmeticProfile: plan.arithmeticProfile }),
    planHash: hash,
    seed: plan.seed,
    agents: plan.personas.reduce((sum, persona) => sum + persona.agents, 0),
    ticks: plan.ticks,
  };
}

/** The run's identity: SHA-256 (hex) of the spec's canonical bytes. No part of the execution plan enters it. */
export function runIdOf(spec: RunSpec, sha256: Sha256): string {
  const writer = new CanonicalWriter();
  writer.text(RUN_MAGIC).text(spec.kernelSpec).text(spec.arithmeticProfile).text(spec.planHash);
  writer.u32(spec.seed[0]).u32(spec.seed[1]).u32(spec.agents).u32(spec.ticks);
  return toHex(sha256(writer.finish()));
}

function many<T>(reader: CanonicalReader, read: () => T): T[] {
  const count = reader.u32();
  const values: T[] = [];
  for (let index = 0; index < count; index += 1) values.push(read());
  return values;
}

function writePersona(writer: CanonicalWriter, persona: PlanPersona): void {
  writer.text(persona.id).u32(persona.key[0]).u32(persona.key[1]).u32(persona.agents).u32(persona.worldShift);
  writer.u32(persona.traits.length);
  for (const trait of persona.traits) {
    writer.u32(trait.slot).u32(trait.kind === "level" ? LEVEL : GRID);
    if (trait.kind === "level") writer.array(trait.cumulative).array(trait.codes);
    else writer.array(trait.quantiles).array(trait.offset).array(trait.scale);
  }
  writer.array(persona.copula).u32(persona.returnThreshold);
}

function readPersona(reader: CanonicalReader): PlanPersona {
  return {
    id: reader.text(),
    key: [reader.u32(), reader.u32()],
    agents: reader.u32(),
    worldShift: reader.u32(),
    traits: many(reader, (): PlanTrait => {
      const slot = reader.u32();
      return reader.u32() === LEVEL
        ? { slot, kind: "level", cumulative: reader.array(Uint32Array), codes: reader.array(Int8Array) }
        : { slot, kind: "grid", quantiles: reader.array(Int32Array), offset: reader.array(Int32Array), scale: reader.array(Int32Array) };
    }),
    copula: reader.array(Int16Array),
    returnThreshold: reader.u32(),
  };
}

function writeInfluence(writer: CanonicalWriter, influence: PlanInfluence): void {
  writer.array(influence.rowStart).array(influence.source).array(influence.weight).array(influence.shareThreshold);
  writer.i32(influence.warmthDecay).i32(influence.warmthGain).i32(influence.warmthMax).u32(influence.awareGain).u32(influence.awareMax);
  writer.array(influence.awareWeight);
}

function readInfluence(reader: CanonicalReader): PlanInfluence {
  return {
    rowStart: reader.array(Int32Array),
    source: reader.array(Int32Array),
    weight: reader.array(Int32Array),
    shareThreshold: reader.array(Uint32Array),
    warmthDecay: reader.i32(),
    warmthGain: reader.i32(),
    warmthMax: reader.i32(),
    awareGain: reader.u32(),
    awareMax: reader.u32(),
    awareWeight: reader.array(Int32Array),
  };
}
