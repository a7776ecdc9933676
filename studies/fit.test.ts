import { existsSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RandomStream, foldStep } from "@populace/domain";
import { backtest, splitDataset } from "./backtest.ts";
import { readDataset } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel, fitWithNotes } from "./fit.ts";
import { modelText, parseModel, readModel, writeModel } from "./model-file.ts";
import { RatePredictor } from "./predict.ts";
import { parseSchema } from "./schema.ts";
import { auc, calibrationError } from "./scores.ts";

const folder = mkdtempSync(join(tmpdir(), "fit-"));
let files = 0;

/** Rows of a known truth as a CSV file, read back. */
async function drawn(schemaText: string, header: string, rows: number, seed: number, row: (random: RandomStream, i: number) => readonly (string | number)[]): Promise<Dataset> {
  const random = RandomStream.of(seed, "fit test");
  const path = join(folder, `d${files++}.csv`);
  writeFileSync(path, `${header}\n${Array.from({ length: rows }, (_, i) => row(random, i).join(",")).join("\n")}\n`);
  return readDataset(parseSchema(schemaText), path);
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe("fits recover known truths", () => {
  it("five unordered levels with a zig-zag effect recover each level's rate (seed 21)", async () => {
    const RATES = [0.1, 0.4, 0.05, 0.5, 0.2], LEVELS = ["a", "b", "c", "d", "e"];
    const data = await drawn("attributes: {town: categorical}\nfunnel: [visit]\n", "town,visit", 10_000, 21, (random) => {
      const level = random.integer(5);
      return [LEVELS[level], random.uniform() < RATES[level] ? 1 : 0];
    });
    const model = fitModel(data.schema, data, { personas: 1 });
    const predictor = new RatePredictor(model, model.response.stimuli[0]);
    const rates = new Float64Array(predictor.worlds);
    LEVELS.forEach((level, l) => {
      predictor.rates([model.mixture.codings[0].levels.indexOf(level)], 0, 0, rates);
      const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
      // 2,000 rows a level: 4 standard errors.
      expect(Math.abs(mean - RATES[l])).toBeLessThan(4 * Math.sqrt((RATES[l] * (1 - RATES[l])) / 2000));
    });
  });

  it("a trait that raises visits and lowers conversion shows both signs (seed 22)", async () => {
    const data = await drawn("attributes: {x: continuous}\nstimulus: {column: arm, stimuli: {a: {}, b: {contact: false}}}\nassignment: randomized\nfunnel: [visit, buy]\n", "x,arm,visit,buy", 12_000, 22, (random) => {
      const x = random.normal(), arm = random.integer(2);
      const visit = random.uniform() < sigmoid(-0.5 + 0.8 * x + 0.5 * (1 - arm)) ? 1 : 0;
      return [x.toFixed(4), arm === 0 ? "a" : "b", visit, visit === 1 && random.uniform() < sigmoid(-0.5 - 0.8 * x) ? 1 : 0];
    });
    const model = fitModel(data.schema, data, { personas: 1 });
    const weight = (step: number): number => foldStep(model.response, model.mixture.codings, step, 0, model.response.stepModels[step].mean).slotWeight[0];
    expect(weight(0)).toBeCloseTo(0.8, 0);
    expect(weight(1)).toBeCloseTo(-0.8, 0);
    expect(weight(0)).toBeGreaterThan(0.65);
    expect(weight(1)).toBeLessThan(-0.6);
    expect(model.evidence).toBe("randomized");
  });

  it("rows drawn by their outcome predict the true base rate (seed 23)", async () => {
    // Population rate 5 %, half of the file responders.
    const x = (random: RandomStream, y: number): number => random.normal() + (y === 1 ? 1 : 0);
    const data = await drawn("attributes: {x: continuous}\nsampling: {baseRate: 0.05}\nfunnel: [gift]\n", "x,gift", 6000, 23, (random, i) => [x(random, i % 2).toFixed(4), i % 2]);
    const model = fitModel(data.schema, data, { personas: 1 });
    const [result] = backtest(model, data, { allowSeen: true }).steps;
    expect(result.observed).toBeCloseTo(0.05, 6);
    expect(Math.abs(result.predicted - 0.05)).toBeLessThan(0.004);
  });

  it("the value model recovers log-normal means (seed 24)", async () => {
    const data = await drawn("attributes: {x: binary}\nfunnel: [buy]\nvalue: spend\n", "x,buy,spend", 4000, 24, (random) => {
      const buy = random.uniform() < 0.5;
      return [random.integer(2), buy ? 1 : 0, buy ? Math.exp(3 + 0.5 * random.normal()).toFixed(2) : 0];
    });
    const { value } = fitModel(data.schema, data, { personas: 1 });
    // E = exp(3 + 0.125) = 22.76 in major units; 2,000 rows: standard error 1.2 %.
    expect(value?.meanMinor[0]).toBeGreaterThan(2276 * 0.95);
    expect(value?.meanMinor[0]).toBeLessThan(2276 * 1.05);
  });

  it("what the author states is the prior of the fit: strong where rows are few, overruled where they are many (seed 27)", async () => {
    const text = (prior: string): string => `attributes: {x: binary}\nfunnel: [visit]\n${prior}`;
    const stated = "prior: {effects: [{step: visit, on: x, oddsRatio: [4.5, 5.5]}]}\n";
    const row = (random: RandomStream): readonly (string | number)[] => [random.integer(2), random.uniform() < 0.2 ? 1 : 0];
    const weightOf = async (rows: number, prior: string): Promise<number> => {
      const data = await drawn(text(prior), "x,visit", rows, 27, row);
      const model = fitModel(data.schema, data, { personas: 1 });
      return foldStep(model.response, model.mixture.codings, 0, 0, model.response.stepModels[0].mean).slotWeight[0];
    };
    expect(Math.abs(await weightOf(60, ""))).toBeLessThan(0.5);
    // log 5 = 1.609; the interval is +-0.1 at 90 %.
    expect(await weightOf(60, stated)).toBeGreaterThan(1.4);
    expect(await weightOf(20_000, stated)).toBeLessThan(1.2);
  });

  it("refuses outcomes of one kind and too few rows, with the numbers", async () => {
    const schema = "attributes: {x: continuous}\nfunnel: [visit]\n";
    const never = await drawn(schema, "x,visit", 100, 25, (random) => [random.normal(), 0]);
    expect(() => fitModel(never.schema, never)).toThrowError(expect.objectContaining({ code: "DEGENERATE_DATA", message: expect.stringMatching(/0 of 100 rows have visit = 1/) }));
    const few = await drawn(schema, "x,visit", 10, 25, (random, i) => [random.normal(), i % 2]);
    expect(() => fitModel(few.schema, few)).toThrowError(expect.objectContaining({ code: "DEGENERATE_DATA", message: expect.stringMatching(/10 rows; a fit needs at least 30/) }));
  });

  it("fits without any attribute, and leaves one with a single value out with a note", async () => {
    const data = await drawn("attributes: {x: continuous}\nfunnel: [visit]\n", "x,visit", 200, 26, (random) => [7, random.uniform() < 0.3 ? 1 : 0]);
    const { model, notes } = fitWithNotes(data.schema, data);
    expect(model.mixture).toMatchObject({ codings: [], personas: [{ name: "everyone" }] });
    expect(notes).toEqual(['attribute "x" has one single value (7) and was left out of the model']);
  });
});

describe("model files", () => {
  it("come back equal, and damage is named", async () => {
    const data = await drawn("attributes: {x: continuous}\nfunnel: [visit]\n", "x,visit", 300, 31, (random) => [random.normal().toFixed(3), random.uniform() < 0.3 ? 1 : 0]);
    const model = fitModel(data.schema, data, { worlds: 50 });
    const path = join(folder, "m.json");
    writeModel(path, model);
    expect(readModel(path)).toEqual(model);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    const text = readFileSync(path, "utf8");
    const bad = (broken: string): unknown => { try { return parseModel(broken, "m.json"); } catch (error) { return error; } };
    expect(bad(text.replace('"rows":300', '"rows":301'))).toMatchObject({ code: "BAD_MODEL", message: expect.stringMatching(/m\.json: the file is damaged: its contents hash/) });
    expect(bad(text.slice(0, 500))).toMatchObject({ code: "BAD_MODEL" });
    expect(bad(text.replace('"formatVersion":1', '"formatVersion":9'))).toMatchObject({ code: "BAD_MODEL", message: expect.stringMatching(/format version 9, this program reads version 1/) });
    expect(bad("{}")).toMatchObject({ code: "BAD_MODEL" });
    expect(() => readModel(join(folder, "none.json"))).toThrowError(expect.objectContaining({ code: "FILE_MISSING" }));
    expect(modelText(model)).toBe(modelText(readModel(path)));
    expect(() => writeModel(join(folder, "no", "m.json"), model)).toThrowError(expect.objectContaining({ code: "STORE_FAILED" }));
  });
});

describe("backtests", () => {
  const schemaText = "recipient: id\nattributes: {x: continuous, m: binary}\nstimulus: {column: arm, stimuli: {mail: {}, none: {contact: false}}}\nassignment: randomized\nfunnel: [visit]\n";
  const rows = (seed: number, n = 6000): Promise<Dataset> =>
    drawn(schemaText, "id,x,m,arm,visit", n, seed, (random, i) => {
      const x = random.normal(), m = random.integer(2), mail = random.integer(2);
      return [`${seed}-${i}`, x.toFixed(4), m, mail === 1 ? "mail" : "none", random.uniform() < sigmoid(-2 + 0.5 * x + mail * (m === 1 ? 1 : -0.3)) ? 1 : 0];
    });

  it("hold rates and intervals beside what happened, and find the better policy (seed 41)", async () => {
    const [fit, held] = splitDataset(await rows(41, 12_000), 0.5, 1);
    const model = fitModel(fit.schema, fit);
    const predictions = join(folder, "predictions.csv");
    const result = backtest(model, held, { by: ["m", "x<=0"], predictions });
    expect(result.cells).toHaveLength(8);
    expect(result.coverage90).toBeGreaterThanOrEqual(0.6);
    const [mean] = result.steps;
    expect(Math.abs(mean.predicted - mean.observed)).toBeLessThan(0.015);
    const value = (name: string): number => result.policies.find((policy) => policy.name === name)!.value;
    expect(value("best predicted")).toBeGreaterThan(value("random"));
    expect(value("best predicted")).toBeGreaterThan(value("always none"));
    expect(result.qini[0]).toMatchObject({ stimulus: "mail", step: "visit" });
    expect(result.qini[0].value).toBeGreaterThan(0);
    const lines = readFileSync(predictions, "utf8").trim().split("\n");
    expect(lines[0]).toBe("row,stimulus,step,predicted,low,high");
    expect(lines).toHaveLength(1 + held.rows * 2);
    const [row, , , predicted, low, high] = lines[1].split(",");
    expect(Number(row)).toBe(held.rowNumber[0]);
    expect(Number(low)).toBeLessThan(Number(predicted));
    expect(Number(high)).toBeGreaterThan(Number(predicted));
  });

  it("refuse rows of the fit, and leave out a stray one", async () => {
    const data = await rows(42, 2000);
    const [fit, held] = splitDataset(data, 0.5, 1);
    const model = fitModel(fit.schema, fit, { worlds: 50 });
    expect(() => backtest(model, data)).toThrowError(expect.objectContaining({ code: "SEEN_ROWS", message: expect.stringMatching(/1000 of 2000 rows were in the fit/) }));
    expect(backtest(model, data, { allowSeen: true }).rows).toBe(2000);
    expect(backtest(model, held).seen).toBe(0);
    expect(existsSync(join(folder, "predictions.csv.tmp"))).toBe(false);
    expect(() => backtest(model, held, { by: ["nope"] })).toThrowError(expect.objectContaining({ code: "BAD_USAGE" }));
  });

  it("rolling updates follow a drift that a single fit misses (seed 43)", async () => {
    const drift = (n: number, from: number) => (random: RandomStream, i: number): readonly (string | number)[] => {
      const x = random.normal();
      return [`${from + i}`, x.toFixed(4), random.integer(2), "mail", random.uniform() < sigmoid(-2.5 + (2 * (from + i)) / n) ? 1 : 0];
    };
    const early = await drawn(schemaText, "id,x,m,arm,visit", 3000, 43, drift(6000, 0));
    const late = await drawn(schemaText, "id,x,m,arm,visit", 3000, 44, drift(6000, 3000));
    const { rolling } = backtest(fitModel(early.schema, early, { worlds: 100 }), late, { rolling: 500 });
    expect(rolling?.updates).toBe(5);
    expect(rolling!.difference).toBeLessThan(-2 * rolling!.se);
    expect(rolling!.logLoss).toBeLessThan(rolling!.logLossSingle);
  });
});

describe("scores", () => {
  it("match scikit-learn on a small table", () => {
    const p = [0.1, 0.4, 0.35, 0.8, 0.4], y = [0, 0, 1, 1, 1];
    // sklearn.metrics.roc_auc_score: pairs won 4 + a tie of half out of 6.
    expect(auc(p, y)).toBeCloseTo((1 + 0 + 1 + 1 + 1 + 0.5) / 6, 12);
    expect(calibrationError([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1], null, 2)).toBeCloseTo(0.2, 12);
    expect(auc(p, [0, 0, 0, 0, 0])).toBeNaN();
  });
});
