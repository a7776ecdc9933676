import { PopulaceError } from "@populace/domain";
import { CanonicalReader, CanonicalWriter } from "./canonical.ts";
import { ARITHMETIC_PROFILES, KERNEL_SPEC, type Plan } from "./plan.ts";

/** The specification that a RunSpec of a behavior names in place of a kernel's. */
export const BEHAVIOR_SPEC = "behavior-1";
/** The first text of a behavior plan's canonical bytes. */
export const BEHAVIOR_MAGIC = "populace behavior 1";

/** What a researcher's behavior adds to a plan. */
export interface PlanBehavior {
  readonly name: string;
  /** The module's source, one ES module without types: the plan's hash covers it, and wherever the plan goes the module goes. */
  readonly module: string;
  /** Agents of a block, a power of two of at most 2^20: smaller than a kernel's, because a call costs more than an exposure. */
  readonly blockAgents: number;
  /** Whether agents send messages: then every tick ends in a barrier. */
  readonly hasMessages: boolean;
  /** In the order of their names. */
  readonly parameters: readonly { readonly name: string; readonly value: number }[];
}

/**
 * A plan whose agents are moved by a behavior instead of a kernel. To whoever counts it is a plan like any other, of one world, one
 * scenario and one cell: its stimulus is the tick, which meets every agent once; its steps are the behavior's counters; the last
 * column counts the messages sent. The parts that only a kernel reads are empty.
 */
export interface BehaviorPlan extends Plan {
  readonly behavior: PlanBehavior;
}

/** What a behavior plan is made of; the rest follows from it. */
export type BehaviorParts = Pick<BehaviorPlan, "seed" | "ticks" | "behavior"> & {
  readonly counters: readonly string[];
  readonly personas: readonly { readonly id: string; readonly key: readonly [number, number]; readonly agents: number }[];
};

/** Whether a behavior moves the agents of a plan. */
export const isBehaviorPlan = (plan: Plan): plan is BehaviorPlan => "behavior" in plan;

/** Whether a tick needs what other shards did in the tick before it, so that no output covers more than one tick. */
export const isCoupled = (plan: Plan): boolean => plan.influence !== null || (isBehaviorPlan(plan) && plan.behavior.hasMessages);

/** The plan of its parts. */
export function behaviorPlan({ seed, ticks, behavior, counters, personas }: BehaviorParts): BehaviorPlan {
  const none = { int8: new Uint8Array(0), int16: new Int16Array(0), int32: new Int32Array(0) };
  return {
    kernelSpec: KERNEL_SPEC, arithmeticProfile: ARITHMETIC_PROFILES[0], seed, worlds: 1, ticks, ordinalsMax: 1, slots: 0, slotKind: none.int8, tableOffset: none.int16, tableLength: 0, factors: 0,
    steps: counters, stimuli: [{ id: "tick", contact: false }],
    personas: personas.map(({ id, key, agents }) => ({ id, key, agents, worldShift: 0, traits: [], copula: none.int16, returnThreshold: 0 })),
    scenarios: [{ name: "run", schedule: new Int16Array(ticks * personas.length) }], cells: [{ scenario: 0, stimulus: 0 }],
    weights: none.int16, tables: none.int32, factorWeights: none.int16, bias: none.int32, leaveBias: none.int32, drawBits: none.int8, leaveBits: none.int8, offset: none.int32,
    pressureWeight: none.int32, pressureLeaveWeight: 0, pressureGain: 0, pressureGainResponse: 0, gapTicks: 0, influence: null,
    behavior,
  };
}

/** Canonical bytes of a behavior plan. */
export function encodeBehaviorPlan({ seed, ticks, behavior, steps, personas }: BehaviorPlan): Uint8Array {
  const writer = new CanonicalWriter();
  writer.text(BEHAVIOR_MAGIC).text(BEHAVIOR_SPEC).u32(seed[0]).u32(seed[1]).u32(ticks);
  writer.text(behavior.name).text(behavior.module).u32(behavior.blockAgents).u32(behavior.hasMessages ? 1 : 0);
  writer.u32(behavior.parameters.length);
  for (const { name, value } of behavior.parameters) writer.text(name).array(Float64Array.of(value));
  writer.u32(steps.length);
  for (const counter of steps) writer.text(counter);
  writer.u32(personas.length);
  for (const { id, key, agents } of personas) writer.text(id).u32(key[0]).u32(key[1]).u32(agents);
  return writer.finish();
}

/** The plan of its canonical bytes; CORRUPT when they are not a whole one, BAD_STUDY when another version made them. */
export function decodeBehaviorPlan(bytes: Uint8Array): BehaviorPlan {
  const reader = new CanonicalReader(bytes, "the behavior plan");
  reader.text();
  const spec = reader.text();
  if (spec !== BEHAVIOR_SPEC) throw new PopulaceError("BAD_STUDY", `the plan is made for ${spec}; this version runs ${BEHAVIOR_SPEC}: submit the behavior again`, { spec });
  const many = <T>(read: () => T): T[] => Array.from({ length: reader.u32() }, read);
  const parts: BehaviorParts = {
    seed: [reader.u32(), reader.u32()],
    ticks: reader.u32(),
    behavior: {
      name: reader.text(), module: reader.text(), blockAgents: reader.u32(), hasMessages: reader.u32() === 1,
      parameters: many(() => ({ name: reader.text(), value: reader.array(Float64Array)[0] })),
    },
    counters: many(() => reader.text()),
    personas: many(() => ({ id: reader.text(), key: [reader.u32(), reader.u32()] as const, agents: reader.u32() })),
  };
  reader.end();
  return behaviorPlan(parts);
}
