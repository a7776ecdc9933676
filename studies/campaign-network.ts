import { PopulaceError, assignRows, forgetRows, learnStructure, learnStructureWithMissing, learnTables, variableIndex } from "@populace/domain";
import type { Arc, ImpossibleState, LearnedNetwork, NetworkRows, NetworkVariable, Stimulus, StructureOptions } from "@populace/domain";
import { codingsOf, encodeDataset } from "./codings.ts";
import type { DataColumn, Dataset } from "./dataset.ts";
import type { Model } from "./model.ts";
import { quantileOfSorted } from "./rates.ts";
import { populationWeights } from "./response-fit.ts";

/** What a variable of a campaign's network stands for. */
export type VariableRole = "attribute" | "persona" | "stimulus" | "stimulus part" | "step";

/** A variable made from campaign data: what it stands for, and for a number the upper edges of its bins but the last. */
export interface CampaignVariable extends NetworkVariable {
  readonly role: VariableRole;
  readonly unit: string;
  /** Bin b holds values above edge b - 1 and up to edge b; empty for what is no number. */
  readonly edges: readonly number[];
}

/** A network learned from campaign data, and how. */
export interface CampaignNetwork {
  readonly variables: readonly CampaignVariable[];
  readonly learned: LearnedNetwork;
  readonly evidence: Model["evidence"];
  readonly learning: {
    readonly rows: number;
    /** Rows in which nothing is missing: those that were learned from where the others were left out. */
    readonly completeRows: number;
    readonly missing: "drop" | "em";
    readonly score: "bdeu" | "bic";
    readonly scoreValue: number;
    readonly search: "hill-climbing" | "tabu";
    /** Rounds of expectation maximization of the tables; 0 without. */
    readonly rounds: number;
  };
  /** Names of the personas, by their ids, which are the states of `persona`. */
  readonly personas: Readonly<Record<string, string>>;
  readonly notes: readonly string[];
}

export interface CampaignNetworkOptions {
  /** Adds the closest persona of each row. */
  readonly model?: Model | undefined;
  /** Bins of numeric attributes; default 4. */
  readonly bins?: number;
  readonly score?: "bdeu" | "bic";
  readonly search?: "hill-climbing" | "tabu";
  readonly parentsMax?: number;
  /** Names of variables. */
  readonly required?: readonly (readonly [string, string])[];
  readonly forbidden?: readonly (readonly [string, string])[];
  /** Rows with missing values are left out, or their values are filled in by expectation; default drop. */
  readonly missing?: "drop" | "em";
}

const BINS = 4;
/** Complete rows below which a structure says nothing. */
const ROWS_MIN = 30;
const PERSONA = "persona", STIMULUS = "stimulus";
const NO_YES = ["no", "yes"] as const;

/**
 * The variables of a dataset and its rows: attributes (numbers in bins of equal shares of rows), persona, stimulus and its parts, funnel
 * steps; and what cannot be: a step without the one before it, a stimulus with another one's part.
 */
