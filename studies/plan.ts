import { createHash } from "node:crypto";
import { BINARY_CODE, CODES_PER_UNIT, PopulaceError, RandomStream, foldStep, foldUnseen, largestRemainder, leaveLogits, thousands } from "@populace/domain";
import type { FoldedStep, Stimulus } from "@populace/domain";
import { personaKey, thinningOf } from "@populace/kernels";
import { KERNEL_SPEC, SLOT_KIND, STEPS_MAX } from "@populace/protocol";
import type { Plan, PlanPersona, PlanScenario, PlanTrait } from "@populace/protocol";
import type { Model } from "./model.ts";
import { FACTOR_DIFFERENCE_MAX, factorForm } from "./plan-factor.ts";
import { planInfluence } from "./plan-influence.ts";
import { BINARY_CODES, planCopula, planTrait } from "./plan-population.ts";
import { rowRateShifts } from "./plan-row-rates.ts";
import { shockOffset } from "./plan-shocks.ts";
import { boundedRate } from "./rates.ts";
import { FACTOR_AGENTS_MIN, OUTSIDE, STUDY_LIMITS, outsideContacts, partOf, personasOf, stimuliOf } from "./study.ts";
import type { Study, StudyHistory } from "./study.ts";

const Q14 = 16_384;
/** A weight in Q3.12 on codes in Q0.7: one unit of weight and one unit of code are 2^-19 on the logit scale. */
const WEIGHT_UNIT = 2 ** 19;
const WEIGHT_MAX = 32_767;
const SLOTS_MAX = 64;
/** Entries of one row of level tables: offsets are int16. */
const TABLE_MAX = 32_000;
/** A logit beyond this is no rate any more; it also keeps every sum of the kernel inside 32 bits. */
const LOGIT_MAX = 8_192;
/** A logit that nothing lifts to a chance worth counting (the kernel's least is 1e-7). */
const NEVER_LOGIT = -4_096;
/** Integers one plan may hold over all its arrays. */
const PLAN_NUMBERS_MAX = 200_000_000;

/** How the personas, stimuli and worlds of a plan came out of the model. */
export interface PlanSource {
  /** Model index of each of the plan's personas; one occurs as often as the study has histories. */
  readonly personas: readonly number[];
  /** Of each of the plan's personas: its id, and its history where the study has some. */
  readonly parts: readonly { readonly id: string; readonly share: number; readonly history: StudyHistory | null }[];
  readonly stimuli: readonly Stimulus[];
  /** Model world of each of the plan's worlds; empty = posterior means (`certain`). */
  readonly worlds: readonly number[];
}

export interface CompileOptions {
  /** One world at the posterior means of everything: no uncertainty, all intervals have width 0. */
  readonly certain?: boolean;
  /** Take only every second world, from the first (0) or the second (1) on: choose on one half, report on the other. */
  readonly half?: 0 | 1;
  /** All stimuli that the model has never seen get the same draws of what features do not explain: then they differ by their features alone, not by luck. */
  readonly unseenAlike?: boolean;
}

/**
 * The Plan of a study: all floats end here. Deterministic in (model, study); worlds are evenly spaced draws of the model; trait
 * parameters are drawn once a world by a stream named by persona and trait, so that adding a persona shifts nobody. Identical
 * worlds are merged into one. Throws TOO_LARGE above STUDY_LIMITS and ARITHMETIC_RANGE where a logit leaves the profile.
 * Cost: worlds x stimuli x steps folds; the number of agents costs nothing.
 */
export function compilePlan(model: Model, study: Study, options: CompileOptions = {}): Plan {
  return compileStudy(model, study, options).plan;
}

/** A plan and how its agents are drawn. */
export interface CompiledStudy {
  readonly plan: Plan;
  readonly form: "coded" | "factor";
  /** Why this form, for people; "" where nothing was chosen for them. */
  readonly note: string;
  /** Largest relative difference of any mean rate between the two forms; null when only the coded one was made. */
  readonly formDifference: number | null;
}

/**
 * The same with the form of its population. BAD_STUDY when the factor form was asked for and a mean rate differs by more than 1 % from the coded
 * one's: more factors come closer.
 */
