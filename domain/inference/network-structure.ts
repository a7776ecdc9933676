import { PopulaceError } from "../error.ts";
import { cycleOf } from "./bayesian-network.ts";
import type { NetworkVariable } from "./bayesian-network.ts";
import { familyCounts, possibilityOf } from "./network-learning.ts";
import type { ImpossibleState, NetworkRows } from "./network-learning.ts";
import { logGamma } from "./special-functions.ts";

/** From a parent to a child, by index. */
export type Arc = readonly [from: number, to: number];

export interface StructureOptions {
  /** BDeu (Heckerman, Geiger and Chickering 1995) or the Bayesian information criterion (Schwarz 1978); default bdeu. */
  readonly score?: "bdeu" | "bic";
  /** Equivalent sample size of BDeu; default 1, which adds fewest arcs that are not there. */
  readonly equivalentSampleSize?: number;
  /** Hill climbing stops at the first optimum, tabu search walks on for a while; default tabu. */
  readonly search?: "hill-climbing" | "tabu";
  /** Most parents of a variable; default 4. */
  readonly parentsMax?: number;
  readonly required?: readonly Arc[];
  readonly forbidden?: readonly Arc[];
  readonly impossible?: readonly ImpossibleState[];
  /** Number of rows that BIC's penalty counts; default those given. */
  readonly sampleSize?: number;
}

export interface LearnedStructure {
  /** Ascending parents of each variable. */
  readonly parents: readonly (readonly number[])[];
  /** log of the score: larger is better. */
  readonly score: number;
  /** Moves made. */
  readonly moves: number;
}

/** What rounding may add to a score's difference: a smaller gain is none, and nearer ones are equal. */
const GAIN_MIN = 1e-6;
/** Structures a tabu search does not return to, and moves it makes without a new best before it ends. */
const TABU_KEPT = 100, TABU_PATIENCE = 15;
/** Entries a table may have to be considered. */
const FAMILY_ENTRIES_MAX = 1 << 20;

/**
 * The arcs with the highest score that a greedy search finds: it starts at the required arcs and adds, removes or turns one arc at a time,
 * the best first; of equally good moves the one that comes first by kind (add, remove, turn), from and to. Rows must be complete.
 * Deterministic. BAD_NETWORK when what is required has a cycle, is forbidden, or exceeds `parentsMax`.
 */
export function learnStructure(variables: readonly NetworkVariable[], rows: NetworkRows, options: StructureOptions = {}): LearnedStructure {
  const { score = "bdeu", equivalentSampleSize = 1, search = "tabu", parentsMax = 4, required = [], forbidden = [], impossible = [], sampleSize = rows.rows } = options;
  const count = variables.length;
  const name = (v: number): string => variables[v].name;
  const refuse = (message: string): never => {
    throw new PopulaceError("BAD_NETWORK", message, { required: required.map(([from, to]) => `${name(from)}->${name(to)}`) });
  };
  const isRequired = new Set(required.map(([from, to]) => from * count + to)), isForbidden = new Set(forbidden.map(([from, to]) => from * count + to));
  let parents: readonly (readonly number[])[] = variables.map((_, v) => [...new Set(required.filter(([, to]) => to === v).map(([from]) => from))].toSorted((a, b) => a - b));
  for (const [from, to] of required) if (isForbidden.has(from * count + to)) refuse(`the arc ${name(from)} -> ${name(to)} is required and forbidden; decide for one`);
  parents.forEach((of, v) => { if (of.length > parentsMax) refuse(`${of.length} parents of "${name(v)}" are required, at most ${parentsMax} are allowed; raise the limit or require fewer`); });
  const cycle = cycleOf(parents);
  if (cycle !== null) refuse(`the required arcs have a cycle: ${[...cycle, cycle[0]].map(name).join(" -> ")}; take one out`);

  const compact = distinctRows(rows, count);
  const scores = new Map<string, number>();
  const scoreOf = (v: number, of: readonly number[]): number => {
    const key = `${v}|${of.join()}`;
    let value = scores.get(key);
    if (value === undefined) {
      const entries = of.reduce((product, parent) => product * variables[parent].states.length, variables[v].states.length);
      value = entries > FAMILY_ENTRIES_MAX ? -Infinity : familyScore(familyCounts(variables, compact, v, of), variables[v].states.length, possibilityOf(variables, v, of, impossible), score, equivalentSampleSize, sampleSize);
      scores.set(key, value);
    }
    return value;
  };
  const total = (of: readonly (readonly number[])[]): number => of.reduce((sum, each, v) => sum + scoreOf(v, each), 0);
  const keyOf = (of: readonly (readonly number[])[]): string => of.map((each) => each.join()).join(";");

  let best = { parents, score: total(parents) };
  const kept: string[] = [keyOf(parents)];
  let moves = 0;
  for (let patience = search === "tabu" ? TABU_PATIENCE : 0; ;) {
    let gain = -Infinity, next: readonly (readonly number[])[] | null = null;
    for (const [changed, of] of neighbors(parents, isRequired, isForbidden, parentsMax)) {
      const difference = changed.reduce((sum, v) => sum + scoreOf(v, of[v]) - scoreOf(v, parents[v]), 0);
      if (difference > gain + GAIN_MIN && (search !== "tabu" || !kept.includes(keyOf(of)))) [gain, next] = [difference, of];
    }
    if (next === null || (gain <= GAIN_MIN && patience === 0)) break;
    parents = next;
    moves++;
    kept.push(keyOf(parents));
    if (kept.length > TABU_KEPT) kept.shift();
    const reached = total(parents);
    if (reached > best.score + GAIN_MIN) {
      best = { parents, score: reached };
      if (search === "tabu") patience = TABU_PATIENCE;
    } else if (--patience < 0) break;
  }
  return { ...best, moves };
}

