import { readFileSync } from "node:fs";
import { PopulaceError, bayesianNetwork } from "@populace/domain";
import type { BayesianNetwork, StatedVariable } from "@populace/domain";

/**
 * Reads a network in the Bayesian Interchange Format (Cozman, version 0.15): `network`, `variable` and `probability` blocks in any order,
 * properties and comments skipped, names bare or in double quotes. A row of a table is given by its parents' states, `default` fills
 * those not given, and `table` lists the numbers with the variable's own state slowest, then the parents in order. FILE_MISSING, or
 * BAD_NETWORK with file, line, column and what was expected.
 */
export function readBif(path: string): BayesianNetwork {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"}); name a BIF file`, { file: path }, cause);
  }
  return parseBif(text, path);
}

interface Token {
  readonly text: string;
  /** Of a name in quotes; punctuation inside of it means nothing. */
  readonly isQuoted: boolean;
  readonly at: number;
}

interface Declared {
  readonly states: readonly string[];
  readonly token: Token;
}

/** The same from text; `path` only names it in messages. */
export function parseBif(text: string, path = "network.bif"): BayesianNetwork {
  const reader = new Reader(text, path);
  let name: string | null = null;
  const declared = new Map<string, Declared>();
  const stated: { readonly variable: Token; readonly parents: readonly Token[]; readonly body: readonly Row[] }[] = [];
  while (!reader.isAtEnd) {
    const block = reader.next("network, variable or probability");
    if (block.text === "network") {
      if (name !== null) reader.fail(block, "one network", "a second one");
      name = reader.name("the network's name").text;
      reader.skipBlock();
    } else if (block.text === "variable") {
      const token = reader.name("the variable's name");
      if (declared.has(token.text)) reader.fail(token, "a name of its own for every variable", `"${token.text}" a second time`);
      declared.set(token.text, { states: variableStates(reader), token });
    } else if (block.text === "probability") stated.push(probability(reader));
    else reader.fail(block, "network, variable or probability");
  }
  const tables = new Map<string, StatedVariable>();
  for (const { variable, parents, body } of stated) {
    const known = (token: Token): Declared => declared.get(token.text) ?? reader.fail(token, `a declared variable (${[...declared.keys()].slice(0, 12).join(", ")})`);
    const { states } = known(variable);
    if (tables.has(variable.text)) reader.fail(variable, "one probability block a variable", `a second one of "${variable.text}"`);
    const table = tableOf(reader, variable, states, parents.map((parent) => known(parent).states), body);
    tables.set(variable.text, { name: variable.text, states, parents: parents.map((parent) => parent.text), table });
  }
  const variables = [...declared].map(([variable, { token }]) => tables.get(variable) ?? reader.fail(token, `a probability block of "${variable}"`, "none"));
  try {
    return bayesianNetwork(name ?? "unnamed", variables);
  } catch (error) {
    if (!(error instanceof PopulaceError)) throw error;
    const place = declared.get(String(error.details["variable"]))?.token;
    throw new PopulaceError(error.code, `${place === undefined ? path : reader.place(place)}: ${error.message}`, { file: path, ...error.details }, error);
  }
}

function variableStates(reader: Reader): readonly string[] {
  reader.take("{");
  let states: readonly string[] | null = null;
  for (;;) {
    const word = reader.next("type, property or }");
    if (word.text === "}" && !word.isQuoted) return states ?? reader.fail(word, "type discrete [ number of states ] { states };");
    if (word.text === "property") reader.skipTo(";");
    else if (word.text === "type") {
      const kind = reader.name("discrete");
      if (kind.text !== "discrete") reader.fail(kind, "discrete");
      reader.take("[");
      const count = reader.name("the number of states");
      reader.take("]");
      reader.take("{");
      const found = reader.list("}", "a state");
      reader.take(";");
      if (Number(count.text) !== found.length) reader.fail(count, `${found.length}, the number of states that follow`);
      states = found.map((token) => token.text);
    } else reader.fail(word, "type, property or }");
  }
}

/** A row of a probability block: the parents' states it is for, or what stands for many. */
interface Row {
  readonly of: "table" | "default" | readonly Token[];
  readonly place: Token;
  readonly values: readonly number[];
}

