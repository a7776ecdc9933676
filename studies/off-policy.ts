import { readFileSync } from "node:fs";
import { ESS_FLOOR, LEAVE, MISSING, PopulaceError, RandomStream, assignRows, crossFittedRewards, evaluatePolicy, indexOfLargest, numericValue, stimulusFeatures } from "@populace/domain";
import type { DecisionRows, PolicyEvaluation, TraitCoding } from "@populace/domain";
import { economicValue } from "./economic-value.ts";
import { cellRates } from "./cell-rates.ts";
import { codingsOf, encodeDataset } from "./codings.ts";
import type { Dataset } from "./dataset.ts";
import { didYouMean, parseEntry } from "./document.ts";
import type { Model } from "./model.ts";
import { readModel } from "./model-file.ts";
import { readPolicyTable } from "./policy-table.ts";
import type { LoggedPolicy } from "./policy-table.ts";
import { withoutSeen } from "./backtest.ts";

export interface LogColumns {
  readonly action: string;
  /** Column of 0 and 1. */
  readonly reward?: string;
  /** Column of amounts, in place of `reward`. */
  readonly value?: string;
  readonly propensity: string;
  /** `column` (categorical) or `column:kind`. */
  readonly context: readonly string[];
}

/** The text of the schema of a log whose columns are named one by one. */
export function logSchemaText({ action, reward, value, propensity, context }: LogColumns): string {
  const step = reward ?? value;
  if (step === undefined) throw new PopulaceError("BAD_USAGE", "name the column of the reward with --reward (0 or 1) or --value (amounts), or give a --schema");
  return JSON.stringify({
    name: "log",
    attributes: Object.fromEntries(context.map((each) => { const [column, kind = "categorical"] = each.split(":"); return [column, kind]; })),
    stimulus: action,
    assignment: { kind: "logged", propensity },
    funnel: { [step]: { column: step } },
    ...(value === undefined ? {} : { value: { column: value } }),
    rejectShareMax: 0,
  });
}

export interface PolicyQuestion {
  /** `uniform`, `best-fixed:ARM`, a table of probabilities, a model, or what `optimize --json` printed. */
  readonly policy: string;
  /** Where the policy and the model lie, where their names are not their paths. */
  readonly policyFile?: string;
  readonly modelFile?: string;
  /** The model whose personas an optimizer's document speaks of. */
  readonly model?: string;
  /** Funnel step that is the reward, "value", or "leave" (whoever left at the decision counts 1); default the last step. */
  readonly reward?: string;
  readonly essFloor?: number;
  readonly level?: number;
  readonly seed?: number;
  /** Accepts a model that was fitted on rows of the log. */
  readonly allowSeen?: boolean;
}

export interface PolicyAnswer extends PolicyEvaluation {
  readonly policy: string;
  /** Step, "value" (minor units) or "leave". */
  readonly reward: string;
  readonly rows: number;
  readonly arms: number;
  readonly level: number;
  readonly essFloor: number;
  readonly notes: readonly string[];
}

/**
 * Values a policy on a log: the estimates of `evaluatePolicy` with rewards expected by a cross-fitted model. Deterministic for a seed.
 *
 * BAD_SCHEMA for a log without propensities (with `randomized` assignment they are the shares of the arms, and a note says so); BAD_DATA
 * naming row and column for a propensity that is none; DEGENERATE_DATA for rewards that are all the same and for an arm that the policy
 * takes and the log never shows; SEEN_ROWS for a model that was fitted on the log.
 */
export async function valuePolicy(dataset: Dataset, question: PolicyQuestion): Promise<PolicyAnswer> {
  const { seed = 1, level = 0.95, essFloor } = question;
  const { schema, rows, path } = dataset;
  const stimuli = schema.stimulus.stimuli, arms = stimuli.length;
  const notes: string[] = [...dataset.notes];
  const propensity = propensitiesOf(dataset, notes);
  const { name, reward, isBinary } = rewardOf(dataset, question.reward);
  const policy = await policyOf(dataset, question);
  notes.push(...policy.notes);

  const shown = new Float64Array(arms);
  for (let row = 0; row < rows; row++) shown[dataset.stimulus[row]]++;
  const probabilities = new Float64Array(arms), weight = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    policy.probabilities(row, probabilities);
    const missing = probabilities.findIndex((share, arm) => share > 0 && shown[arm] === 0);
    if (missing >= 0) {
      throw new PopulaceError("DEGENERATE_DATA", `${path}: the policy takes "${stimuli[missing].value}" with probability ${Number(probabilities[missing].toPrecision(4))} in row ${dataset.rowNumber[row]}, an arm that column "${schema.stimulus.column ?? "stimulus"}" never shows: nothing is known of it`, { file: path, row: dataset.rowNumber[row], column: schema.stimulus.column, arm: stimuli[missing].value });
    }
    weight[row] = probabilities[dataset.stimulus[row]] / propensity[row];
  }
  const events = isBinary ? effectiveEvents(weight, reward) : Infinity;
  if (events < EVENTS_FEW) notes.push(`the value rests on ${events.toFixed(1)} effective responses; with so few its interval is rough`);
  const decisions = decisionRows(dataset, reward, notes);
  const expected = crossFittedRewards(decisions, policy.probabilities, RandomStream.of(seed, "reward model"));
  const evaluation = evaluatePolicy({ weight, reward, expectedLogged: expected.logged, expectedPolicy: expected.policy }, {
    level, ...(essFloor === undefined ? {} : { essFloor }), ...(isBinary ? { rewardRange: [0, 1] } : {}),
  });
  return { policy: policy.name, reward: name, rows, arms, level, essFloor: essFloor ?? ESS_FLOOR, notes, ...evaluation };
}