/** Every structure one allowed move away, with the variables whose parents it changes, in the order in which equals are preferred. */
function* neighbors(parents: readonly (readonly number[])[], isRequired: ReadonlySet<number>, isForbidden: ReadonlySet<number>, parentsMax: number): Generator<readonly [readonly number[], readonly (readonly number[])[]]> {
  const count = parents.length;
  const ancestors = ancestorsOf(parents);
  const isFree = (from: number, to: number): boolean => !isForbidden.has(from * count + to) && parents[to].length < parentsMax;
  const withArc = (of: readonly (readonly number[])[], from: number, to: number): readonly (readonly number[])[] => of.map((each, v) => (v === to ? [...each, from].toSorted((a, b) => a - b) : each));
  const without = (from: number, to: number): readonly (readonly number[])[] => parents.map((each, v) => (v === to ? each.filter((parent) => parent !== from) : each));
  for (let from = 0; from < count; from++) for (let to = 0; to < count; to++) {
    if (from !== to && !parents[to].includes(from) && !ancestors[from].has(to) && isFree(from, to)) yield [[to], withArc(parents, from, to)];
  }
  for (let from = 0; from < count; from++) for (const [to, of] of parents.entries()) if (of.includes(from) && !isRequired.has(from * count + to)) yield [[to], without(from, to)];
  for (let from = 0; from < count; from++) for (const [to, of] of parents.entries()) {
    if (!of.includes(from) || isRequired.has(from * count + to) || !isFree(to, from)) continue;
    // Turned, the arc closes a cycle when another path leads from its old parent to its old child.
    if (!of.some((other) => other !== from && (ancestors[other].has(from)))) yield [[to, from], withArc(without(from, to), to, from)];
  }
}

/** All that lies before each variable. */
function ancestorsOf(parents: readonly (readonly number[])[]): readonly ReadonlySet<number>[] {
  return parents.map((_, v) => {
    const found = new Set<number>(), open = [...parents[v]];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      open.push(...parents[next]);
    }
    return found;
  });
}

function familyScore(counts: Float64Array, states: number, isPossible: (entry: number) => boolean, score: "bdeu" | "bic", equivalentSampleSize: number, rows: number): number {
  const configurations = counts.length / states;
  let value = 0, free = 0;
  for (let start = 0; start < counts.length; start += states) {
    let total = 0, possible = 0;
    for (let at = start; at < start + states; at++) {
      total += counts[at];
      if (isPossible(at)) possible++;
    }
    free += Math.max(0, possible - 1);
    if (total === 0) continue;
    const all = equivalentSampleSize / configurations, each = all / Math.max(1, possible);
    if (score === "bdeu") value += logGamma(all) - logGamma(all + total);
    for (let at = start; at < start + states; at++) {
      if (counts[at] === 0) continue;
      value += score === "bdeu" ? logGamma(each + counts[at]) - logGamma(each) : counts[at] * Math.log(counts[at] / total);
    }
  }
  return score === "bdeu" ? value : value - 0.5 * Math.log(Math.max(2, rows)) * free;
}

/** The same rows with equal ones as one row of their weight. */
function distinctRows({ states, rows, weight }: NetworkRows, width: number): NetworkRows {
  if (states.some((state) => state < 0)) throw new PopulaceError("INTERNAL", "learnStructure: a state is missing; leave the row out", {});
  const found = new Map<string, { readonly row: number; weight: number }>();
  for (let row = 0; row < rows; row++) {
    const key = states.subarray(row * width, (row + 1) * width).join(), times = weight === null ? 1 : weight[row];
    const known = found.get(key);
    if (known === undefined) found.set(key, { row, weight: times });
    else known.weight += times;
  }
  const distinct = [...found.values()];
  const kept = new Int16Array(distinct.length * width);
  distinct.forEach(({ row }, at) => kept.set(states.subarray(row * width, (row + 1) * width), at * width));
  return { states: kept, rows: distinct.length, weight: Float64Array.from(distinct, (each) => each.weight) };
}