function probability(reader: Reader): { readonly variable: Token; readonly parents: readonly Token[]; readonly body: readonly Row[] } {
  reader.take("(");
  const variable = reader.name("the variable's name");
  const after = reader.next("| or )");
  if (after.isQuoted || (after.text !== "|" && after.text !== ")")) reader.fail(after, "| or )");
  const parents = after.text === "|" ? reader.list(")", "a parent") : [];
  reader.take("{");
  const body: Row[] = [];
  for (;;) {
    const word = reader.next("table, default, ( or }");
    if (word.text === "}" && !word.isQuoted) return { variable, parents, body };
    if (word.text === "property") {
      reader.skipTo(";");
      continue;
    }
    const of = word.text === "table" || word.text === "default" ? word.text : word.text === "(" && !word.isQuoted ? reader.list(")", "a state of a parent") : reader.fail(word, "table, default, ( or }");
    body.push({ of, place: word, values: reader.list(";", "a probability").map((token) => reader.number(token)) });
  }
}

function tableOf(reader: Reader, variable: Token, states: readonly string[], parents: readonly (readonly string[])[], body: readonly Row[]): Float64Array {
  const rows = parents.reduce((product, of) => product * of.length, 1), width = states.length;
  if (rows * width > ENTRIES_MAX) throw new PopulaceError("TOO_LARGE", `${reader.place(variable)}: the table of "${variable.text}" would hold ${rows * width} probabilities; at most ${ENTRIES_MAX}`, { variable: variable.text, entries: rows * width });
  const table = new Float64Array(rows * width).fill(NaN);
  const isGiven = new Uint8Array(rows);
  let others: Row | null = null;
  for (const row of body) {
    const expected = row.of === "table" ? rows * width : width;
    if (row.values.length !== expected) reader.fail(row.place, `${expected} probabilities of "${variable.text}" here`, `${row.values.length}`);
    if (row.of === "default") others = row;
    else if (row.of === "table") {
      for (let at = 0; at < rows; at++) for (let state = 0; state < width; state++) table[at * width + state] = row.values[state * rows + at];
      isGiven.fill(1);
    } else {
      const { of } = row;
      if (of.length !== parents.length) reader.fail(row.place, `a state of each of ${parents.length} parents`, `${of.length}`);
      let at = 0;
      of.forEach((token, index) => {
        const state = parents[index].indexOf(token.text);
        if (state < 0) reader.fail(token, `one of ${parents[index].join(", ")}`);
        at = at * parents[index].length + state;
      });
      if (isGiven[at] === 1) reader.fail(row.place, "every row once", "this row a second time");
      isGiven[at] = 1;
      table.set(row.values, at * width);
    }
  }
  for (let at = 0; at < rows; at++) {
    if (isGiven[at] === 1) continue;
    if (others === null) {
      const row = rowStates(parents, at);
      reader.fail(variable, row === "" ? `a table of "${variable.text}"` : `a row (${row}) of "${variable.text}", or default`, "none");
    } else table.set(others.values, at * width);
  }
  return table;
}

/** As many as a network takes, so that a hostile file costs nothing. */
const ENTRIES_MAX = 1 << 22;

function rowStates(parents: readonly (readonly string[])[], row: number): string {
  const names: string[] = [];
  for (const states of parents.toReversed()) {
    names.unshift(states[row % states.length]);
    row = Math.floor(row / states.length);
  }
  return names.join(", ");
}