/** Responses below which the normal theory of the intervals is stretched. */
const EVENTS_FEW = 20;

/** How many equally weighted responses the weighted ones are worth. */
function effectiveEvents(weight: Float64Array, reward: Float64Array): number {
  let sum = 0, squares = 0;
  for (let row = 0; row < weight.length; row++) {
    sum += weight[row] * reward[row];
    squares += (weight[row] * reward[row]) ** 2;
  }
  return squares === 0 ? 0 : (sum * sum) / squares;
}

function propensitiesOf(dataset: Dataset, notes: string[]): Float64Array {
  const { schema, path, rows, propensity, rejected } = dataset;
  if (schema.sampling.kind !== "uniform") throw new PopulaceError("BAD_SCHEMA", `schema ${schema.name}: rows sampled by ${schema.sampling.kind} cannot value a policy yet; give a log of all decisions`, { sampling: schema.sampling.kind });
  if (schema.assignment.kind === "logged") {
    const column = schema.assignment.propensity;
    const fault = rejected.find((row) => row.column === column);
    if (fault !== undefined) throw new PopulaceError("BAD_DATA", `${path}:${fault.line}: column ${column}: ${fault.reason}; a decision without its probability cannot be weighted, and leaving it out would bend every estimate`, { ...fault });
    return propensity!;
  }
  if (schema.assignment.kind === "unknown") {
    throw new PopulaceError("BAD_SCHEMA", `schema ${schema.name}: the assignment is unknown; a policy can be valued on a log with propensities (assignment: {kind: logged, propensity: COLUMN}) or a randomized one`, { assignment: "unknown" });
  }
  const shares = new Float64Array(schema.stimulus.stimuli.length);
  for (const arm of dataset.stimulus) shares[arm] += 1 / rows;
  notes.push("stimuli were assigned at random: each row's propensity is its stimulus' share of the rows");
  return Float64Array.from(dataset.stimulus, (arm) => shares[arm]);
}

function rewardOf(dataset: Dataset, asked?: string): { readonly name: string; readonly reward: Float64Array; readonly isBinary: boolean } {
  const { schema, rows, path, outcomes, value, left } = dataset;
  const steps = schema.funnel.map((step) => step.name);
  const isValue = asked === "value" || (asked === undefined && schema.value !== null && schema.funnel.length === 1 && schema.funnel[0].column === schema.value.column);
  const isLeaving = asked === LEAVE && left !== null && schema.leave !== undefined;
  const step = asked === undefined ? steps.length - 1 : steps.indexOf(asked);
  if (isValue ? value === null : step < 0 && !isLeaving) {
    const known = [...steps, ...(value === null ? [] : ["value"]), ...(left === null ? [] : [LEAVE])];
    throw new PopulaceError("NOT_FOUND", `no reward is named "${asked}"${didYouMean(asked ?? "", known)}; expected one of ${known.join(", ")}`, { reward: asked, known });
  }
  const rewardIn = (row: number): number => (isValue ? (Number.isNaN(value![row]) ? 0 : value![row]) : isLeaving ? left![row] : outcomes[row * steps.length + step]);
  const reward = Float64Array.from({ length: rows }, (_, row) => rewardIn(row));
  if (reward.every((each) => each === reward[0])) {
    const column = isValue ? schema.value!.column : isLeaving ? schema.leave!.column : schema.funnel[step].column;
    throw new PopulaceError("DEGENERATE_DATA", `${path}: column "${column}": all ${rows} rewards are ${reward[0]}; nothing can be told of a policy from rewards that never differ`, { file: path, column, rows });
  }
  return { name: isValue ? "value" : isLeaving ? LEAVE : steps[step], reward, isBinary: !isValue };
}

