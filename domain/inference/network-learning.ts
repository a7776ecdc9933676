import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { bayesianNetwork } from "./bayesian-network.ts";
import type { BayesianNetwork, NetworkEvidence, NetworkVariable } from "./bayesian-network.ts";
import { betaInterval } from "./distribution.ts";
import { JunctionTree } from "./junction-tree.ts";

/** Observed states, one row a subject. */
export interface NetworkRows {
  /** rows x variables, row-major: index of the state, -1 = missing. */
  readonly states: Int16Array;
  readonly rows: number;
  /** How much each row counts (positive), or null: once. */
  readonly weight: Float64Array | null;
}

/** A state that cannot be while a parent is in one of its states: a later step of a funnel without the step before it. */
export interface ImpossibleState {
  readonly variable: number;
  readonly state: number;
  readonly parent: number;
  readonly parentState: number;
}

/** A network whose tables are posterior means of Dirichlet distributions, one a row: prior plus counts. */
export interface LearnedNetwork {
  readonly network: BayesianNetwork;
  /** Of each table entry: how many rows fell there; expected numbers where states were missing. Integers for complete, unweighted rows. */
  readonly counts: readonly Float64Array[];
  /** Dirichlet parameters before the data, in the shape of the tables; 0 marks what cannot be. */
  readonly prior: readonly Float64Array[];
  /** Share of each family's rows in which nothing was missing: filled-in rows narrow no interval. 1 for complete rows. */
  readonly observed: readonly number[];
  readonly impossible: readonly ImpossibleState[];
}

/** A prior row is worth at most as many observations as this. */
const PRIOR_WEIGHT_MAX = 100;

/**
 * The Dirichlet prior of a table with these counts. A variable without parents gets 1/2 a state (Jeffreys). Otherwise each row's prior is
 * the variable's own distribution over all rows, worth as many observations as make its rarest state count 1/2 (at most 100): a row
 * without data then says what is true in general and how little it knows, and a rare response is not pulled towards one half.
 */