export function campaignRows(dataset: Dataset, { model, bins = BINS }: Pick<CampaignNetworkOptions, "model" | "bins"> = {}): { readonly variables: readonly CampaignVariable[]; readonly rows: NetworkRows; readonly impossible: readonly ImpossibleState[]; readonly notes: readonly string[] } {
  const { codings, notes } = codingsOf(dataset);
  const { otherLevels } = encodeDataset(dataset, codings);
  const variables = codings.map(({ name, unit, kind, levels }): CampaignVariable => {
    const column = columnOf(dataset, name)!;
    const edges = column.kind === "number" ? edgesOf(column.values, bins) : [];
    // Nobody may be "other": the level is then left out.
    const isUsed = kind !== "categorical" || (otherLevels[name] ?? 0) > 0;
    return { name, unit, role: "attribute", edges, states: column.kind === "number" ? binNames(edges) : isUsed ? levels : levels.slice(0, -1) };
  });
  const impossible: ImpossibleState[] = [];
  const add = (name: string, role: VariableRole, states: readonly string[]): number => variables.push({ name, unit: "", role, edges: [], states }) - 1;
  if (model !== undefined) add(PERSONA, "persona", model.mixture.personas.map(({ id }) => id));
  const { stimuli } = dataset.schema.stimulus;
  if (stimuli.length > 1) {
    const stimulus = add(STIMULUS, "stimulus", stimuli.map(({ id }) => id));
    // What stimuli have in common can then be asked about without naming one.
    for (const [name, partOf] of Object.entries(PARTS)) {
      const values = stimuli.map(partOf), states = [...new Set(values)].toSorted();
      if (states.length === 1 || states.length === stimuli.length) continue;
      const variable = add(name, "stimulus part", states);
      values.forEach((value, parentState) => states.forEach((other, state) => { if (other !== value) impossible.push({ variable, state, parent: stimulus, parentState }); }));
    }
  }
  let before = -1;
  for (const { name } of dataset.schema.funnel) {
    const step = add(name, "step", NO_YES);
    if (before >= 0) impossible.push({ variable: step, state: 1, parent: before, parentState: 0 });
    before = step;
  }
  const twice = variables.find(({ name }, at) => variables.findIndex((other) => other.name === name) !== at);
  if (twice !== undefined) throw new PopulaceError("BAD_SCHEMA", `${dataset.path}: two variables of the network would be called "${twice.name}"; rename the attribute or the step in the schema`, { variable: twice.name });
  return { variables, rows: statesOf(variables, dataset, model), impossible, notes };
}

const columnOf = (dataset: Dataset, name: string): DataColumn | undefined => dataset.columns[dataset.schema.attributes.findIndex((attribute) => attribute.name === name)];

/** Parts of a stimulus that are variables of their own where some stimuli share them. */
const PARTS: Readonly<Record<string, (stimulus: Stimulus) => string>> = {
  [`${STIMULUS}.channel`]: ({ channel }) => channel,
  [`${STIMULUS}.priceCut`]: ({ offer }) => String(offer.priceCut ?? 0),
};

/** A dataset's rows as states of the variables; what is missing, or a value that no state stands for, is -1. */
function statesOf(variables: readonly CampaignVariable[], dataset: Dataset, model: Model | undefined): NetworkRows {
  const { stimuli } = dataset.schema.stimulus, steps = dataset.schema.funnel.length;
  const persona = model === undefined ? null : assignRows(model.mixture, encodeDataset(dataset, model.mixture.codings).codes);
  const columns = variables.map(({ name, role, states, edges }): ((row: number) => number) => {
    if (role === "persona") {
      const stateOf = model?.mixture.personas.map(({ id }) => states.indexOf(id)) ?? [];
      return (row) => (persona === null ? -1 : stateOf[persona[row]]);
    }
    if (role === "stimulus" || role === "stimulus part") {
      const stateOf = stimuli.map((stimulus) => states.indexOf(role === "stimulus" ? stimulus.id : PARTS[name](stimulus)));
      return (row) => stateOf[dataset.stimulus[row]];
    }
    if (role === "step") {
      const step = dataset.schema.funnel.findIndex((each) => each.name === name);
      return (row) => (step < 0 ? -1 : dataset.outcomes[row * steps + step]);
    }
    const column = columnOf(dataset, name);
    if (column === undefined) return () => -1;
    if (column.kind === "number") return (row) => (Number.isNaN(column.values[row]) ? -1 : binOf(edges, column.values[row]));
    const other = states.at(-1) === "other" ? states.length - 1 : -1;
    const stateOf = column.dictionary.map((text) => (states.includes(text) ? states.indexOf(text) : other));
    return (row) => (column.codes[row] < 0 ? -1 : stateOf[column.codes[row]]);
  });
  const states = new Int16Array(dataset.rows * variables.length);
  columns.forEach((stateOf, v) => { for (let row = 0; row < dataset.rows; row++) states[row * variables.length + v] = stateOf(row); });
  return { states, rows: dataset.rows, weight: effectiveWeights(dataset) };
}

/** Weights that make rows stand for the population and whose sum is the effective number of rows (Kish 1965). */
function effectiveWeights(dataset: Dataset): Float64Array | null {
  const weights = populationWeights(dataset);
  if (weights === null) return null;
  const sum = weights.reduce((total, weight) => total + weight, 0), squares = weights.reduce((total, weight) => total + weight * weight, 0);
  return weights.map((weight) => (weight * sum) / squares);
}

