import { PopulaceError } from "../error.ts";
import { evidenceText } from "./bayesian-network.ts";
import type { BayesianNetwork, NetworkEvidence } from "./bayesian-network.ts";

/** Beliefs about every variable after evidence. */
export interface Beliefs {
  /** P(state | evidence) of each variable. */
  readonly marginals: readonly Float64Array[];
  /** P(states of the variables asked for together | evidence), the first of them slowest; a single 1 where none was asked for. */
  readonly joint: Float64Array;
  /** log P(evidence); with soft evidence the expected likelihood. */
  readonly logEvidence: number;
}

/** Entries that the tables of all cliques may have together: 2^24 are 128 MB and a tenth of a second a query. */
export const CLIQUE_ENTRIES_MAX = 1 << 24;

/** A clique or, for all but the first, also the separator to its parent and the place of its entries there. */
interface Clique {
  /** Ascending; the last varies fastest in the table. */
  readonly variables: readonly number[];
  readonly size: number;
  /** Index of the parent clique, lower than its own; -1 for the root. */
  readonly parent: number;
  readonly separatorSize: number;
  /** Entry of this clique, and of the parent, -> entry of the separator. */
  readonly toSeparator: Int32Array;
  readonly parentToSeparator: Int32Array;
}

/** Where a set of variables is read or written: in a clique that holds them all, entry of the clique -> entry of their own table. */
interface Projection {
  readonly clique: number;
  readonly size: number;
  readonly map: Int32Array;
}

/**
 * Exact inference by message passing between the cliques of a triangulated graph (Lauritzen and Spiegelhalter 1988; in the form of
 * Jensen, Lauritzen and Olesen 1990): every marginal in one pass. The tree depends on variables and arcs alone, so one tree serves any
 * evidence and any tables of its network. Triangulation by least fill-in, then smallest table, then lowest index.
 *
 *   const tree = new JunctionTree(network);
 *   tree.beliefs(evidenceOf(network, { smoke: "yes" })).marginals
 *
 * Cost of a query: a few passes over the tables of the cliques (ALARM: 1,000 entries, tens of microseconds). A tree keeps its
 * buffers and is used by one caller at a time.
 */
export class JunctionTree {
  /** Variables in the largest clique, less one. */
  readonly treewidth: number;
  /** Entries of all tables. */
  readonly entries: number;
  readonly #network: BayesianNetwork;
  readonly #cliques: readonly Clique[];
  readonly #families: readonly Projection[];
  readonly #singles: readonly Projection[];
  readonly #together: Projection;
  readonly #tables: readonly Float64Array[];
  readonly #separators: readonly Float64Array[];
  readonly #messages: readonly Float64Array[];

