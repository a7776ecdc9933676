import { PopulaceError } from "../error.ts";
import { closestName } from "../prioritization/closest-name.ts";

/** A discrete quantity with named states. */
export interface NetworkVariable {
  readonly name: string;
  readonly states: readonly string[];
}

/**
 * A Bayesian network over discrete variables: P(all) is the product of P(variable | its parents). Variables are known by their
 * index; `parents[v]` are indices in the order of `tables[v]`, which holds one row a configuration of the parents (the first
 * parent slowest) and in it the probabilities of v's states, which add to 1.
 */
export interface BayesianNetwork {
  readonly name: string;
  readonly variables: readonly NetworkVariable[];
  readonly parents: readonly (readonly number[])[];
  readonly tables: readonly Float64Array[];
  /** What a careful reader should know: rows that were normalized. */
  readonly notes: readonly string[];
}

/** One variable of a network as files and people state it: parents by name, the table as numbers in the order of `BayesianNetwork`. */
export interface StatedVariable extends NetworkVariable {
  readonly parents: readonly string[];
  readonly table: ArrayLike<number>;
}

/** Largest error of a row's sum that is normalized, with a note, instead of refused: files round to seven digits. */
const ROW_ERROR_MAX = 1e-6;
/** A row's sum this near to 1 is 1 in doubles; the row stays as it is, so that reading what was written gives the same bits. */
const ROW_ERROR_NONE = 1e-12;
/** Probabilities one table may hold (32 MB). */
const TABLE_ENTRIES_MAX = 1 << 22;

/**
 * The network that the variables state. BAD_NETWORK names the variable and what is wrong: duplicate or missing names, an unknown
 * parent, a cycle (with its variables), a table of another size, probabilities outside of 0 to 1, rows whose sum is off by more than
 * 1e-6 (nearer ones are normalized with a note). TOO_LARGE beyond 2^22 probabilities of one variable.
 */
export function bayesianNetwork(name: string, stated: readonly StatedVariable[]): BayesianNetwork {
  const refuse = (message: string, details: Readonly<Record<string, unknown>> = {}): never => {
    throw new PopulaceError("BAD_NETWORK", `network "${name}": ${message}`, { network: name, ...details });
  };
  if (stated.length === 0) refuse("it has no variables; state at least one");
  const indexOf = new Map<string, number>();
  for (const [index, variable] of stated.entries()) {
    if (variable.name === "") refuse(`variable ${index + 1} has no name`);
    if (indexOf.has(variable.name)) refuse(`variable "${variable.name}" is stated twice; every name is used once`, { variable: variable.name });
    indexOf.set(variable.name, index);
    if (variable.states.length === 0) refuse(`variable "${variable.name}" has no states`, { variable: variable.name });
    if (variable.states.includes("")) refuse(`variable "${variable.name}" has a state without a name`, { variable: variable.name });
    const twice = variable.states.find((state, at) => variable.states.indexOf(state) !== at);
    if (twice !== undefined) refuse(`variable "${variable.name}" has the state "${twice}" twice`, { variable: variable.name, state: twice });
  }
  const parents = stated.map((variable) => {
    const found = variable.parents.map((parent) => {
      const known = indexOf.get(parent);
      if (known !== undefined) return known;
      const near = closestName(parent, [...indexOf.keys()]);
      return refuse(`variable "${variable.name}" has the unknown parent "${parent}"${near === null ? "" : `; did you mean "${near}"?`}`, { variable: variable.name, parent });
    });
    if (new Set(found).size !== found.length) refuse(`variable "${variable.name}" has a parent twice`, { variable: variable.name });
    return found;
  });
  const cycle = cycleOf(parents);
  if (cycle !== null) {
    const names = cycle.map((v) => stated[v].name);
    refuse(`it has a cycle: ${[...names, names[0]].join(" -> ")}; take one of these arcs out`, { cycle: names });
  }
  const notes: string[] = [];
  const tables = stated.map((variable, v) => {
    const states = variable.states.length;
    const rows = parents[v].reduce((product, parent) => product * stated[parent].states.length, 1);
    if (rows * states > TABLE_ENTRIES_MAX) {
      throw new PopulaceError("TOO_LARGE", `network "${name}": the table of "${variable.name}" would hold ${rows * states} probabilities; at most ${TABLE_ENTRIES_MAX}. Give it fewer parents or states`, { network: name, variable: variable.name, entries: rows * states });
    }
    if (variable.table.length !== rows * states) {
      refuse(`the table of "${variable.name}" holds ${variable.table.length} numbers; expected ${rows} rows of ${states}`, { variable: variable.name, expected: rows * states });
    }
    return tableOf(variable, rows, states, refuse, notes);
  });
  return { name, variables: stated.map(({ name: variable, states }) => ({ name: variable, states: [...states] })), parents, tables, notes };
}