export function compileStudy(model: Model, study: Study, options: CompileOptions = {}): CompiledStudy {
  const plan = assemble(model, study, options);
  const merged = mergeIdenticalWorlds(model.rowRates === undefined ? plan : onRowRates(plan, model, study, options));
  const coded: Plan = { ...merged, personas: merged.personas.map((persona) => ({ ...persona, worldShift: worldShift(persona.agents, merged.worlds) })) };
  const { form, factors, precision, draws } = study.population;
  const isHuge = study.agents >= FACTOR_AGENTS_MIN && precision === "int8";
  if (form === "coded" || (form === "auto" && !isHuge)) return { plan: withThinning(coded, draws === "thinned"), form: "coded", note: "", formDifference: null };

  const { plan: factor, difference } = factorForm(coded, factors);
  const at = `${(difference.largest * 100).toFixed(2)} % (persona ${difference.persona}, stimulus ${difference.stimulus}, step ${difference.step})`;
  if (difference.largest <= FACTOR_DIFFERENCE_MAX) {
    const why = form === "auto" ? `${thousands(study.agents)} agents are drawn in the factor form` : "the factor form";
    return { plan: withThinning(factor, draws !== "dense"), form: "factor", note: `${why}: ${factors} latent factors a persona; no mean rate differs by more than ${at} from the coded form`, formDifference: difference.largest };
  }
  const refusal = `the factor form with ${factors} factors moves a mean rate by ${at}, more than ${FACTOR_DIFFERENCE_MAX * 100} %`;
  if (form === "factor") throw new PopulaceError("BAD_STUDY", `study ${study.name}: ${refusal}; ${factors < 16 ? "set population.factors to 16, or " : ""}use population.form: coded`, { study: study.name, difference: difference.largest });
  return { plan: withThinning(coded, draws === "thinned"), form: "coded", note: `${refusal}: agents are coded`, formDifference: difference.largest };
}

/**
 * Classes below which candidates cost more than the high bytes of all (measured, wasm: break even at 1 in 16 to 32 for the funnel, where everything else
 * is spared too, and 1 in 32 to 64 for leaving).
 */
const DRAW_BITS_MIN = 5;
const LEAVE_BITS_MIN = 6;

/** Leaving is rare, so its draws are thinned wherever their bound allows; those of the funnel only where asked for, because rival studies may then share none. */
function withThinning(plan: Plan, thinsDraw: boolean): Plan {
  const { drawBits, leaveBits } = thinningOf(plan);
  return { ...plan, drawBits: drawBits.map((bits) => (!thinsDraw || bits < DRAW_BITS_MIN ? 0 : bits)), leaveBits: leaveBits.map((bits) => (bits < LEAVE_BITS_MIN ? 0 : bits)) };
}