export function tablePrior(counts: Float64Array, states: number, isPossible: (entry: number) => boolean = () => true): Float64Array {
  const rows = counts.length / states;
  const prior = new Float64Array(counts.length);
  // Rows in which the same states can be share one distribution.
  const groups = new Map<string, number[]>();
  for (let row = 0; row < rows; row++) {
    const possible = Array.from({ length: states }, (_, state) => state).filter((state) => isPossible(row * states + state));
    const key = possible.join();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  for (const [key, group] of groups) {
    const possible = key.split(",").map(Number);
    const totals = possible.map((state) => group.reduce((sum, row) => sum + counts[row * states + state], 0.5));
    const total = totals.reduce((sum, value) => sum + value, 0);
    const weight = Math.min(PRIOR_WEIGHT_MAX, Math.max(possible.length / 2, (0.5 * total) / Math.min(...totals)));
    for (const row of group) possible.forEach((state, at) => { prior[row * states + state] = group.length === 1 ? 0.5 : (weight * totals[at]) / total; });
  }
  return prior;
}

/** Counts of one family, in the shape of its table, over the rows in which neither the variable nor a parent is missing. */
export function familyCounts(variables: readonly NetworkVariable[], rows: NetworkRows, variable: number, parents: readonly number[]): Float64Array {
  const width = variables.length, family = [...parents, variable];
  const cards = family.map((v) => variables[v].states.length);
  const counts = new Float64Array(cards.reduce((product, card) => product * card, 1));
  const { states, weight } = rows;
  for (let row = 0; row < rows.rows; row++) {
    let entry = 0;
    for (let at = 0; at < family.length && entry >= 0; at++) {
      const state = states[row * width + family[at]];
      entry = state < 0 ? -1 : entry * cards[at] + state;
    }
    if (entry >= 0) counts[entry] += weight === null ? 1 : weight[row];
  }
  return counts;
}

/**
 * The network with these arcs learned from rows without missing states: conjugate, so counts are all it needs, and what one subject added
 * can be taken out again. DEGENERATE_DATA when a row holds a state that was called impossible.
 */
export function learnTables(name: string, variables: readonly NetworkVariable[], parents: readonly (readonly number[])[], rows: NetworkRows, impossible: readonly ImpossibleState[] = []): LearnedNetwork {
  if (rows.states.some((state) => state < 0)) throw new PopulaceError("INTERNAL", "learnTables: a state is missing; leave the row out or use learnWithMissing", { network: name });
  const counts = variables.map((_, v) => familyCounts(variables, rows, v, parents[v]));
  return fromCounts(name, variables, parents, counts, variables.map(() => 1), impossible);
}

function fromCounts(
  name: string, variables: readonly NetworkVariable[], parents: readonly (readonly number[])[], counts: readonly Float64Array[], observed: readonly number[], impossible: readonly ImpossibleState[],
  prior: readonly Float64Array[] = priorsOf(variables, parents, counts, impossible),
): LearnedNetwork {
  counts.forEach((table, v) => table.forEach((count, entry) => {
    if (count > 0 && prior[v][entry] === 0) throw new PopulaceError("DEGENERATE_DATA", `network "${name}": ${count} rows have "${variables[v].name}" in a state that was said to be impossible there`, { network: name, variable: variables[v].name });
  }));
  const tables = counts.map((table, v) => means(table, prior[v], variables[v].states.length));
  const network = bayesianNetwork(name, variables.map((variable, v) => ({ ...variable, parents: parents[v].map((parent) => variables[parent].name), table: tables[v] })));
  return { network, counts, prior, observed, impossible };
}

function priorsOf(variables: readonly NetworkVariable[], parents: readonly (readonly number[])[], counts: readonly Float64Array[], impossible: readonly ImpossibleState[]): readonly Float64Array[] {
  return counts.map((table, v) => tablePrior(table, variables[v].states.length, possibilityOf(variables, v, parents[v], impossible)));
}

/** Whether an entry of a variable's table can be. */
export function possibilityOf(variables: readonly NetworkVariable[], variable: number, parents: readonly number[], impossible: readonly ImpossibleState[]): (entry: number) => boolean {
  const rules = impossible.filter((rule) => rule.variable === variable && parents.includes(rule.parent)).map((rule) => {
    const place = parents.indexOf(rule.parent);
    const stride = parents.slice(place + 1).reduce((product, parent) => product * variables[parent].states.length, 1);
    return { state: rule.state, parentState: rule.parentState, stride, card: variables[rule.parent].states.length };
  });
  const states = variables[variable].states.length;
  return (entry) => rules.every((rule) => entry % states !== rule.state || Math.floor(Math.floor(entry / states) / rule.stride) % rule.card !== rule.parentState);
}

function means(counts: Float64Array, prior: Float64Array, states: number): Float64Array {
  const table = new Float64Array(counts.length);
  for (let start = 0; start < table.length; start += states) {
    let sum = 0;
    for (let at = start; at < start + states; at++) sum += counts[at] + prior[at];
    for (let at = start; at < start + states; at++) table[at] = (counts[at] + prior[at]) / sum;
  }
  return table;
}

/**
 * The network that would have been learned without these subjects, to the bit: their counts are whole numbers and are subtracted.
 * `forgotten` holds their rows as they were counted. DEGENERATE_DATA when the network was not learned from complete, unweighted rows, or
 * when a count would fall below 0: the rows were then not among those it was learned from.
 */
export function forgetRows(learned: LearnedNetwork, forgotten: NetworkRows): LearnedNetwork {
  const { network, counts, observed, impossible } = learned;
  const refuse = (why: string): never => {
    throw new PopulaceError("DEGENERATE_DATA", `network "${network.name}": ${why}`, { network: network.name });
  };
  if (forgotten.states.some((state) => state < 0) || observed.some((share) => share < 1) || forgotten.weight !== null || counts.some((table) => table.some((count) => !Number.isInteger(count)))) refuse("only counts of complete rows without weights can be subtracted; learn it again without the subject");
  const rest = counts.map((table, v) => {
    const gone = familyCounts(network.variables, forgotten, v, network.parents[v]);
    return table.map((count, entry) => (count < gone[entry] ? refuse(`a row to forget has "${network.variables[v].name}" where none was counted; name rows it was learned from`) : count - gone[entry]));
  });
  return fromCounts(network.name, network.variables, network.parents, rest, observed, impossible);
}

/** Dirichlet parameters of the row that an entry belongs to, and the entry's place in it. What was filled in counts in the mean, not as evidence. */
function rowParameters({ network, counts, prior, observed }: LearnedNetwork, variable: number, row: number): Float64Array {
  const states = network.variables[variable].states.length;
  let weight = 0;
  for (let at = row * states; at < (row + 1) * states; at++) weight += prior[variable][at] + observed[variable] * counts[variable][at];
  return network.tables[variable].slice(row * states, (row + 1) * states).map((mean) => mean * weight);
}

/** Central credible interval of one probability of a table, 90 % unless told. */
export function entryInterval(learned: LearnedNetwork, variable: number, row: number, state: number, level = 0.9): { readonly low: number; readonly high: number } {
  const parameters = rowParameters(learned, variable, row);
  const rest = parameters.reduce((sum, alpha, at) => (at === state ? sum : sum + alpha), 0);
  if (parameters[state] === 0) return { low: 0, high: 0 };
  return rest === 0 ? { low: 1, high: 1 } : betaInterval({ alpha: parameters[state], beta: rest }, level);
}

/** One draw of all tables from their posterior. */
export function drawTables(learned: LearnedNetwork, random: RandomStream): readonly Float64Array[] {
  return learned.network.variables.map(({ states }, v) => {
    const table = new Float64Array(learned.counts[v].length);
    for (let row = 0; row * states.length < table.length; row++) {
      const parameters = rowParameters(learned, v, row);
      const possible = [...parameters.keys()].filter((state) => parameters[state] > 0);
      const shares = random.dirichlet(possible.map((state) => parameters[state]));
      possible.forEach((state, at) => { table[row * states.length + state] = shares[at]; });
    }
    return table;
  });
}

export interface MissingOptions {
  readonly impossible?: readonly ImpossibleState[];
  /** Largest change of any probability at which the iteration ends; default 1e-6. */
  readonly tolerance?: number;
  /** Default 1,000. */
  readonly roundsMax?: number;
}

/**
 * The network with these arcs learned from rows with missing states, which are taken to be missing at random: expectation maximization
 * (Dempster, Laird and Rubin 1977; Lauritzen 1995), begun at the tables of the rows in which a family is complete. `objective` is
 * log P(rows | tables) + sum of prior times log table after each round, which never falls. `hasConverged` is false when the rounds ran out
 * first. Deterministic; an optimum near its start, not always the highest. DEGENERATE_DATA when a row is impossible.
 */
export function learnWithMissing(
  name: string, variables: readonly NetworkVariable[], parents: readonly (readonly number[])[], rows: NetworkRows, { impossible = [], tolerance = 1e-6, roundsMax = 1000 }: MissingOptions = {},
): { readonly learned: LearnedNetwork; readonly objective: readonly number[]; readonly hasConverged: boolean } {
  const seen = variables.map((_, v) => familyCounts(variables, rows, v, parents[v]));
  const prior = priorsOf(variables, parents, seen, impossible);
  const patterns = patternsOf(variables, rows);
  const total = patterns.reduce((sum, pattern) => sum + pattern.weight, 0);
  const observed = seen.map((table) => (total === 0 ? 1 : table.reduce((sum, count) => sum + count, 0) / total));
  let learned = fromCounts(name, variables, parents, seen, observed, impossible, prior);
  const tree = new JunctionTree(learned.network);
  const objective: number[] = [];
  for (let round = 0; round < roundsMax; round++) {
    const { tables } = learned.network;
    const counts = tables.map((table) => new Float64Array(table.length));
    let value = 0;
    for (const { evidence, weight } of patterns) {
      const logEvidence = tree.addExpectedCounts(evidence, tables, weight, counts);
      if (logEvidence === -Infinity) tree.beliefs(evidence, tables);
      value += weight * logEvidence;
    }
    tables.forEach((table, v) => table.forEach((probability, entry) => { if (prior[v][entry] > 0) value += prior[v][entry] * Math.log(probability); }));
    objective.push(value);
    learned = fromCounts(name, variables, parents, counts, observed, impossible, prior);
    let change = 0;
    learned.network.tables.forEach((table, v) => table.forEach((probability, entry) => { change = Math.max(change, Math.abs(probability - tables[v][entry])); }));
    if (change < tolerance) return { learned, objective, hasConverged: true };
  }
  return { learned, objective, hasConverged: false };
}

/** Rows that say the same, once and with their weight. */
function patternsOf(variables: readonly NetworkVariable[], { states, rows, weight }: NetworkRows): readonly { readonly evidence: NetworkEvidence; readonly weight: number }[] {
  const width = variables.length;
  const patterns = new Map<string, { readonly row: number; weight: number }>();
  for (let row = 0; row < rows; row++) {
    const key = states.subarray(row * width, (row + 1) * width).join();
    const found = patterns.get(key);
    if (found === undefined) patterns.set(key, { row, weight: weight === null ? 1 : weight[row] });
    else found.weight += weight === null ? 1 : weight[row];
  }
  return [...patterns.values()].map(({ row, weight: times }) => ({
    weight: times,
    evidence: new Map(variables.flatMap((variable, v) => {
      const state = states[row * width + v];
      return state < 0 ? [] : [[v, Float64Array.from(variable.states, (_, each) => (each === state ? 1 : 0))] as const];
    })),
  }));
}