/** Upper edges of bins with about equally many values, rounded to three digits; fewer where values repeat. */
function edgesOf(values: Float64Array, bins: number): readonly number[] {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  const [least, most] = [sorted[0], sorted.at(-1)!];
  const edges = Array.from({ length: bins - 1 }, (_, at) => Number(quantileOfSorted(sorted, (at + 1) / bins).toPrecision(3)));
  const inside = [...new Set(edges)].filter((edge) => edge >= least && edge < most);
  // Most values may be one and the same: then it is one bin and all others the second.
  return inside.length > 0 || !(least < most) ? inside : [sorted.findLast((value) => value < most)!];
}

/** Index of the bin that holds a number. */
export function binOf(edges: readonly number[], value: number): number {
  const at = edges.findIndex((edge) => value <= edge);
  return at < 0 ? edges.length : at;
}

/** "..3", "3..6" (above 3 and up to 6), "6.." */
const binNames = (edges: readonly number[]): readonly string[] => [...edges.map((edge, at) => `${at === 0 ? "" : edges[at - 1]}..${edge}`), `${edges.at(-1) ?? ""}..`];

/**
 * Learns a network from a campaign's rows: arcs by score, tables by Dirichlet posteriors. Arcs follow time: attributes and persona, then
 * the stimulus (which nothing precedes when it was randomized), then one funnel step after another, each with the step before it as a
 * parent, without which it cannot be reached. Unless it is forbidden, the first step also has the stimulus and the persona as parents:
 * they are what is asked about, and an arc that the score leaves out would call their rates equal with a certainty that the data do not
 * have. DEGENERATE_DATA with fewer than 30 complete rows; NOT_FOUND for unknown names of arcs; BAD_NETWORK for arcs that cannot be.
 */
export function learnCampaignNetwork(dataset: Dataset, options: CampaignNetworkOptions = {}): CampaignNetwork {
  const { model, missing = "drop", score = "bdeu", search = "tabu", parentsMax = 4 } = options;
  const { variables, rows, impossible, notes } = campaignRows(dataset, options);
  const width = variables.length;
  const complete = completeRows(rows, width);
  const usable = missing === "em" ? rows.rows : complete.rows;
  if (usable < ROWS_MIN) {
    throw new PopulaceError("DEGENERATE_DATA", `${dataset.path}: ${usable} of ${rows.rows} rows are ${missing === "em" ? "there" : "complete"}; a network needs at least ${ROWS_MIN}. Leave out attributes that are often missing${missing === "em" ? "" : ", or fill them in with --missing em"}`, { rows: rows.rows, complete: complete.rows });
  }
  const rules = rulesOf(variables, dataset.schema.assignment.kind === "randomized");
  const arcs = (pairs: CampaignNetworkOptions["required"]): readonly Arc[] => (pairs ?? []).map(([from, to]) => [variableIndex({ name: dataset.schema.name, variables }, from), variableIndex({ name: dataset.schema.name, variables }, to)]);
  const asked = arcs(options.required);
  // What was asked for goes before the order of time, except where that would turn it around.
  for (const [from, to] of asked) {
    if (rules.forbidden.some(([a, b]) => a === from && b === to)) throw new PopulaceError("BAD_NETWORK", `the arc ${variables[from].name} -> ${variables[to].name} runs against time: ${rules.reason}; leave it out`, { from: variables[from].name, to: variables[to].name });
  }
  const forbidden = [...rules.forbidden, ...arcs(options.forbidden)];
  const treated = rules.treated.filter(([from, to]) => !forbidden.some(([a, b]) => a === from && b === to));
  const { name } = dataset.schema, searching: StructureOptions = { score, search, parentsMax, impossible, required: [...rules.required, ...treated, ...asked], forbidden };
  const filled = missing === "em" && complete.rows < rows.rows ? learnStructureWithMissing(name, variables, rows, searching) : null;
  const { parents, score: scoreValue } = filled?.structure ?? learnStructure(variables, complete, searching);
  const learned = filled?.learned ?? learnTables(name, variables, parents, complete, impossible);
  return {
    variables, learned,
    evidence: dataset.schema.assignment.kind === "unknown" ? "observational" : dataset.schema.assignment.kind,
    learning: { rows: rows.rows, completeRows: complete.rows, missing, score, scoreValue, search, rounds: filled?.tableRounds ?? 0 },
    personas: Object.fromEntries(model?.mixture.personas.map((persona) => [persona.id, persona.name]) ?? []),
    notes: [
      ...dataset.notes, ...notes,
      ...(complete.rows < rows.rows ? [`${rows.rows - complete.rows} of ${rows.rows} rows lack a value; ${missing === "em" ? "arcs and tables rest on all, missing ones filled in as expected" : "they were left out (--missing em takes them into the tables)"}`] : []),
      ...(filled?.hasConverged === false ? ["expectation maximization ran out of rounds before it settled"] : []),
      ...(filled === null || filled.leftOut === 0 ? [] : [`${filled.leftOut} rows lack too many values to take part in the arcs; the tables have them`]),
      ...(rows.weight === null ? [] : ["rows are weighted to stand for the population; their number in intervals is the effective one"]),
    ],
  };
}