function assemble(model: Model, study: Study, options: CompileOptions & { readonly certainTraits?: boolean }): Plan {
  const source = planSource(model, study, options);
  const { personas, stimuli } = source;
  const codings = model.mixture.codings;
  const steps = model.response.steps.map((step) => step.name);
  const worlds = Math.max(1, source.worlds.length);
  refuseTooLarge(model, study, stimuli.length, worlds);

  const folds = foldAll(model, study, source, options);
  const layout = slotLayout(model, folds, study.population.precision);
  const streams = RandomStream.of(study.seed, `population${ofHalf(options)}`);
  const agents = largestRemainder(source.parts.map(({ share }) => share), study.agents);
  const traitsOf = (index: number): readonly PlanTrait[] => {
    const persona = model.mixture.personas[index], isCertain = source.worlds.length === 0 || options.certainTraits === true;
    const slots = layout.traits.map((trait, slot) => `${trait}${layout.isTable[slot] ? "t" : ""}`);
    return rememberedTraits(model, `${isCertain ? "-" : study.seed}${ofHalf(options)} ${worlds} ${index} ${slots.join(" ")}`, () => layout.traits.map((trait, slot) =>
      planTrait(persona.traits[trait], codings[trait], slot, worlds, isCertain ? null : streams.child(persona.id).child(codings[trait].name), layout.isTable[slot] ? [0, 1] : BINARY_CODES)));
  };
  const planPersonas = personas.map(
    (index, position): PlanPersona => ({
      id: source.parts[position].id as PlanPersona["id"],
      key: keyOfPersona(study.seed, source.parts[position].id),
      agents: agents[position],
      worldShift: 0,
      traits: traitsOf(index),
      copula: planCopula(model.mixture.personas[index], layout.traits),
      returnThreshold: Math.min(0xffff_ffff, Math.round(study.returnRate * 2 ** 32)),
    }),
  );
  const schedule = scenariosOf(model, study, source);
  const integers = quantize(model, source, folds, layout, worlds, study.seed, options);
  return {
    kernelSpec: KERNEL_SPEC,
    arithmeticProfile: study.population.precision === "int16" ? "nest16-2" : "nest8-2",
    seed: seedWords(study.seed),
    worlds,
    ticks: study.ticks,
    ordinalsMax: schedule.ordinalsMax,
    slots: layout.slots,
    slotKind: layout.slotKind,
    tableOffset: layout.tableOffset,
    tableLength: layout.tableLength,
    factors: 0,
    steps,
    stimuli: stimuli.map((stimulus) => ({ id: stimulus.id, contact: stimulus.contact })),
    personas: planPersonas,
    scenarios: schedule.scenarios,
    cells: cellsOf(schedule.scenarios),
    ...integers,
    factorWeights: new Int16Array(0),
    drawBits: new Uint8Array(worlds * personas.length),
    leaveBits: new Uint8Array(worlds * personas.length),
    offset: offsetsOf(model, study, source, steps.length),
    pressureWeight: new Int32Array(steps.length).fill(Math.round(study.pressure.logitPerUnit * Q14)),
    pressureLeaveWeight: Math.round(study.pressure.leaveLogitPerUnit * Q14),
    pressureGain: study.pressure.perContact,
    pressureGainResponse: study.pressure.perResponse,
    gapTicks: study.pressure.gapTicks,
    influence: study.influence === null ? null : planInfluence(study.influence, planPersonas.map((persona) => persona.id), steps.length, study.seed),
  };
}

/** Traits of the personas of models in use. Drawing their worlds is a third of compiling, and questions about one model share them. */
const TRAITS = new WeakMap<Model, Map<string, readonly PlanTrait[]>>();
/** Lists of traits remembered for a model: those of a few studies. */
const TRAITS_MOST = 256;

function rememberedTraits(model: Model, key: string, make: () => readonly PlanTrait[]): readonly PlanTrait[] {
  let known = TRAITS.get(model);
  if (known === undefined) TRAITS.set(model, (known = new Map()));
  let traits = known.get(key);
  if (traits === undefined) {
    if (known.size === TRAITS_MOST) known.delete(known.keys().next().value!);
    known.set(key, (traits = make()));
  }
  return traits;
}

/**
 * The plan with its biases moved so that the agents' expected rates are those of the persona's real rows (`rowRates`), world by
 * world, where the model knows them. The move is found on agents with mean trait parameters and without shocks, so that the
 * uncertainty of the traits and the shocks stay in the plan.
 */
function onRowRates(plan: Plan, model: Model, study: Study, options: CompileOptions): Plan {
  const source = planSource(model, study, options);
  const known = source.stimuli.map((stimulus) => model.response.stimuli.findIndex((other) => other.id === stimulus.id));
  if (known.every((index) => index < 0)) return plan;
  const bare: Model = { ...model, shocks: [] };
  const still: Study = { ...study, ticks: 1, shocks: [], scenarios: [], influence: null };
  const steps = plan.steps.length;
  const rows = source.personas.map((persona) => model.rowRates?.[model.mixture.personas[persona].id]);
  const shift = rowRateShifts(assemble(bare, still, { ...options, certain: true }), assemble(bare, still, { ...options, certainTraits: true }), (world, persona, stimulus, step) => {
    const rates = rows[persona];
    if (rates === undefined || known[stimulus] < 0) return null;
    // The row after the last world is that of the posterior means.
    const at = ((world === null ? model.response.worlds : (source.worlds.at(world) ?? model.response.worlds)) * model.response.stimuli.length + known[stimulus]) * steps + step;
    return boundedRate(rates[at] / (step === 0 ? 1 : rates[at - 1]));
  });
  return { ...plan, bias: plan.bias.map((bias, at) => bias + Math.round(shift[at] * Q14)) };
}