async function policyOf(dataset: Dataset, { policy, policyFile = policy, model, modelFile = model, allowSeen = false }: PolicyQuestion): Promise<LoggedPolicy> {
  const { stimuli } = dataset.schema.stimulus;
  if (policy === "uniform") return { name: policy, notes: [], probabilities: (_row, into) => { into.fill(1 / stimuli.length); } };
  const [word, arm] = [policy.slice(0, policy.indexOf(":")), policy.slice(policy.indexOf(":") + 1)];
  if (word === "best-fixed") {
    const at = armNamed(dataset, arm);
    return { name: policy, notes: [], probabilities: (_row, into) => { into.fill(0); into[at] = 1; } };
  }
  if (!policy.endsWith(".json")) return { ...(await readPolicyTable(policyFile, dataset)), name: policy };
  const chosen = recommendations(policyFile);
  if (chosen !== null && model === undefined) throw new PopulaceError("BAD_USAGE", `${policy}: recommends a stimulus for each persona; name the model whose personas they are with --model`, { policy });
  const personas = readModel(chosen === null ? policyFile : modelFile!);
  withoutSeen(personas, dataset, allowSeen);
  const stimulusOf = new Map(chosen ?? recommended(personas));
  const armOfPersona = personas.mixture.personas.map(({ id }) => {
    const stimulus = stimulusOf.get(id);
    if (stimulus === undefined) throw new PopulaceError("BAD_DATA", `${policy}: recommends nothing for persona "${id}" of ${personas.name}`, { persona: id });
    return armNamed(dataset, stimulus);
  });
  const { codings } = personas.mixture;
  const persona = codings.length === 0 ? new Int32Array(dataset.rows) : assignRows(personas.mixture, encodeDataset(dataset, codings).codes);
  return { name: policy, notes: [], probabilities: (row, into) => { into.fill(0); into[armOfPersona[persona[row]]] = 1; } };
}

/** Whether a policy is named by the file that it lies in. */
export const isPolicyFile = (policy: string): boolean => policy !== "uniform" && !policy.startsWith("best-fixed:");

/** Persona and stimulus of each row under `best`, as `optimize --json` prints them; null for another document, such as a model. */
function recommendations(path: string): readonly (readonly [string, string])[] | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name a model, the JSON of optimize, or a table of probabilities`, { file: path }, cause);
  }
  // A model may have hundreds of megabytes; what holds recommendations is small.
  if (text.length > RECOMMENDATIONS_MAX) return null;
  const best = parseEntry(text, path, "BAD_MODEL").at("best");
  return best.absent ? null : best.list().map((row) => [row.at("persona").text(), row.at("stimulus").text()] as const);
}

/** Characters of an optimizer's document. */
const RECOMMENDATIONS_MAX = 1_000_000;

/** The stimulus of the highest expected value for each persona, by the model's rates of the last step: what plain prioritization sends. */
function recommended(model: Model): readonly (readonly [string, string])[] {
  const { stimuli, steps } = model.response, rates = cellRates(model);
  return model.mixture.personas.map(({ id }, p) => [id, stimuli[indexOfLargest(stimuli.map((stimulus, s) =>
    rates[(p * stimuli.length + s) * steps.length + steps.length - 1].mean * (economicValue(model, p, stimulus) - (stimulus.offer.costMinor ?? 0)) - stimulus.contactCostMinor))].id]);
}

function armNamed({ schema, path }: Dataset, name: string): number {
  const { stimuli, column } = schema.stimulus;
  const at = stimuli.findIndex((stimulus) => stimulus.value === name || stimulus.id === name);
  if (at >= 0) return at;
  const known = stimuli.map((stimulus) => stimulus.value);
  throw new PopulaceError("DEGENERATE_DATA", `${path}: the policy takes "${name}", an arm that column "${column ?? "stimulus"}" never shows${didYouMean(name, known)}; arms: ${known.slice(0, 12).join(", ")}`, { file: path, column, arm: name });
}

/** The log as the reward model sees it: numbers by their code, levels and what is told of the arms as they are; missing values are average. */
function decisionRows(dataset: Dataset, reward: Float64Array, notes: string[]): DecisionRows {
  const { codings, notes: left } = codingsOf(dataset);
  notes.push(...left);
  const { codes } = encodeDataset(dataset, codings);
  const width = (coding: TraitCoding): number => (coding.kind === "categorical" ? coding.levels.length : 1);
  const contextFeatures = codings.reduce((sum, coding) => sum + width(coding), 0);
  const context = new Float64Array(dataset.rows * contextFeatures);
  for (let row = 0; row < dataset.rows; row++) {
    let at = row * contextFeatures;
    codings.forEach((coding, t) => {
      const code = codes[row * codings.length + t];
      if (code !== MISSING) {
        if (coding.kind === "categorical") context[at + code] = 1;
        else context[at] = numericValue(coding, code);
      }
      at += width(coding);
    });
  }
  const { names, values } = stimulusFeatures(dataset.schema.stimulus.stimuli);
  return { rows: dataset.rows, arms: dataset.schema.stimulus.stimuli.length, action: dataset.stimulus, reward, context, contextFeatures, arm: Float64Array.from(values.flat()), armFeatures: names.length };
}