function tableOf(variable: StatedVariable, rows: number, states: number, refuse: (message: string, details: Readonly<Record<string, unknown>>) => never, notes: string[]): Float64Array {
  const table = Float64Array.from(variable.table);
  let normalized = 0, worst = 0;
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let at = row * states; at < (row + 1) * states; at++) {
      if (!(table[at] >= 0 && table[at] <= 1 + ROW_ERROR_MAX)) refuse(`row ${row + 1} of "${variable.name}" holds ${table[at]}; expected probabilities from 0 to 1`, { variable: variable.name, row });
      sum += table[at];
    }
    const error = Math.abs(sum - 1);
    if (error > ROW_ERROR_MAX * (1 + 1e-9)) refuse(`row ${row + 1} of "${variable.name}" adds to ${sum}, not to 1 within ${ROW_ERROR_MAX}; correct its probabilities`, { variable: variable.name, row, sum });
    if (error <= ROW_ERROR_NONE) continue;
    for (let at = row * states; at < (row + 1) * states; at++) table[at] /= sum;
    normalized++;
    worst = Math.max(worst, error);
  }
  if (normalized > 0) notes.push(`"${variable.name}": ${normalized} of ${rows} rows added to 1 only within ${worst.toExponential(1)} and were normalized`);
  return table;
}

/** The network as its variables state it: what `bayesianNetwork` reads. */
export const statedVariables = (network: BayesianNetwork): readonly StatedVariable[] =>
  network.variables.map((variable, v) => ({ ...variable, parents: network.parents[v].map((parent) => network.variables[parent].name), table: network.tables[v] }));

/** Variables of a directed cycle in the order of its arcs, or null when there is none. */
export function cycleOf(parents: readonly (readonly number[])[]): readonly number[] | null {
  const UNSEEN = 0, OPEN = 1, DONE = 2;
  const state = new Uint8Array(parents.length);
  for (let start = 0; start < parents.length; start++) {
    if (state[start] !== UNSEEN) continue;
    // Walks from children to parents; `path` holds who is open, each with the next of its parents to look at.
    const path: { readonly v: number; next: number }[] = [{ v: start, next: 0 }];
    state[start] = OPEN;
    while (path.length > 0) {
      const top = path.at(-1)!;
      if (top.next === parents[top.v].length) {
        state[top.v] = DONE;
        path.pop();
        continue;
      }
      const parent = parents[top.v][top.next++];
      if (state[parent] === OPEN) return path.slice(path.findIndex(({ v }) => v === parent)).map(({ v }) => v).toReversed();
      if (state[parent] === UNSEEN) {
        state[parent] = OPEN;
        path.push({ v: parent, next: 0 });
      }
    }
  }
  return null;
}

/** Variables of an acyclic graph, parents before children, the lowest index first where there is a choice. */
export function topologicalOrder(parents: readonly (readonly number[])[]): readonly number[] {
  const isPlaced = new Uint8Array(parents.length);
  const order: number[] = [];
  while (order.length < parents.length) {
    const next = parents.findIndex((of, v) => isPlaced[v] === 0 && of.every((parent) => isPlaced[parent] === 1));
    if (next < 0) throw new PopulaceError("INTERNAL", "topologicalOrder: the graph has a cycle", { cycle: cycleOf(parents) });
    isPlaced[next] = 1;
    order.push(next);
  }
  return order;
}

/** Index of the variable of that name; NOT_FOUND with what was probably meant. */
export function variableIndex(network: Pick<BayesianNetwork, "name" | "variables">, name: string): number {
  const found = network.variables.findIndex((variable) => variable.name === name);
  return found >= 0 ? found : unknown(name, `the network "${network.name}" has no variable`, network.variables.map((variable) => variable.name));
}