/** Which of the model's personas, stimuli and worlds a study's plan holds, in order. */
export function planSource(model: Model, study: Study, options: CompileOptions = {}): PlanSource {
  const count = Math.min(study.worlds, model.response.worlds);
  const worlds = Array.from({ length: count }, (_, world) => Math.floor(((world + 0.5) * model.response.worlds) / count));
  const half = options.half === undefined || count === 1 ? worlds : worlds.filter((_, index) => index % 2 === options.half);
  const personas = personasOf(model, study).flatMap((index): { index: number; part: PlanSource["parts"][number] }[] => {
    const { id, share } = model.mixture.personas[index];
    if (study.histories.length === 0) return [{ index, part: { id, share, history: null } }];
    return study.histories.map((history) => ({ index, part: { id: partOf(id, history), share: share * history.share, history } }));
  });
  const stimuli = stimuliOf(model, study);
  return {
    personas: personas.map(({ index }) => index), parts: personas.map(({ part }) => part), stimuli: study.histories.length === 0 ? stimuli : [...stimuli, OUTSIDE], worlds: options.certain === true ? [] : half,
  };
}

/** The Philox key of a persona under a seed. */
export function keyOfPersona(seed: number, personaId: string): readonly [number, number] {
  return personaKey(seedWords(seed), createHash("sha256").update(personaId, "utf8").digest());
}

/** The two words of a seed, low word first. */
export const seedWords = (seed: number): [number, number] => [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];

function refuseTooLarge(model: Model, study: Study, stimuli: number, worlds: number): void {
  const refuse = (what: string, value: number, limit: number, advice: string): never => {
    throw new PopulaceError("TOO_LARGE", `study ${study.name}: ${what} ${value}, the limit is ${limit}; ${advice}`, { study: study.name, what, value, limit });
  };
  if (study.agents > STUDY_LIMITS.agents) refuse("agents", study.agents, STUDY_LIMITS.agents, "intervals do not depend on the number of agents, a million is plenty");
  if (study.ticks > STUDY_LIMITS.ticks) refuse("ticks", study.ticks, STUDY_LIMITS.ticks, "use longer ticks");
  if (stimuli > STUDY_LIMITS.stimuli) refuse("stimuli", stimuli, STUDY_LIMITS.stimuli, "name fewer in `stimuli`");
  if (model.response.steps.length > STEPS_MAX) refuse("funnel steps", model.response.steps.length, STEPS_MAX, "name fewer in the schema");
  const rows = stimuli * model.response.steps.length;
  const numbers = worlds * rows * (model.mixture.codings.length + model.mixture.personas.length) + study.ticks * rows * model.mixture.personas.length;
  if (numbers > PLAN_NUMBERS_MAX) refuse("worlds x stimuli x steps x (traits + personas) + ticks x ... =", numbers, PLAN_NUMBERS_MAX, "use fewer worlds or stimuli");
}

/** What is drawn anew for each world must not be drawn alike in both halves: a winner would be judged by the luck that made it one. */
const ofHalf = (options: CompileOptions): string => (options.half === 1 ? ", other half" : "");

/** Folded coefficients, by [world][stimulus][step]. */
type Folds = readonly (readonly (readonly FoldedStep[])[])[];

/** Without uncertainty, what nobody has seen is at its prior mean. */
const NO_EFFECT = { normal: (): number => 0 };

function foldAll(model: Model, study: Study, source: PlanSource, options: CompileOptions): Folds {
  const { response, mixture } = model;
  const unseen = RandomStream.of(study.seed, `unseen stimulus${ofHalf(options)}`);
  const streams = source.stimuli.map((stimulus) => response.steps.map((step) => unseen.child(options.unseenAlike === true ? "" : stimulus.id).child(step.name)));
  const worlds: readonly (number | null)[] = source.worlds.length === 0 ? [null] : source.worlds;
  return worlds.map((world) =>
    source.stimuli.map((stimulus, position) => {
      const known = response.stimuli.findIndex((other) => other.id === stimulus.id);
      return response.stepModels.map((step, index) => {
        const p = response.terms.length;
        const coefficients = world === null ? step.mean : step.draws.subarray(world * p, (world + 1) * p);
        if (known >= 0) return foldStep(response, mixture.codings, index, known, coefficients);
        return foldUnseen(response, mixture.codings, index, stimulus, coefficients, world ?? 0, world === null ? NO_EFFECT : streams[position][index]);
      });
    }),
  );
}

