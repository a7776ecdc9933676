import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { PopulaceError } from "@populace/domain";
import { RandomStream, betaFromDraws, betaQuantile } from "@populace/domain";
import { cellRates, modelRates } from "./cell-rates.ts";
import { readDataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { learn } from "./learn.ts";
import type { Model } from "./model.ts";
import { authoredModel } from "./prior.ts";
import { parseSchema } from "./schema.ts";

const schemaWith = (stimuli: string, sampling = "") => parseSchema(`
name: shop
recipient: id
attributes: {owner: {kind: binary, levels: ["no", "yes"]}}
stimulus: {column: arm, stimuli: {${stimuli}}}
assignment: randomized
funnel: [visit, buy]
${sampling}
prior:
  baseRates: {visit: [0.1, 0.2], buy: [0.1, 0.3]}
  personas:
    - {name: owners, share: 0.5, traits: {owner: 0.95}}
    - {name: others, share: 0.5, traits: {owner: 0.05}}
`, "shop.yaml");
const SCHEMA = schemaWith("mail: {channel: email}, call: {channel: phone}");
/** A posterior as if fitted: what matters here is that it counts as real evidence. */
const fitted: Model = { ...authoredModel(SCHEMA), evidence: "randomized" };
const folder = mkdtempSync(join(tmpdir(), "learn-"));

const rows = (from: number, count: number, arm: string) => Array.from({ length: count }, (_, row) => `${from + row},${row % 2 === 0 ? "yes" : "no"},${arm},${row % 4 < 2 ? 1 : 0},${row % 8 === 0 ? 1 : 0}`);
const file = (name: string, lines: readonly string[]): string => {
  const path = join(folder, name);
  writeFileSync(path, `id,owner,arm,visit,buy\n${lines.join("\n")}\n`);
  return path;
};

describe("learn", () => {
  it("counts each row in its persona's cell, and in no other", async () => {
    const { model, updated, rows: taken } = learn(fitted, await readDataset(SCHEMA, file("a.csv", rows(0, 80, "call"))));
    expect(taken).toBe(80);
    expect(updated).toEqual([
      { persona: "p1", stimulus: "call", step: "visit", exposures: 40, responses: 20 },
      { persona: "p1", stimulus: "call", step: "buy", exposures: 40, responses: 10 },
      { persona: "p2", stimulus: "call", step: "visit", exposures: 40, responses: 20 },
      { persona: "p2", stimulus: "call", step: "buy", exposures: 40, responses: 0 },
    ]);
    expect(model.outcomes.reduce((sum, cell) => sum + cell.exposures, 0)).toBe(160);
  });

  it("two files one after the other give the counts of both at once", async () => {
    const [first, second] = [rows(0, 30, "mail"), rows(30, 50, "call")];
    const one = learn(learn(fitted, await readDataset(SCHEMA, file("1.csv", first))).model, await readDataset(SCHEMA, file("2.csv", second))).model;
    const both = learn(fitted, await readDataset(SCHEMA, file("12.csv", [...first, ...second]))).model;
    expect(one.outcomes).toEqual(both.outcomes);
    expect(one.version).toBe(3);
    expect(cellRates(one)).toEqual(cellRates(both));
  });

  it("the cell's posterior is the Beta matched to the worlds plus the real counts, and is named real", async () => {
    const { model } = learn(fitted, await readDataset(SCHEMA, file("b.csv", rows(0, 80, "call"))));
    const matched = betaFromDraws(modelRates(fitted)[2]);
    const [rate] = cellRates(model).slice(2);
    expect(rate.mean).toBeCloseTo((matched.alpha + 20) / (matched.alpha + matched.beta + 40), 12);
    expect(rate.low).toBeCloseTo(betaQuantile(0.05, matched.alpha + 20, matched.beta + 20), 12);
    expect(rate).toMatchObject({ label: "real", essSimulated: 0 });
    expect(rate.essReal).toBeCloseTo(matched.alpha + matched.beta + 40, 9);
  });

  it("outcomes counted in the cell and outcomes refitted give the same rate and interval", async () => {
    const schema = parseSchema("{name: two routes, recipient: id, attributes: {owner: {kind: binary, levels: ['no', 'yes']}}, stimulus: {constant: mail}, assignment: randomized, funnel: [{name: visit, column: visit}]}", "routes.yaml");
    const seed = 11;
    const random = RandomStream.of(seed, "two routes");
    const lines = Array.from({ length: 4_000 }, (_, row) => `${row},${random.uniform() < 0.5 ? "yes" : "no"},${random.uniform() < 0.15 ? 1 : 0}`);
    const dataset = async (name: string, part: readonly string[]) => {
      const path = join(folder, name);
      writeFileSync(path, `id,owner,visit\n${part.join("\n")}\n`);
      return readDataset(schema, path);
    };
    const [first, second, all] = [await dataset("f.csv", lines.slice(0, 2_000)), await dataset("s.csv", lines.slice(2_000)), await dataset("all.csv", lines)];
    const fit = { personas: 1, worlds: 800, seed } as const;
    const [counted] = cellRates(learn(fitModel(schema, first, fit), second).model);
    const [refitted] = cellRates(fitModel(schema, all, fit));
    // Two sets of 800 worlds leave 3.5 % of the width between them; the panel of agents 1 % of the rate.
    expect(Math.abs(counted.mean / refitted.mean - 1), `seed ${seed}`).toBeLessThan(0.02);
    expect(Math.abs((counted.high - counted.low) / (refitted.high - refitted.low) - 1), `seed ${seed}`).toBeLessThan(0.1);
  });

  it("rows that were in the fit are refused one by one", async () => {
    const dataset = await readDataset(SCHEMA, file("c.csv", rows(0, 80, "mail")));
    const seen = { ...fitted, fit: { ...fitted.fit, seen: dataset.hashes.slice(0, 8 * 30) } };
    const result = learn(seen, dataset);
    expect([result.rows, result.rejected.seen]).toEqual([50, 30]);
  });

  it("stimuli the model does not know are refused by name, rows sampled by their outcome altogether", async () => {
    const wide = schemaWith("mail: {channel: email}, call: {channel: phone}, fax: {channel: fax}");
    const result = learn(fitted, await readDataset(wide, file("d.csv", [...rows(0, 10, "mail"), ...rows(10, 7, "fax")])));
    expect([result.rows, result.rejected.unknownStimuli]).toEqual([10, { fax: 7 }]);
    const picked = await readDataset(schemaWith("mail: {channel: email}, call: {channel: phone}", "sampling: {baseRate: 0.01}"), file("e.csv", rows(0, 10, "mail")));
    expect(() => learn(fitted, picked)).toThrow(expect.objectContaining({ code: "BAD_DATA" }) as PopulaceError);
  });
});