/** Index of the state of that name; NOT_FOUND with the states there are. */
export function stateIndex(variable: NetworkVariable, name: string): number {
  const found = variable.states.indexOf(name);
  return found >= 0 ? found : unknown(name, `the variable "${variable.name}" has no state`, variable.states);
}

const NAMES_SHOWN = 12;

function unknown(name: string, what: string, known: readonly string[]): never {
  const near = closestName(name, known);
  const shown = known.length > NAMES_SHOWN ? `${known.slice(0, NAMES_SHOWN).join(", ")}, ...` : known.join(", ");
  throw new PopulaceError("NOT_FOUND", `${what} "${name}"; ${near === null ? `there are ${shown}` : `did you mean "${near}"?`}`, { name, suggestion: near });
}

/**
 * What was seen: for some variables (by index) a likelihood of each state, 0 to 1 and not all 0. A variable whose state is known has 1
 * there and 0 elsewhere; anything between is soft (virtual) evidence (Pearl 1988, section 2.2.2).
 */
export type NetworkEvidence = ReadonlyMap<number, Float64Array>;

/**
 * Evidence from names: `hard` says the state of a variable, `soft` a likelihood of every state of it. NOT_FOUND for unknown names,
 * BAD_NETWORK for likelihoods outside of 0 to 1, all 0, or missing for a state.
 */
export function evidenceOf(
  network: BayesianNetwork, hard: Readonly<Record<string, string>>, soft: Readonly<Record<string, Readonly<Record<string, number>>>> = {},
): NetworkEvidence {
  const evidence = new Map<number, Float64Array>();
  for (const [name, state] of Object.entries(hard)) {
    const v = variableIndex(network, name);
    const likelihood = new Float64Array(network.variables[v].states.length);
    likelihood[stateIndex(network.variables[v], state)] = 1;
    evidence.set(v, likelihood);
  }
  for (const [name, likelihoods] of Object.entries(soft)) {
    const v = variableIndex(network, name), { states } = network.variables[v];
    const refuse = (message: string): never => {
      throw new PopulaceError("BAD_NETWORK", `soft evidence on "${name}": ${message}`, { variable: name });
    };
    for (const state of Object.keys(likelihoods)) stateIndex(network.variables[v], state);
    const values = Float64Array.from(states, (state) => {
      if (!Object.hasOwn(likelihoods, state)) return refuse(`the state "${state}" has no likelihood; give each of ${states.join(", ")} one from 0 to 1`);
      return likelihoods[state] >= 0 && likelihoods[state] <= 1 ? likelihoods[state] : refuse(`the likelihood of "${state}" is ${likelihoods[state]}; expected 0 to 1`);
    });
    if (values.every((value) => value === 0)) refuse("every state has the likelihood 0; at least one must be possible");
    const known = evidence.get(v);
    evidence.set(v, known === undefined ? values : values.map((value, state) => value * known[state]));
  }
  return evidence;
}

/** The evidence in words: `a=x, b~(x:0.7 y:0.3)`. */
export function evidenceText(network: BayesianNetwork, evidence: NetworkEvidence): string {
  return [...evidence].map(([v, likelihood]) => {
    const { name, states } = network.variables[v];
    const certain = certainState(likelihood);
    return certain >= 0 ? `${name}=${states[certain]}` : `${name}~(${states.map((state, s) => `${state}:${likelihood[s]}`).join(" ")})`;
  }).join(", ");
}

/** The one state that a likelihood leaves possible, -1 when there are more or none. */
export function certainState(likelihood: Float64Array): number {
  let found = -1;
  for (let state = 0; state < likelihood.length; state++) {
    if (likelihood[state] === 0) continue;
    if (found >= 0) return -1;
    found = state;
  }
  return found;
}

/** One row of states drawn from the network, variables in its order; parents are drawn first. */
export function drawStates(network: BayesianNetwork, order: readonly number[], random: { uniform(): number }, into: { [index: number]: number }): void {
  for (const v of order) {
    const states = network.variables[v].states.length;
    let row = 0;
    for (const parent of network.parents[v]) row = row * network.variables[parent].states.length + into[parent];
    let left = random.uniform(), state = 0;
    while (state < states - 1 && (left -= network.tables[v][row * states + state]) >= 0) state++;
    // Rounding must not end in a state that never occurs.
    while (state > 0 && network.tables[v][row * states + state] === 0) state--;
    into[v] = state;
  }
}