function completeRows({ states, rows, weight }: NetworkRows, width: number): NetworkRows {
  const kept = Array.from({ length: rows }, (_, row) => row).filter((row) => states.subarray(row * width, (row + 1) * width).every((state) => state >= 0));
  if (kept.length === rows) return { states, rows, weight };
  const target = new Int16Array(kept.length * width);
  kept.forEach((row, at) => target.set(states.subarray(row * width, (row + 1) * width), at * width));
  return { states: target, rows: kept.length, weight: weight && Float64Array.from(kept, (row) => weight[row]) };
}

/** What time and meaning rule out or require, and the arcs from what is asked about to the first step, by index. */
function rulesOf(variables: readonly CampaignVariable[], isRandomized: boolean): { readonly required: readonly Arc[]; readonly treated: readonly Arc[]; readonly forbidden: readonly Arc[]; readonly reason: string } {
  const stimulus = variables.findIndex(({ role }) => role === "stimulus");
  const steps = variables.flatMap(({ role }, v) => (role === "step" ? [v] : []));
  const stageOf = (v: number): number => (variables[v].role === "step" ? 2 + steps.indexOf(v) : variables[v].role === "stimulus" ? 1 : 0);
  const required: Arc[] = steps.slice(1).map((step, at) => [steps[at], step]);
  const forbidden: Arc[] = [];
  variables.forEach((to, b) => variables.forEach((from, a) => {
    if (a === b) return;
    // A part is a function of the stimulus and says nothing else.
    if (to.role === "stimulus part" || from.role === "stimulus part") {
      if (a === stimulus) required.push([a, b]);
      else forbidden.push([a, b]);
    } else if (stageOf(a) > stageOf(b) || (isRandomized && b === stimulus)) forbidden.push([a, b]);
  }));
  return {
    required, forbidden,
    treated: variables.flatMap(({ role }, v) => (role === "stimulus" || role === "persona" ? [[v, steps[0]] as const] : [])),
    reason: `attributes and persona come first, then the stimulus${isRandomized ? ", which was assigned at random" : ""}, then the steps in their order`,
  };
}

/**
 * The network that would have been learned with the same arcs and bins from the data without these rows, to the bit. `dataset` holds the
 * subject's rows as they were in the data, `model` is the one that the network was learned with; incomplete rows were not counted and are
 * passed over. BAD_USAGE when the personas' model is missing; else errors as `forgetRows`.
 */
export function forgetCampaignRows(campaign: CampaignNetwork, dataset: Dataset, model?: Model): { readonly campaign: CampaignNetwork; readonly forgotten: number } {
  if (model === undefined && campaign.variables.some(({ role }) => role === "persona")) throw new PopulaceError("BAD_USAGE", "the network has personas; name the model it was learned with, --model FILE", {});
  const rows = completeRows(statesOf(campaign.variables, dataset, model), campaign.variables.length);
  const { learning } = campaign;
  return {
    campaign: { ...campaign, learned: forgetRows(campaign.learned, rows), learning: { ...learning, rows: learning.rows - dataset.rows, completeRows: learning.completeRows - rows.rows } },
    forgotten: rows.rows,
  };
}