const PUNCTUATION = "{}()[]|,;";
/** What may stand bare: no blank, quote or punctuation, and no beginning of a comment. */
const BARE = /^(?!\/\/|\/\*)[^\s"{}()[\]|,;]+$/;

class Reader {
  readonly #text: string;
  readonly #path: string;
  readonly #tokens: readonly Token[];
  #position = 0;

  constructor(text: string, path: string) {
    this.#text = text;
    this.#path = path;
    this.#tokens = this.#tokensOf();
  }

  get isAtEnd(): boolean {
    return this.#position === this.#tokens.length;
  }

  /** file:line:column of a token. */
  place(token: Token): string {
    const before = this.#text.slice(0, token.at).split("\n");
    return `${this.#path}:${before.length}:${before.at(-1)!.length + 1}`;
  }

  fail(token: Token, expected: string, found = token.text === "" ? "the end of the file" : `"${token.text.slice(0, 40)}"`): never {
    const place = this.place(token);
    const [line, column] = place.split(":").slice(-2).map(Number);
    throw new PopulaceError("BAD_NETWORK", `${place}: expected ${expected}; found ${found}`, { file: this.#path, line, column, expected });
  }

  next(expected: string): Token {
    return this.isAtEnd ? this.fail({ text: "", isQuoted: false, at: this.#text.length }, expected) : this.#tokens[this.#position++];
  }

  /** Takes this mark of punctuation. */
  take(mark: string): void {
    const token = this.next(mark);
    if (token.text !== mark || token.isQuoted) this.fail(token, mark);
  }

  /** Takes a bare or quoted word. */
  name(expected: string): Token {
    const token = this.next(expected);
    return !token.isQuoted && PUNCTUATION.includes(token.text) ? this.fail(token, expected) : token;
  }

  /** Takes words with commas between them up to and with `end`; old files leave commas out. */
  list(end: string, expected: string): readonly Token[] {
    const words: Token[] = [];
    for (;;) {
      words.push(this.name(expected));
      const token = this.next(`, or ${end}`);
      if (!token.isQuoted && token.text === end) return words;
      if (token.text === "," && !token.isQuoted) continue;
      if (!token.isQuoted && PUNCTUATION.includes(token.text)) this.fail(token, `, or ${end}`);
      this.#position--;
    }
  }

  number(token: Token): number {
    return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(token.text) && !token.isQuoted ? Number(token.text) : this.fail(token, "a probability such as 0.25");
  }

  skipTo(end: string): void {
    for (let token = this.next(end); token.text !== end || token.isQuoted; token = this.next(end));
  }

  /** Skips a block of properties. */
  skipBlock(): void {
    this.take("{");
    this.skipTo("}");
  }

  #tokensOf(): readonly Token[] {
    const tokens: Token[] = [];
    const pattern = /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|"((?:[^"\\]|\\.)*)"|[{}()[\]|,;]|[^\s"{}()[\]|,;]+/gsy;
    for (let at = 0; at < this.#text.length; at = pattern.lastIndex) {
      const match = pattern.exec(this.#text);
      if (match === null) return this.fail({ text: "", isQuoted: false, at }, "a closing quotation mark", "none to the end of the file");
      if (match[1] !== undefined) tokens.push({ text: match[1].replaceAll(/\\(.)/gs, "$1"), isQuoted: true, at });
      else if (!/^(\s|\/\/|\/\*)/.test(match[0])) tokens.push({ text: match[0], isQuoted: false, at });
    }
    return tokens;
  }
}

/** The network as BIF. Reading it back gives the same network to the bit; names that could not stand bare are put in quotes. */
export function bifText(network: BayesianNetwork): string {
  const word = (text: string): string => (BARE.test(text) && !KEYWORDS.has(text) ? text : `"${text.replaceAll(/["\\]/g, "\\$&")}"`);
  const lines = [`network ${word(network.name === "" ? "unnamed" : network.name)} {`, "}"];
  for (const { name, states } of network.variables) {
    lines.push(`variable ${word(name)} {`, `  type discrete [ ${states.length} ] { ${states.map(word).join(", ")} };`, "}");
  }
  network.variables.forEach(({ name, states }, v) => {
    const parents = network.parents[v].map((parent) => network.variables[parent]);
    lines.push(`probability ( ${word(name)}${parents.length === 0 ? "" : ` | ${parents.map((parent) => word(parent.name)).join(", ")}`} ) {`);
    const rows = network.tables[v].length / states.length;
    for (let row = 0; row < rows; row++) {
      const values = [...network.tables[v].subarray(row * states.length, (row + 1) * states.length)].join(", ");
      if (parents.length === 0) lines.push(`  table ${values};`);
      else {
        const of: string[] = [];
        let rest = row;
        for (const parent of parents.toReversed()) {
          of.unshift(word(parent.states[rest % parent.states.length]));
          rest = Math.floor(rest / parent.states.length);
        }
        lines.push(`  (${of.join(", ")}) ${values};`);
      }
    }
    lines.push("}");
  });
  return `${lines.join("\n")}\n`;
}

/** Words that begin a line of their own inside of blocks; as names they are quoted for other readers. */
const KEYWORDS = new Set(["table", "default", "property", "type", "network", "variable", "probability"]);