  /**
   * `together`: variables whose joint distribution is asked for; they end up in one clique. TOO_LARGE, with the largest clique, when the
   * tables would have more than `entriesMax` entries: the network is then too densely connected for exact inference.
   */
  constructor(network: BayesianNetwork, together: readonly number[] = [], entriesMax = CLIQUE_ENTRIES_MAX) {
    const cards = network.variables.map((variable) => variable.states.length);
    const cliques = cliquesOf(moralGraph(network.parents, together), cards, (clique) => {
      throw new PopulaceError("TOO_LARGE", `network "${network.name}": exact inference would need a table over ${clique.length} variables with ${clique.reduce((product, v) => product * cards[v], 1)} entries (${clique.map((v) => network.variables[v].name).join(", ")}), all tables at most ${entriesMax}; take arcs out or merge states`, { clique: clique.map((v) => network.variables[v].name), entriesMax });
    }, entriesMax);
    this.#network = network;
    this.treewidth = Math.max(...cliques.map((clique) => clique.length)) - 1;
    this.#cliques = joined(cliques, cards);
    this.entries = this.#cliques.reduce((entries, clique) => entries + clique.size, 0);
    const holding = cards.map((): number[] => []);
    this.#cliques.forEach(({ variables }, index) => { for (const v of variables) holding[v].push(index); });
    const project = (variables: readonly number[]): Projection => {
      let clique = -1;
      for (const index of variables.length === 0 ? [0] : holding[variables[0]]) {
        if ((clique < 0 || this.#cliques[index].size < this.#cliques[clique].size) && variables.every((v) => this.#cliques[index].variables.includes(v))) clique = index;
      }
      return { clique, size: variables.reduce((product, v) => product * cards[v], 1), map: projection(this.#cliques[clique].variables, cards, variables) };
    };
    this.#families = network.parents.map((parents, v) => project([...parents, v]));
    this.#singles = network.parents.map((_, v) => project([v]));
    this.#together = project(together);
    this.#tables = this.#cliques.map((clique) => new Float64Array(clique.size));
    this.#separators = this.#cliques.map((clique) => new Float64Array(clique.separatorSize));
    this.#messages = this.#cliques.map((clique) => new Float64Array(clique.separatorSize));
  }

  /** Variables of every clique, by index. */
  get cliques(): readonly (readonly number[])[] {
    return this.#cliques.map((clique) => clique.variables);
  }

  /**
   * Beliefs after the evidence, under the network's own tables or others of the same shape. IMPOSSIBLE_EVIDENCE, with a smallest part
   * of the evidence that is impossible by itself, when its probability is 0.
   */
  beliefs(evidence: NetworkEvidence = new Map(), tables: readonly Float64Array[] = this.#network.tables): Beliefs {
    const logEvidence = this.#calibrate(evidence, tables);
    if (logEvidence === -Infinity) throw this.#impossible(evidence, tables);
    return { marginals: this.#singles.map((single) => this.#read(single, new Float64Array(single.size))), joint: this.#read(this.#together, new Float64Array(this.#together.size)), logEvidence };
  }

  /**
   * Adds `weight` times P(variable, parents | evidence) of every family to `counts`, which have the shape of the tables, and returns
   * log P(evidence); adds nothing and returns -Infinity when the evidence is impossible.
   */
  addExpectedCounts(evidence: NetworkEvidence, tables: readonly Float64Array[], weight: number, counts: readonly Float64Array[]): number {
    const logEvidence = this.#calibrate(evidence, tables);
    if (logEvidence === -Infinity) return logEvidence;
    this.#families.forEach(({ clique, map }, v) => {
      const table = this.#tables[clique], into = counts[v];
      for (let entry = 0; entry < map.length; entry++) into[map[entry]] += weight * table[entry];
    });
    return logEvidence;
  }

  /** Fills the cliques' tables with P(variables of the clique | evidence) and returns log P(evidence). */
  #calibrate(evidence: NetworkEvidence, tables: readonly Float64Array[]): number {
    const cliqueTables = this.#tables, separators = this.#separators, messages = this.#messages, cliques = this.#cliques;
    for (const table of cliqueTables) table.fill(1);
    this.#families.forEach((family, v) => multiply(cliqueTables[family.clique], tables[v], family.map));
    for (const [v, likelihood] of evidence) multiply(cliqueTables[this.#singles[v].clique], likelihood, this.#singles[v].map);
    // 1. Collect: from the leaves to the root, each message scaled to add to 1 so that many small factors do not underflow.
    let logEvidence = 0;
    for (let index = cliques.length - 1; index > 0; index--) {
      const clique = cliques[index], message = messages[index];
      sumInto(message, cliqueTables[index], clique.toSeparator);
      const total = sum(message);
      if (total === 0) return -Infinity;
      logEvidence += Math.log(total);
      for (let entry = 0; entry < message.length; entry++) separators[index][entry] = message[entry] / total;
      multiply(cliqueTables[clique.parent], separators[index], clique.parentToSeparator);
    }
    const total = sum(cliqueTables[0]);
    if (total === 0) return -Infinity;
    for (let entry = 0; entry < cliqueTables[0].length; entry++) cliqueTables[0][entry] /= total;
    // 2. Distribute: what the parent now believes about the separator, over what the clique told it (0 / 0 = 0: impossible stays so).
    for (let index = 1; index < cliques.length; index++) {
      const clique = cliques[index], believed = separators[index], told = messages[index];
      sumInto(believed, cliqueTables[clique.parent], clique.parentToSeparator);
      for (let entry = 0; entry < believed.length; entry++) believed[entry] = told[entry] === 0 ? 0 : believed[entry] / told[entry];
      multiply(cliqueTables[index], believed, clique.toSeparator);
    }
    return logEvidence + Math.log(total);
  }

  #read({ clique, map }: Projection, into: Float64Array): Float64Array {
    sumInto(into, this.#tables[clique], map);
    return into;
  }

  /** Takes findings away one after another as long as the rest is impossible: what is left is a smallest conflict. */
  #impossible(evidence: NetworkEvidence, tables: readonly Float64Array[]): PopulaceError {
    let conflict = evidence;
    for (const v of evidence.keys()) {
      const rest = new Map([...conflict].filter(([other]) => other !== v));
      if (this.#calibrate(rest, tables) === -Infinity) conflict = rest;
    }
    const network = this.#network;
    const all = evidenceText(network, evidence), least = evidenceText(network, conflict);
    return new PopulaceError("IMPOSSIBLE_EVIDENCE", `network "${network.name}": the evidence ${all} has probability 0${least === all ? "" : `: ${least} cannot be`}; change or leave out one of these`, { network: network.name, evidence: all, conflict: least });
  }
}

/** Neighbors of each variable once arcs lose their direction and parents of one child, like those asked for together, are joined. */
function moralGraph(parents: readonly (readonly number[])[], together: readonly number[]): readonly Set<number>[] {
  const neighbors = parents.map(() => new Set<number>());
  const join = (group: readonly number[]): void => {
    for (const a of group) for (const b of group) if (a !== b) neighbors[a].add(b);
  };
  parents.forEach((of, v) => join([...of, v]));
  join(together);
  return neighbors;
}

/** The maximal cliques, ascending lists, of the graph triangulated by elimination; `refuse` is given the largest when tables exceed the limit. Changes `neighbors`. */
function cliquesOf(neighbors: readonly Set<number>[], cards: readonly number[], refuse: (clique: readonly number[]) => never, entriesMax: number): readonly (readonly number[])[] {
  const count = neighbors.length;
  const isLeft = new Uint8Array(count).fill(1);
  const fill = new Float64Array(count), size = new Float64Array(count);
  const look = (v: number): void => {
    const around = [...neighbors[v]];
    let missing = 0, product = cards[v];
    around.forEach((a, at) => {
      product *= cards[a];
      for (let other = at + 1; other < around.length; other++) if (!neighbors[a].has(around[other])) missing++;
    });
    fill[v] = missing;
    size[v] = product;
  };
  for (let v = 0; v < count; v++) look(v);
  const cliques: number[][] = [];
  const holding = neighbors.map((): (readonly number[])[] => []);
  let largest: readonly number[] = [], largestSize = 0, total = 0;
  for (let round = 0; round < count; round++) {
    let next = -1;
    for (let v = 0; v < count; v++) {
      if (isLeft[v] === 0) continue;
      if (next < 0 || fill[v] < fill[next] || (fill[v] === fill[next] && size[v] < size[next])) next = v;
    }
    const around = [...neighbors[next]];
    const clique = [next, ...around].toSorted((a, b) => a - b);
    if (!holding[next].some((other) => clique.every((v) => other.includes(v)))) {
      cliques.push(clique);
      for (const v of clique) holding[v].push(clique);
      total += size[next];
      if (size[next] > largestSize) [largest, largestSize] = [clique, size[next]];
    }
    isLeft[next] = 0;
    const touched = new Set(around);
    for (const a of around) {
      neighbors[a].delete(next);
      // Where nothing is filled in, nobody beyond the neighbors changes.
      if (fill[next] === 0) continue;
      for (const b of around) if (a !== b) neighbors[a].add(b);
      for (const far of neighbors[a]) touched.add(far);
    }
    for (const v of touched) look(v);
  }
  return total > entriesMax ? refuse(largest) : cliques;
}

/**
 * The cliques as a tree: a spanning tree with the largest separators, which for maximal cliques of a triangulated graph is a junction tree
 * (Jensen and Jensen 1994). Parts that are not connected are joined by separators without variables.
 */
function joined(cliques: readonly (readonly number[])[], cards: readonly number[]): readonly Clique[] {
  const common = (a: readonly number[], b: readonly number[]): readonly number[] => a.filter((v) => b.includes(v));
  const sizeOf = (variables: readonly number[]): number => variables.reduce((product, v) => product * cards[v], 1);
  const tree: Clique[] = [{ variables: cliques[0], size: sizeOf(cliques[0]), parent: -1, separatorSize: 0, toSeparator: new Int32Array(0), parentToSeparator: new Int32Array(0) }];
  const holding = cards.map((): number[] => []);
  cliques.forEach((clique, index) => { for (const v of clique) holding[v].push(index); });
  // Of every clique outside of the tree: the best place to hang it, and how many variables it shares there.
  const place = cliques.map(() => 0), shared = cliques.map((clique) => common(clique, cliques[0]).length);
  shared[0] = -1;
  while (tree.length < cliques.length) {
    let next = -1;
    shared.forEach((size, index) => { if (size >= 0 && (next < 0 || size > shared[next])) next = index; });
    const variables = cliques[next], parent = place[next];
    const separator = common(variables, tree[parent].variables);
    tree.push({ variables, size: sizeOf(variables), parent, separatorSize: sizeOf(separator), toSeparator: projection(variables, cards, separator), parentToSeparator: projection(tree[parent].variables, cards, separator) });
    shared[next] = -1;
    for (const index of new Set(variables.flatMap((v) => holding[v]))) {
      if (shared[index] < 0) continue;
      const size = common(cliques[index], variables).length;
      if (size > shared[index]) [shared[index], place[index]] = [size, tree.length - 1];
    }
  }
  return tree;
}

/** Entry of a table over `variables` -> entry of the table over `subset` that it belongs to; the last variable of either varies fastest. */
function projection(variables: readonly number[], cards: readonly number[], subset: readonly number[]): Int32Array {
  const stride = new Float64Array(variables.length);
  let step = 1;
  for (const v of subset.toReversed()) {
    stride[variables.indexOf(v)] = step;
    step *= cards[v];
  }
  const map = new Int32Array(variables.reduce((size, v) => size * cards[v], 1));
  // Variable by variable from the last: what is there is repeated for every further state.
  let filled = 1;
  for (let at = variables.length - 1; at >= 0; at--) {
    const states = cards[variables[at]], shift = stride[at];
    for (let state = 1; state < states; state++) for (let entry = 0; entry < filled; entry++) map[state * filled + entry] = map[entry] + state * shift;
    filled *= states;
  }
  return map;
}

function multiply(table: Float64Array, by: Float64Array, map: Int32Array): void {
  for (let entry = 0; entry < table.length; entry++) table[entry] *= by[map[entry]];
}

function sumInto(into: Float64Array, table: Float64Array, map: Int32Array): void {
  into.fill(0);
  for (let entry = 0; entry < table.length; entry++) into[map[entry]] += table[entry];
}

function sum(table: Float64Array): number {
  let total = 0;
  for (let entry = 0; entry < table.length; entry++) total += table[entry];
  return total;
}