interface SlotLayout {
  /** Coding index of the trait in each used slot. */
  readonly traits: readonly number[];
  /** Whether the slot's effect is a table by code: categoricals, and numeric weights too large for int16. */
  readonly isTable: readonly boolean[];
  /** Codes the slot's table covers: [first, count]. */
  readonly tableCodes: readonly (readonly [number, number])[];
  readonly slots: number;
  readonly slotKind: Uint8Array;
  readonly tableOffset: Int16Array;
  readonly tableLength: number;
}

/** Slots for the traits that have any effect, in the order of the codings. */
function slotLayout(model: Model, folds: Folds, precision: Study["population"]["precision"]): SlotLayout {
  const codings = model.mixture.codings;
  const all = folds.flat(2);
  const traits = codings
    .map((_, index) => index)
    .filter((trait) => all.some((fold) => (codings[trait].kind === "categorical" ? fold.levelTable[trait].some((value) => value !== 0) : fold.slotWeight[trait] !== 0)));
  if (traits.length > SLOTS_MAX) {
    throw new PopulaceError("TOO_LARGE", `model ${model.name}: ${traits.length} traits in the response model, the kernel holds ${SLOTS_MAX}; set inResponse: false for some in the schema`, { traits: traits.length });
  }
  const isTable = traits.map((trait) => codings[trait].kind === "categorical" || all.some((fold) => Math.abs(weightOf(model, trait, fold)) > WEIGHT_MAX));
  traits.forEach((trait, slot) => {
    // A number as a table has an entry a code, and int16 has 65,536 of them.
    if (precision === "int16" && isTable[slot] && (codings[trait].kind === "continuous" || codings[trait].kind === "count")) {
      throw new PopulaceError("ARITHMETIC_RANGE", `trait ${codings[trait].name} of model ${model.name} moves the logit by more than 4 a standard deviation, which fits no int16 weight; use precision: int8, or another scale of the attribute`, { trait: codings[trait].name });
    }
  });
  const tableCodes = traits.map((trait, slot): readonly [number, number] => {
    const kind = codings[trait].kind;
    return !isTable[slot] ? [0, 0] : kind === "categorical" ? [0, codings[trait].levels.length] : kind === "binary" ? [0, 2] : [-128, 256];
  });
  const slots = Math.max(16, Math.ceil(traits.length / 16) * 16);
  const slotKind = new Uint8Array(slots).fill(SLOT_KIND.unused);
  const tableOffset = new Int16Array(slots).fill(-1);
  let tableLength = 0;
  traits.forEach((_, slot) => {
    slotKind[slot] = isTable[slot] ? SLOT_KIND.level : SLOT_KIND.numeric;
    if (!isTable[slot]) return;
    const [first, count] = tableCodes[slot];
    if (tableLength + count > TABLE_MAX) throw new PopulaceError("TOO_LARGE", `model ${model.name}: more than ${TABLE_MAX} levels over all categorical traits; merge rare levels`, { levels: tableLength + count });
    tableOffset[slot] = tableLength - first;
    tableLength += count;
  });
  return { traits, isTable, tableCodes, slots, slotKind, tableOffset, tableLength };
}

/** Quantized weight of a numeric trait on its codes: logit = code * weight * 2^-19. */
function weightOf(model: Model, trait: number, fold: FoldedStep): number {
  return Math.round(fold.slotWeight[trait] * perCode(model, trait) * WEIGHT_UNIT);
}

/** The model's numeric value of one code. */
const perCode = (model: Model, trait: number): number => (model.mixture.codings[trait].kind === "binary" ? 1 / BINARY_CODE : 1 / CODES_PER_UNIT);

