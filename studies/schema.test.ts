import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PopulaceError } from "@populace/domain";
import { editDistance, suggestion } from "./document.ts";
import { parseSchema, readSchema } from "./schema.ts";

const refusal = (text: string): PopulaceError => {
  try {
    parseSchema(text, "s.yaml");
  } catch (error) {
    if (error instanceof PopulaceError) return error;
    throw error;
  }
  throw new Error("the schema was accepted");
};

const base = "attributes: {age: continuous}\nfunnel: [visit]\n";

describe("schema files", () => {
  it("fills every default of a short schema", () => {
    const schema = parseSchema(base);
    expect(schema).toMatchObject({
      name: "unnamed", recipient: null, rejectShareMax: 0.01, value: null, time: null, consent: null, prior: null,
      csv: { delimiter: ",", header: true }, assignment: { kind: "unknown" }, sampling: { kind: "uniform" },
      stimulus: { column: null, constant: "all" }, funnel: [{ name: "visit", column: "visit", positive: "1" }],
    });
    expect(schema.attributes[0]).toMatchObject({ name: "age", column: "age", kind: "continuous", transform: "identity", inResponse: true });
  });

  it("takes lists and maps, short and long forms alike", () => {
    const map = parseSchema("attributes: {age: {kind: continuous}}\nfunnel: {visit: v}\nstimulus: {column: arm, stimuli: {A: {channel: sms}, B: {contact: false}}}");
    const list = parseSchema("attributes: [{name: age, kind: continuous}]\nfunnel: [{name: visit, column: v}]\nstimulus: {column: arm, stimuli: [{value: A, channel: sms}, {value: B, contact: false}]}");
    expect(map).toEqual(list);
    expect(map.stimulus.stimuli.map((stimulus) => [stimulus.id, stimulus.channel])).toEqual([["a", "sms"], ["b", "none"]]);
  });

  it("reads JSON as it reads YAML", () => {
    expect(parseSchema(JSON.stringify({ attributes: { age: "continuous" }, funnel: ["visit"] }))).toEqual(parseSchema(base));
  });

  it.each([
    [`${base}atributes: {}`, /s\.yaml:3: atributes: unknown key "atributes"; did you mean "attributes"/],
    ["attributes:\n  age: {kind: continous}\nfunnel: [v]", /s\.yaml:2: attributes\.age\.kind: expected one of .* did you mean "continuous"/],
    ["attributes:\n  age: {kind: continuous, transform: log2}\nfunnel: [v]", /attributes\.age\.transform: expected one of identity, log1p, logit; found "log2"/],
    ["attributes: [{name: a, kind: binary}, {name: a, kind: binary}]\nfunnel: [v]", /"a" is named twice/],
    ["attributes: {a: {kind: binary, column: x}, b: {kind: binary, column: x}}\nfunnel: [v]", /column "x" is used twice, for attribute a and for attribute b/],
    ["attributes: {v: binary}\nfunnel: [v]", /column "v" is used twice, for attribute v and for funnel step v/],
    ["attributes: {a: binary}", /funnel: expected at least one step/],
    [`${base}rejectShareMax: 2`, /rejectShareMax: expected a number from 0 to 1; found 2/],
    [`${base}matches: {kind: {m: agee}}`, /no attribute is named "agee"; did you mean "age"/],
    [`${base}assignment: logged`, /names its propensity column/],
    [`${base}stimulus: {column: arm, stimuli: {"Mail 1": {}, "mail-1": {}}}`, /two stimuli have the id "mail-1"/],
    [`${base}prior: {baseRates: {visit: [0.2, 0.1]}}`, /expected 0 < low < high < 1; found 0.2 and 0.1/],
    [`${base}prior: {personas: {a: {share: 0.5, traits: {}}}}`, /the shares of the personas add to 0.500; expected 1/],
    ["a: [1", /not valid YAML/],
    ["", /expected a map of keys; found an empty file/],
    ["a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]", /not usable|unknown key/],
    ["__proto__: {x: 1}", /unknown key "__proto__"/],
  ])("refuses %j with its place", (text, message) => {
    const error = refusal(text);
    expect(error.code).toBe("BAD_SCHEMA");
    expect(error.message).toMatch(message);
  });

  it("names a schema file that does not exist, and one that is no text", () => {
    const folder = mkdtempSync(join(tmpdir(), "schema-"));
    expect(() => readSchema(join(folder, "none.yaml"))).toThrowError(expect.objectContaining({ code: "FILE_MISSING" }));
    const garbage = join(folder, "garbage.yaml");
    writeFileSync(garbage, Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256));
    expect(() => readSchema(garbage)).toThrowError(expect.objectContaining({ code: "BAD_SCHEMA" }));
  });

  it("suggests the nearest word and nothing far-fetched", () => {
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("recieve", "receive")).toBe(1);
    expect(suggestion("columm", ["column", "kind"])).toBe("column");
    expect(suggestion("xyz", ["column", "kind"])).toBeNull();
  });
});
