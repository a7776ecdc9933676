import { PopulaceError } from "../error.ts";
import { certainState, evidenceText } from "./bayesian-network.ts";
import type { BayesianNetwork, NetworkEvidence } from "./bayesian-network.ts";

/** A table over some variables, the last of them fastest. */
interface Factor {
  readonly variables: readonly number[];
  readonly values: Float64Array;
}

/** Entries one intermediate table may have (128 MB). */
const FACTOR_ENTRIES_MAX = 1 << 24;

/**
 * P(query | evidence), the first queried variable slowest, and log P(evidence), by summing out one variable after another (Zhang and
 * Poole 1994). Shares no code with the junction tree: the two check each other, and agree to 1e-12. IMPOSSIBLE_EVIDENCE when the
 * evidence has probability 0; TOO_LARGE, with the variables, when a table would exceed 2^24 entries.
 */
export function eliminate(network: BayesianNetwork, query: readonly number[], evidence: NetworkEvidence = new Map()): { readonly joint: Float64Array; readonly logEvidence: number } {
  const summed = sumOut(network, query, evidence);
  const joint = product(network, summed.factors, query);
  const total = joint.reduce((sum, value) => sum + value, 0);
  if (total === 0) throw impossible(network, evidence);
  return { joint: joint.map((value) => value / total), logEvidence: summed.logScale + Math.log(total) };
}

/** The likeliest joint state of some variables. */
export interface MostProbable {
  /** The variables asked for, and the state of each. */
  readonly variables: readonly number[];
  readonly states: readonly number[];
  /** log P(these states | evidence). */
  readonly logProbability: number;
}

/**
 * The states of `variables` that are likeliest together given the evidence (MAP), everything else summed out; without `variables` the
 * likeliest explanation of all that is not in evidence (MPE). Of equally likely ones the first state of the variable that was decided
 * last, deterministically. Errors as `eliminate`. Summing before maximizing can need far larger tables than a marginal does.
 */
export function mostProbable(network: BayesianNetwork, variables: readonly number[] | null, evidence: NetworkEvidence = new Map()): MostProbable {
  const asked = variables ?? network.variables.map((_, v) => v).filter((v) => !evidence.has(v) || certainState(evidence.get(v)!) < 0);
  const summed = sumOut(network, asked, evidence);
  const total = eliminate(network, [], evidence).logEvidence;
  let { factors, logScale } = summed;
  const decisions: { readonly v: number; readonly scope: readonly number[]; readonly best: Int32Array }[] = [];
  const left = new Set(asked);
  while (left.size > 0) {
    const v = cheapest(network, factors, left);
    left.delete(v);
    const [touching, others] = split(factors, v);
    const scope = scopeOf(touching).filter((other) => other !== v);
    const joint = product(network, touching, [...scope, v]);
    const states = network.variables[v].states.length;
    const values = new Float64Array(joint.length / states), best = new Int32Array(values.length);
    for (let row = 0; row < values.length; row++) {
      for (let state = 1; state < states; state++) if (joint[row * states + state] > joint[row * states + best[row]]) best[row] = state;
      values[row] = joint[row * states + best[row]];
    }
    decisions.push({ v, scope, best });
    const scaled = rescaled({ variables: scope, values });
    logScale += scaled.logScale;
    factors = [...others, scaled.factor];
  }
  const value = factors.reduce((all, factor) => all * factor.values[0], 1);
  if (value === 0) throw impossible(network, evidence);
  const stateOf = new Map<number, number>();
  for (const { v, scope, best } of decisions.toReversed()) {
    let row = 0;
    for (const other of scope) row = row * network.variables[other].states.length + stateOf.get(other)!;
    stateOf.set(v, best[row]);
  }
  return { variables: asked, states: asked.map((v) => stateOf.get(v)!), logProbability: logScale + Math.log(value) - total };
}

/** The factors of P(kept, evidence) after everything else was summed out; their product times e^logScale is it. */
function sumOut(network: BayesianNetwork, kept: readonly number[], evidence: NetworkEvidence): { factors: readonly Factor[]; logScale: number } {
  // A known state that nobody asks for is cut out of the tables; anything else is a factor of its own.
  const known = new Map([...evidence].flatMap(([v, likelihood]) => {
    const state = certainState(likelihood);
    return state >= 0 && !kept.includes(v) ? [[v, state] as const] : [];
  }));
  let factors: readonly Factor[] = [
    ...network.parents.map((parents, v) => cut(network, { variables: [...parents, v], values: network.tables[v] }, known)),
    ...[...evidence].map(([v, likelihood]): Factor => (known.has(v) ? { variables: [], values: Float64Array.of(likelihood[known.get(v)!]) } : { variables: [v], values: likelihood })),
  ];
  let logScale = 0;
  const left = new Set(network.variables.map((_, v) => v).filter((v) => !known.has(v) && !kept.includes(v)));
  while (left.size > 0) {
    const v = cheapest(network, factors, left);
    left.delete(v);
    const [touching, others] = split(factors, v);
    const scope = scopeOf(touching).filter((other) => other !== v);
    const joint = product(network, touching, [...scope, v]);
    const states = network.variables[v].states.length;
    const values = new Float64Array(joint.length / states);
    for (let entry = 0; entry < joint.length; entry++) values[Math.floor(entry / states)] += joint[entry];
    const scaled = rescaled({ variables: scope, values });
    if (scaled.logScale === -Infinity) throw impossible(network, evidence);
    logScale += scaled.logScale;
    factors = [...others, scaled.factor];
  }
  return { factors, logScale };
}

