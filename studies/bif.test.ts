import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bayesianNetwork } from "@populace/domain";
import type { PopulaceError, StatedVariable } from "@populace/domain";
import { bifText, parseBif, readBif } from "./bif.ts";

const ASIA = `network "two of asia" { property author = someone; }
// comments are skipped
variable smoke { type discrete [ 2 ] { yes, no }; property position = (1, 2); }
variable lung { type discrete [ 2 ] { yes, no }; }
probability ( smoke ) { table 0.5, 0.5; }
probability ( lung | smoke ) { /* rows in any order */
  (no) 0.01, 0.99;
  (yes) 1e-1, .9;
}
`;

const failureOf = (text: string): PopulaceError => {
  try {
    parseBif(text, "x.bif");
  } catch (error) {
    return error as PopulaceError;
  }
  throw new TypeError("nothing was refused");
};

describe("a BIF file", () => {
  test("becomes a network, rows where their parents' states say", () => {
    const network = parseBif(ASIA);
    expect(network.name).toBe("two of asia");
    expect(network.parents).toEqual([[], [0]]);
    expect([...network.tables[1]]).toEqual([0.1, 0.9, 0.01, 0.99]);
  });

  test("may list a conditional table with the variable's own state slowest, or leave rows to default", () => {
    const listed = parseBif(ASIA.replace(/probability \( lung[\s\S]*/, "probability ( lung | smoke ) { table 0.1 0.01 0.9 0.99; }"));
    expect([...listed.tables[1]]).toEqual([0.1, 0.9, 0.01, 0.99]);
    const rest = parseBif(ASIA.replace("(no) 0.01, 0.99;", "default 0.25, 0.75;"));
    expect([...rest.tables[1]]).toEqual([0.1, 0.9, 0.25, 0.75]);
  });

  test.each([
    ["a cut end", ASIA.slice(0, -4), "BAD_NETWORK", /^x\.bif:8:\d+: expected .*; found/],
    ["an unknown parent", ASIA.replace("| smoke", "| smog"), "BAD_NETWORK", /^x\.bif:6:22: expected a declared variable \(smoke, lung\); found "smog"/],
    ["an unknown state", ASIA.replace("(no) 0.01", "(maybe) 0.01"), "BAD_NETWORK", /^x\.bif:7:4: expected one of yes, no; found "maybe"/],
    ["a number that is none", ASIA.replace("1e-1", "0,1"), "BAD_NETWORK", /^x\.bif:8:3: expected 2 probabilities of "lung" here; found 3/],
    ["a word for a number", ASIA.replace("1e-1", "NaN"), "BAD_NETWORK", /^x\.bif:8:9: expected a probability such as 0\.25; found "NaN"/],
    ["a row twice", ASIA.replace("(no)", "(yes)"), "BAD_NETWORK", /^x\.bif:8:3: expected every row once/],
    ["a row left out", ASIA.replace("(no) 0.01, 0.99;", ""), "BAD_NETWORK", /^x\.bif:6:15: expected a row \(no\) of "lung", or default; found none/],
    ["no table", ASIA.replace("probability ( smoke ) { table 0.5, 0.5; }", ""), "BAD_NETWORK", /^x\.bif:3:10: expected a probability block of "smoke"/],
    ["another number of states", ASIA.replace("[ 2 ]", "[ 3 ]"), "BAD_NETWORK", /^x\.bif:3:34: expected 2, the number of states/],
    ["rows that add to 1.1", ASIA.replace(".9;", "1;"), "BAD_NETWORK", /^x\.bif:4:10: network "two of asia": row 1 of "lung" adds to 1\.1/],
    ["a name that never ends", ASIA.replace('asia" {', "asia {"), "BAD_NETWORK", /^x\.bif:1:9: expected a closing quotation mark/],
    ["a cycle", ASIA.replace("( smoke ) { table 0.5, 0.5; }", "( smoke | lung ) { default 0.5, 0.5; }"), "BAD_NETWORK", /cycle: (smoke -> lung -> smoke|lung -> smoke -> lung)/],
    ["something else", "<html>", "BAD_NETWORK", /^x\.bif:1:1: expected network, variable or probability; found "<html>"/],
  ] as const)("with %s is refused with its place", (_, text, code, message) => {
    const error = failureOf(text);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test("that does not exist is FILE_MISSING", () => {
    expect(() => readBif("/nowhere/x.bif")).toThrow(expect.objectContaining({ code: "FILE_MISSING" }) as Error);
  });

  test("of any text is read or refused by name", () => {
    const pieces = fc.array(fc.oneof(fc.constantFrom("{", "}", "(", ")", "[", "]", "|", ",", ";", "\"", "/", "*", "//", "/*", "\\", "\n", "network", "variable", "probability", "type", "discrete", "table", "default", "a", "b", "2", "0.5"), fc.string({ maxLength: 3 })), { maxLength: 60 }).map((parts) => parts.join(" "));
    const cut = fc.tuple(fc.nat(ASIA.length), fc.nat(12), fc.string({ maxLength: 4 })).map(([at, length, by]) => ASIA.slice(0, at) + by + ASIA.slice(at + length));
    fc.assert(fc.property(fc.oneof(pieces, cut), (text) => {
      try {
        parseBif(text);
      } catch (error) {
        expect(["BAD_NETWORK", "TOO_LARGE"]).toContain((error as PopulaceError).code);
      }
    }), { numRuns: 500 });
  });

  test("written and read again is the same network to the bit, whatever the names", () => {
    const name = fc.string({ minLength: 1, maxLength: 8, unit: "binary" }).filter((text) => text.isWellFormed());
    const variable = fc.record({ name, states: fc.uniqueArray(name, { minLength: 1, maxLength: 4 }), parents: fc.uniqueArray(fc.nat(5), { maxLength: 3 }), weights: fc.array(fc.double({ min: 0.001, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 }) });
    fc.assert(fc.property(name, fc.uniqueArray(variable, { minLength: 1, maxLength: 6, selector: (each) => each.name }), (title, drawn) => {
      const stated: StatedVariable[] = drawn.map((each, v) => {
        const parents = each.parents.filter((parent) => parent < v).map((parent) => drawn[parent]);
        const rows = parents.reduce((product, parent) => product * parent.states.length, 1);
        const table = Array.from({ length: rows }, (_, row) => {
          const weights = each.states.map((_state, at) => each.weights[(at + row) % 4]);
          const sum = weights.reduce((total, weight) => total + weight, 0);
          return weights.map((weight) => weight / sum);
        }).flat();
        return { name: each.name, states: each.states, parents: parents.map((parent) => parent.name), table };
      });
      const network = bayesianNetwork(title, stated);
      expect(parseBif(bifText(network))).toEqual(network);
    }), { numRuns: 200 });
  });

  test("of a few kilobytes cannot ask for gigabytes", () => {
    const states = Array.from({ length: 200 }, (_, state) => `s${state}`).join(", ");
    const names = ["a", "b", "c", "d"];
    const text = `${names.map((name) => `variable ${name} { type discrete [ 200 ] { ${states} }; }`).join("\n")}\nprobability ( a | b, c, d ) { default ${Array(200).fill(0.005).join(", ")}; }`;
    expect(failureOf(text).code).toBe("TOO_LARGE");
  });
});