function quantize(model: Model, source: PlanSource, folds: Folds, layout: SlotLayout, worlds: number, seed: number, options: CompileOptions): Pick<Plan, "weights" | "tables" | "bias" | "leaveBias"> {
  const [stimuli, steps, personas] = [source.stimuli.length, model.response.steps.length, source.personas.length];
  const weights = new Int16Array(worlds * stimuli * steps * layout.slots);
  const tables = new Int32Array(worlds * stimuli * steps * layout.tableLength);
  const bias = new Int32Array(worlds * personas * stimuli * steps);
  const leaveBias = new Int32Array(worlds * personas * stimuli);
  const leaving = source.stimuli.map((stimulus) => RandomStream.of(seed, `unseen stimulus leaving${ofHalf(options)}`).child(options.unseenAlike === true ? "" : stimulus.id));
  const isCertain = source.worlds.length === 0, leavingOf = leaveLogits(model.response, model.mixture);
  for (let world = 0; world < worlds; world += 1) {
    for (let stimulus = 0; stimulus < stimuli; stimulus += 1) {
      const logits = leavingOf(source.stimuli[stimulus], isCertain ? null : source.worlds[world], isCertain ? NO_EFFECT : leaving[stimulus]);
      source.personas.forEach((persona, position) => {
        leaveBias[(world * personas + position) * stimuli + stimulus] = source.stimuli[stimulus] === OUTSIDE ? NEVER_LOGIT * Q14 : logitQ14(Math.max(-LOGIT_MAX, logits[persona]), () => `leaving, stimulus ${source.stimuli[stimulus].id}`);
      });
      for (let step = 0; step < steps; step += 1) {
        const fold = folds[world][stimulus][step];
        const row = (world * stimuli + stimulus) * steps + step;
        const place = (what: string) => () => `step ${model.response.steps[step].name}, stimulus ${source.stimuli[stimulus].id}, ${what}`;
        layout.traits.forEach((trait, slot) => {
          const coding = model.mixture.codings[trait];
          const [first, count] = layout.tableCodes[slot];
          if (!layout.isTable[slot]) weights[row * layout.slots + slot] = weightOf(model, trait, fold);
          for (let index = 0; index < count; index += 1) {
            const perUnit = coding.kind === "binary" ? 1 : perCode(model, trait);
            const value = coding.kind === "categorical" ? fold.levelTable[trait][index] : fold.slotWeight[trait] * (first + index) * perUnit;
            tables[row * layout.tableLength + layout.tableOffset[slot] + first + index] = logitQ14(value, place(`trait ${coding.name}`));
          }
        });
        if (source.stimuli[stimulus] === OUTSIDE) {
          source.personas.forEach((_, position) => { bias[((world * personas + position) * stimuli + stimulus) * steps + step] = NEVER_LOGIT * Q14; });
          continue;
        }
        source.personas.forEach((persona, position) => {
          bias[((world * personas + position) * stimuli + stimulus) * steps + step] = logitQ14(fold.personaBias[fold.personaBias.length === 1 ? 0 : persona], place(`persona ${model.mixture.personas[persona].id}`));
        });
      }
    }
  }
  return { weights, tables, bias, leaveBias };
}

function logitQ14(logit: number, place: () => string): number {
  if (!(Math.abs(logit) <= LOGIT_MAX)) {
    throw new PopulaceError("ARITHMETIC_RANGE", `${place()}: a logit of ${logit} leaves the arithmetic profile (at most ${LOGIT_MAX}); check the scale of the attribute or state a narrower prior`, { logit });
  }
  return Math.round(logit * Q14);
}

/** The courses of events as schedules. Contacts of one persona at one tick take its ordinals in the order of the study. */
function scenariosOf(model: Model, study: Study, { stimuli, personas, parts }: PlanSource): { readonly scenarios: readonly PlanScenario[]; readonly ordinalsMax: number } {
  const everyone: readonly string[] = [];
  const courses =
    study.scenarios.length > 0
      ? study.scenarios
      : stimuli.filter((stimulus) => stimulus !== OUTSIDE).map((stimulus) => ({ name: stimulus.id as string, contacts: [{ stimulus: stimulus.id as string, fromTick: 0, everyTicks: study.everyTicks, personas: everyone }] }));
  const shown = courses.map((course) => {
    // Contacts from elsewhere come first.
    const table: number[][] = Array.from({ length: study.ticks * personas.length }, (_, at) => {
      const { history } = parts[at % personas.length];
      return history === null ? [] : new Array<number>(outsideContacts(history, study.ticks)[Math.floor(at / personas.length)]).fill(stimuli.length - 1);
    });
    for (const contact of course.contacts) {
      const stimulus = stimuli.findIndex((other) => other.id === contact.stimulus);
      if (stimulus < 0) throw new PopulaceError("BAD_STUDY", `study ${study.name}: scenario ${course.name} shows ${contact.stimulus}, which \`stimuli\` leaves out; name it there`, { scenario: course.name, stimulus: contact.stimulus });
      for (let tick = contact.fromTick; tick < study.ticks; tick += contact.everyTicks > 0 ? contact.everyTicks : study.ticks) {
        personas.forEach((persona, position) => {
          if (contact.personas.length === 0 || contact.personas.includes(model.mixture.personas[persona].id) || contact.personas.includes(parts[position].id)) table[tick * personas.length + position].push(stimulus);
        });
      }
    }
    return { name: course.name, table };
  });
  const ordinalsMax = Math.max(1, ...shown.map(({ table }) => table.reduce((most, list) => Math.max(most, list.length), 0)));
  const scenarios = shown.map(({ name, table }) => {
    const schedule = new Int16Array(study.ticks * ordinalsMax * personas.length).fill(-1);
    table.forEach((list, index) => {
      const [tick, persona] = [Math.floor(index / personas.length), index % personas.length];
      list.forEach((stimulus, ordinal) => {
        schedule[(tick * ordinalsMax + ordinal) * personas.length + persona] = stimulus;
      });
    });
    return { name, schedule };
  });
  return { scenarios, ordinalsMax };
}