function impossible(network: BayesianNetwork, evidence: NetworkEvidence): PopulaceError {
  const all = evidenceText(network, evidence);
  return new PopulaceError("IMPOSSIBLE_EVIDENCE", `network "${network.name}": the evidence ${all} has probability 0; change or leave out one of these`, { network: network.name, evidence: all });
}

/** The variable whose going makes the smallest table, the lowest index of equals. */
function cheapest(network: BayesianNetwork, factors: readonly Factor[], left: ReadonlySet<number>): number {
  let best = -1, bestSize = Infinity;
  for (const v of left) {
    const size = scopeOf(factors.filter((factor) => factor.variables.includes(v))).reduce((all, other) => all * network.variables[other].states.length, 1);
    if (size < bestSize || (size === bestSize && v < best)) [best, bestSize] = [v, size];
  }
  return best;
}

const split = (factors: readonly Factor[], v: number): readonly [readonly Factor[], readonly Factor[]] => [factors.filter((factor) => factor.variables.includes(v)), factors.filter((factor) => !factor.variables.includes(v))];

const scopeOf = (factors: readonly Factor[]): readonly number[] => [...new Set(factors.flatMap((factor) => factor.variables))].toSorted((a, b) => a - b);

/** The part of a factor in which the known variables have their states. */
function cut(network: BayesianNetwork, factor: Factor, known: ReadonlyMap<number, number>): Factor {
  const open = factor.variables.filter((v) => !known.has(v));
  if (open.length === factor.variables.length) return factor;
  const values: number[] = [];
  forEachState(network, factor.variables, (state, entry) => {
    if (factor.variables.every((v, at) => !known.has(v) || known.get(v) === state[at])) values.push(factor.values[entry]);
  });
  return { variables: open, values: Float64Array.from(values) };
}

/** The product of factors as one table over `scope`, which holds all their variables. */
function product(network: BayesianNetwork, factors: readonly Factor[], scope: readonly number[]): Float64Array {
  const size = scope.reduce((all, v) => all * network.variables[v].states.length, 1);
  if (size > FACTOR_ENTRIES_MAX) {
    throw new PopulaceError("TOO_LARGE", `network "${network.name}": this would need a table over ${scope.length} variables with ${size} entries (${scope.map((v) => network.variables[v].name).join(", ")}), at most ${FACTOR_ENTRIES_MAX}; ask for fewer variables or give more evidence`, { clique: scope.map((v) => network.variables[v].name), entries: size });
  }
  const result = new Float64Array(size).fill(1);
  const places = factors.map((factor) => factor.variables.map((v) => [scope.indexOf(v), network.variables[v].states.length] as const));
  forEachState(network, scope, (state, entry) => {
    for (let f = 0; f < factors.length; f++) {
      let at = 0;
      for (const [place, states] of places[f]) at = at * states + state[place];
      result[entry] *= factors[f].values[at];
    }
  });
  return result;
}

/** Calls `visit` with the states of `scope` and the entry they have, in the order of a table over it. */
function forEachState(network: BayesianNetwork, scope: readonly number[], visit: (state: Int32Array, entry: number) => void): void {
  const state = new Int32Array(scope.length);
  const cards = scope.map((v) => network.variables[v].states.length);
  const size = cards.reduce((all, card) => all * card, 1);
  for (let entry = 0; entry < size; entry++) {
    visit(state, entry);
    for (let at = scope.length - 1; at >= 0 && ++state[at] === cards[at]; at--) state[at] = 0;
  }
}

/** The factor with 1 as its largest value, and the logarithm of what that took out; -Infinity when everything is 0. */
function rescaled({ variables, values }: Factor): { readonly factor: Factor; readonly logScale: number } {
  const most = values.reduce((largest, value) => Math.max(largest, value), 0);
  return most === 0 ? { factor: { variables, values }, logScale: -Infinity } : { factor: { variables, values: values.map((value) => value / most) }, logScale: Math.log(most) };
}
