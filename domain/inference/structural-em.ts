import type { NetworkVariable } from "./bayesian-network.ts";
import { learnWithMissing } from "./network-learning.ts";
import type { LearnedNetwork, NetworkRows } from "./network-learning.ts";
import { learnStructure } from "./network-structure.ts";
import type { Arc, LearnedStructure, StructureOptions } from "./network-structure.ts";

/** Completions of one row that are looked at: 12 missing yes or no. Rows with more take no part in the arcs. */
const COMPLETIONS_MOST = 4096;
/** Rounds in which arcs and tables are renewed by turns. */
const ROUNDS_MOST = 20;
/** Complete rows from which the search starts at their arcs; below, at the required ones. */
const COMPLETE_MIN = 30;

export interface StructuralLearning {
  /** Its score is the expected one. */
  readonly structure: LearnedStructure;
  readonly learned: LearnedNetwork;
  /** Rounds of arcs, rounds of tables for those returned, and whether both settled. */
  readonly rounds: number;
  readonly tableRounds: number;
  readonly hasConverged: boolean;
  /** Rows with too many missing states to take part in the arcs. */
  readonly leftOut: number;
}

/**
 * Arcs and tables from rows with missing states, taken to be missing at random: structural expectation maximization (Friedman 1998). Each row stands for
 * all its completions, weighed by their probability under the network so far; arcs are those of the highest expected score, tables are learned for them
 * (`learnWithMissing`), and so on until the arcs stay. Of the networks on the way the one with the highest BIC of what was observed is returned, so
 * that no round makes it worse. It begins at the arcs of the complete rows: an optimum near them. Deterministic; errors as `learnStructure` and
 * `learnWithMissing`. Cost a round: completions x variables, one structure, one expectation maximization.
 */
export function learnStructureWithMissing(name: string, variables: readonly NetworkVariable[], rows: NetworkRows, options: StructureOptions = {}): StructuralLearning {
  const { impossible = [] } = options, width = variables.length, size = rows.weight === null ? rows.rows : rows.weight.reduce((sum, each) => sum + each, 0);
  const rowAt = (row: number): Int16Array => rows.states.subarray(row * width, (row + 1) * width);
  const complete = Array.from({ length: rows.rows }, (_, row) => row).filter((row) => rowAt(row).every((state) => state >= 0));
  const start = complete.length >= COMPLETE_MIN ? gathered(complete.map((row) => [rowAt(row), weightAt(rows, row)] as const), width) : gathered([], width);
  let structure = learnStructure(variables, start, options);
  const visited: { readonly parents: LearnedStructure["parents"]; readonly em: ReturnType<typeof learnWithMissing>; readonly value: number }[] = [];
  let moves = structure.moves, filled: ReturnType<typeof completions>;
  for (;;) {
    const { parents } = structure, em = learnWithMissing(name, variables, parents, rows, { impossible });
    const free = em.learned.network.tables.reduce((sum, table, v) => sum + (table.length / variables[v].states.length) * (variables[v].states.length - 1), 0);
    visited.push({ parents, em, value: (em.objective.at(-1) ?? 0) - 0.5 * Math.log(Math.max(2, size)) * free });
    filled = completions(variables, rows, em.learned);
    structure = learnStructure(variables, filled.rows, { ...options, sampleSize: Math.round(size) });
    moves += structure.moves;
    if (visited.length === ROUNDS_MOST || visited.some((each) => each.parents.join(";") === structure.parents.join(";"))) break;
  }
  const best = visited.reduce((top, each) => (each.value > top.value ? each : top));
  const arcs = best.parents.flatMap((of, to) => of.map((from): Arc => [from, to])), others = variables.flatMap((_, from) => variables.flatMap((_unused, to): Arc[] => (from === to || best.parents[to].includes(from) ? [] : [[from, to]])));
  const { score } = learnStructure(variables, completions(variables, rows, best.em.learned).rows, { ...options, sampleSize: Math.round(size), required: arcs, forbidden: others });
  return { structure: { parents: best.parents, score, moves }, learned: best.em.learned, rounds: visited.length, tableRounds: best.em.objective.length, hasConverged: best.em.hasConverged && visited.length < ROUNDS_MOST, leftOut: filled.leftOut };
}

const weightAt = ({ weight }: NetworkRows, row: number): number => (weight === null ? 1 : weight[row]);

function gathered(list: readonly (readonly [ArrayLike<number>, number])[], width: number): NetworkRows {
  const states = new Int16Array(list.length * width);
  list.forEach(([row], at) => states.set(row, at * width));
  return { states, rows: list.length, weight: Float64Array.from(list, ([, weight]) => weight) };
}

/** Every row as its completions, each with its share of the row's weight. */
function completions(variables: readonly NetworkVariable[], rows: NetworkRows, { network }: LearnedNetwork): { readonly rows: NetworkRows; readonly leftOut: number } {
  const width = variables.length, found = new Map<string, { readonly states: Int16Array; weight: number }>();
  let leftOut = 0;
  for (let row = 0; row < rows.rows; row += 1) {
    const states = rows.states.slice(row * width, (row + 1) * width), open = [...states.keys()].filter((v) => states[v] < 0);
    const count = open.reduce((product, v) => product * variables[v].states.length, 1);
    if (count > COMPLETIONS_MOST) {
      leftOut += 1;
      continue;
    }
    const shares: number[] = [], made: Int16Array[] = [];
    for (let at = 0; at < count; at += 1) {
      const one = states.slice();
      let rest = at;
      for (const v of open) {
        one[v] = rest % variables[v].states.length;
        rest = Math.floor(rest / variables[v].states.length);
      }
      made.push(one);
      shares.push(count === 1 ? 1 : network.tables.reduce((product, table, v) => product * table[network.parents[v].reduce((entry, parent) => entry * variables[parent].states.length + one[parent], 0) * variables[v].states.length + one[v]], 1));
    }
    const total = shares.reduce((sum, share) => sum + share, 0);
    made.forEach((one, at) => {
      if (shares[at] === 0) return;
      const key = one.join(), weight = (weightAt(rows, row) * shares[at]) / total, known = found.get(key);
      if (known === undefined) found.set(key, { states: one, weight });
      else known.weight += weight;
    });
  }
  return { rows: gathered([...found.values()].map(({ states, weight }) => [states, weight] as const), width), leftOut };
}