/** The (scenario, stimulus) pairs that occur, ascending. */
export function cellsOf(scenarios: readonly PlanScenario[]): Plan["cells"] {
  return scenarios.flatMap((course, scenario) =>
    [...new Set(course.schedule)].filter((stimulus) => stimulus >= 0).toSorted((a, b) => a - b).map((stimulus) => ({ scenario, stimulus })),
  );
}

function offsetsOf(model: Model, study: Study, source: PlanSource, steps: number): Int32Array {
  const shocks = [...model.shocks, ...study.shocks];
  const [personas, stimuli] = [source.personas.length, source.stimuli.length];
  const offset = new Int32Array(study.ticks * personas * stimuli * steps);
  if (shocks.length === 0) return offset;
  let at = 0;
  for (let tick = 0; tick < study.ticks; tick += 1) {
    for (const persona of source.personas) {
      for (const stimulus of source.stimuli) {
        for (let step = 0; step < steps; step += 1) {
          offset[at++] = logitQ14(shockOffset(shocks, tick, model.mixture.personas[persona].id, stimulus, step, steps), () => `shocks at tick ${tick}`);
        }
      }
    }
  }
  return offset;
}

/**
 * Neighbors in one world: 256 where every world still gets four such runs, 16 where it gets one, and as few as it takes below. Kernels work 16 agents at a
 * time and 256 best of all.
 */
function worldShift(agents: number, worlds: number): number {
  let shift = 8;
  while (shift > 4 && agents / 2 ** shift < 4 * worlds) shift -= 1;
  while (shift > 0 && agents / 2 ** shift < worlds) shift -= 1;
  return shift;
}

/** With no uncertainty left in the integers, many worlds are one world computed many times. */
function mergeIdenticalWorlds(plan: Plan): Plan {
  const { worlds } = plan;
  const same = (array: { readonly length: number; readonly [index: number]: number }): boolean => {
    const size = array.length / worlds;
    for (let at = size; at < array.length; at += 1) if (array[at] !== array[at - size]) return false;
    return true;
  };
  const traits = plan.personas.flatMap((persona) => persona.traits);
  const identical =
    worlds > 1 && [plan.weights, plan.tables, plan.bias, plan.leaveBias].every(same) && traits.every((trait) => (trait.kind === "level" ? same(trait.cumulative) : same(trait.offset) && same(trait.scale)));
  if (!identical) return plan;
  const first = <T extends { subarray(begin: number, end: number): T; slice(): T; length: number }>(array: T): T => array.subarray(0, array.length / worlds).slice();
  return {
    ...plan,
    worlds: 1,
    weights: first(plan.weights),
    tables: first(plan.tables),
    bias: first(plan.bias),
    leaveBias: first(plan.leaveBias),
    drawBits: first(plan.drawBits),
    leaveBits: first(plan.leaveBits),
    personas: plan.personas.map((persona) => ({
      ...persona,
      traits: persona.traits.map((trait): PlanTrait => (trait.kind === "level" ? { ...trait, cumulative: first(trait.cumulative) } : { ...trait, offset: first(trait.offset), scale: first(trait.scale) })),
    })),
  };
}
