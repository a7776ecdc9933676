import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RandomStream, assign, encode, mixtureCdf, mixtureMean, updateMixture } from "@populace/domain";
import { cellRates } from "./cell-rates.ts";
import { readDataset } from "./dataset.ts";
import { summarizeRun } from "./intervals.ts";
import { learn } from "./learn.ts";
import { runHere } from "./local-run.fixture.ts";
import { modelText, parseModel } from "./model-file.ts";
import { compilePlan } from "./plan.ts";
import { authoredModel, raked } from "./prior.ts";
import { parseSchema } from "./schema.ts";
import { readStudy } from "./study.ts";

const SCHEMA = `
name: launch
recipient: id
attributes:
  owner: {kind: binary, levels: ["no", "yes"]}
  region: {kind: categorical, levels: [north, south, other]}
  spend: {kind: continuous, transform: log1p}
stimulus:
  column: arm
  stimuli:
    mail: {channel: email}
    call: {channel: phone}
assignment: randomized
funnel: [visit, buy]
prior:
  baseRates: {visit: [0.08, 0.16], buy: [0.1, 0.3]}
  leaveRate: [0.001, 0.004]
  effects:
    - {step: visit, on: owner, oddsRatio: [1.5, 2.5]}
    - {step: visit, on: call, oddsRatio: [1.2, 2]}
  personas:
    - {name: loyal, share: 0.3, traits: {owner: 0.8, spend: {mean: 300, sd: 150}, region: {north: 0.6, south: 0.4}}}
    - {name: new, share: 0.7, traits: {owner: 0.1, spend: {mean: 60, sd: 50}, region: {north: 0.5, south: 0.5}}}
`;
const schemaOf = (text: string) => parseSchema(text, "launch.yaml");
const logit = (p: number): number => Math.log(p / (1 - p));

describe("authoredModel", () => {
  it("before any data every rate is prior only, and the population's rate is the author's interval", () => {
    // One persona, one stimulus: nothing widens what was stated.
    const alone = authoredModel(schemaOf(`
name: alone
attributes: {owner: {kind: binary, levels: ["no", "yes"]}}
stimulus: {constant: mail, stimuli: {mail: {channel: email}}}
assignment: randomized
funnel: [visit]
prior: {baseRates: {visit: [0.08, 0.16]}, marginals: {owner: {"no": 0.7, "yes": 0.3}}}
`), { worlds: 1_000 });
    const [rate] = cellRates(alone);
    // Central 90 % of a logit-normal, met by its moment-matched Beta to a few per cent; 1,000 worlds leave 3 % on a quantile.
    expect(Math.abs(rate.low / 0.08 - 1)).toBeLessThan(0.05);
    expect(Math.abs(rate.high / 0.16 - 1)).toBeLessThan(0.05);
    expect(rate.label).toBe("prior only");
    expect(rate.essReal).toBe(0);
    const model = authoredModel(schemaOf(SCHEMA));
    for (const each of cellRates(model)) expect(each.label).toBe("prior only");
    const study = readStudy({ ticks: 1, agents: 20_000 }, model);
    const plan = compilePlan(model, study);
    const rows = summarizeRun(model, study, plan, runHere(plan));
    expect(rows.every((row) => row.label === "prior only" && row.low < row.mean && row.mean < row.high)).toBe(true);
  });

  it("stated effects and personas show in the rates: owners visit more, so the loyal do, and calls beat mail", () => {
    const model = authoredModel(schemaOf(SCHEMA), { worlds: 400 });
    const rates = cellRates(model);
    const at = (persona: number, stimulus: number, step: number) => rates[(persona * 2 + stimulus) * 2 + step].mean;
    // Odds ratio of owning: sqrt(1.5 * 2.5) = 1.94, 70 points of difference in ownership; spend has no stated effect.
    const difference = logit(at(0, 0, 0)) - logit(at(1, 0, 0));
    expect(difference).toBeGreaterThan(0.3);
    expect(difference).toBeLessThan(0.6);
    expect(at(0, 1, 0)).toBeGreaterThan(at(0, 0, 0));
    // The base rate is that of the population, not of a persona: share-weighted, on the first stimulus.
    const population = 0.3 * at(0, 0, 0) + 0.7 * at(1, 0, 0);
    expect(Math.abs(logit(population) - (logit(0.08) + logit(0.16)) / 2)).toBeLessThan(0.15);
    expect(parseModel(modelText(model))).toEqual(model);
  });

  it("people go to the persona that describes them", () => {
    const { mixture } = authoredModel(schemaOf(SCHEMA));
    const codes = (owner: string, region: string, spend: string) => [owner, region, spend].map((text, t) => encode(mixture.codings[t], text));
    expect(mixture.personas[assign(mixture, codes("yes", "north", "280")).persona].name).toBe("loyal");
    expect(mixture.personas[assign(mixture, codes("no", "south", "40")).persona].name).toBe("new");
    expect(assign(mixture, codes("no", "south", "40")).fitsNone).toBe(false);
  });

  it("marginals alone make one persona that has them", () => {
    const model = authoredModel(schemaOf(SCHEMA.slice(0, SCHEMA.indexOf("  personas:")) + "  marginals: {owner: {\"no\": 0.75, \"yes\": 0.25}, region: {north: 0.2, south: 0.8}}\n"));
    expect(model.mixture.personas.map((persona) => [persona.name, persona.share])).toEqual([["everyone", 1]]);
    const [owner, region] = model.mixture.personas[0].traits.map((trait) => trait.distribution);
    if (owner.kind !== "binary" || region.kind !== "categorical") throw new Error("wrong kinds");
    // Half a pseudo-member on either side of 50: 13 / 51.
    expect(owner.alpha / (owner.alpha + owner.beta)).toBeCloseTo(0.255, 3);
    expect(region.alphas[1] / region.alphas.reduce((sum, alpha) => sum + alpha, 0)).toBeCloseTo(0.796, 2);
    // Nobody says anything about spend: it is left out.
    expect(model.mixture.codings.map((coding) => coding.name)).toEqual(["owner", "region"]);
  });

  it("hand-made personas and marginals are raked: shares and marginals hold, odds ratios stay", () => {
    const [shares, marginal] = [[0.3, 0.7], [0.5, 0.3, 0.2]];
    const seeds = [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]];
    const rows = raked(seeds, shares, marginal);
    for (const row of rows) expect(row.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
    marginal.forEach((wanted, level) => expect(shares[0] * rows[0][level] + shares[1] * rows[1][level]).toBeCloseTo(wanted, 9));
    const odds = (table: readonly (readonly number[])[]) => (table[0][0] * table[1][2]) / (table[0][2] * table[1][0]);
    expect(odds(rows)).toBeCloseTo(odds(seeds), 9);
  });

  it("the first 1,000 real outcomes take over", async () => {
    const schema = schemaOf(SCHEMA);
    const model = authoredModel(schema);
    const before = cellRates(model);
    // The truth is far above what the author believed: half of the loyal visit on mail.
    const random = RandomStream.of(7, "outcomes");
    const folder = mkdtempSync(join(tmpdir(), "learn-"));
    const lines = Array.from({ length: 1_000 }, (_, row) => {
      const visit = random.uniform() < 0.5;
      return `${row},yes,north,300,mail,${visit ? 1 : 0},${visit && random.uniform() < 0.02 ? 1 : 0}`;
    });
    const path = join(folder, "outcomes.csv");
    writeFileSync(path, `id,owner,region,spend,arm,visit,buy\n${lines.join("\n")}\n`);
    const outcomes = await readDataset(schema, path);
    const learned = learn(model, outcomes);
    expect(learned.rows).toBe(1_000);
    expect(learned.model.version).toBe(2);
    const after = cellRates(learned.model);
    const observed = learned.updated.find((cell) => cell.step === "visit")!;
    expect(observed).toMatchObject({ persona: "p1", stimulus: "mail", exposures: 1_000 });
    const share = observed.responses / 1_000;
    expect(before[0].high).toBeLessThan(0.35);
    expect(Math.abs(after[0].mean - share)).toBeLessThan(0.05);
    expect(after[0].high - after[0].low).toBeLessThan(before[0].high - before[0].low);
    expect(after[0].low).toBeGreaterThan(before[0].high);
    expect([before[0].label, after[0].label]).toEqual(["prior only", "real"]);
    // The outcomes landed far above the prediction, so the exchange rate fell, and the vague part of the mixture took over.
    expect(before[0].essReal).toBe(0);
    expect(learned.exchangeRate.a0).toBeLessThan(model.exchangeRate.a0);
    expect(learned.exchangeRate).toMatchObject({ learned: true, cells: 2 });
    const simulated = { alpha: before[0].mean * before[0].essSimulated, beta: (1 - before[0].mean) * before[0].essSimulated };
    const a0 = learned.exchangeRate.levels.find((level) => level.name === "p1, email, plain")!.a0;
    // Closed form: mixture of .8 power prior at that rate, below its cap of max(50, 1000 / 5), and .2 Beta(1, 1).
    const scale = Math.min(a0, 200 / before[0].essSimulated);
    const joined = updateMixture({ weights: [0.8, 0.2], components: [{ alpha: scale * simulated.alpha, beta: scale * simulated.beta }, { alpha: 1, beta: 1 }] }, observed.responses, 1_000);
    expect(after[0].mean).toBeCloseTo(mixtureMean(joined), 9);
    expect(mixtureCdf(joined, after[0].high) - mixtureCdf(joined, after[0].low)).toBeCloseTo(0.9, 6);
    // Cells without outcomes stay as they were.
    expect(after[2]).toEqual(before[2]);
    // The same rows again are refused, one by one.
    const again = learn(learned.model, outcomes);
    expect([again.rows, again.rejected.seen, again.model]).toEqual([0, 1_000, learned.model]);
  });

  it("says what is missing", () => {
    const message = (text: string): string => {
      try {
        authoredModel(schemaOf(text));
      } catch (error) {
        return (error as Error).message;
      }
      return "";
    };
    expect(message(SCHEMA.slice(0, SCHEMA.indexOf("prior:")))).toContain("without data a `prior` is needed");
    expect(message(SCHEMA.replace("spend: {mean: 300, sd: 150}", "spend: {mean: 300}"))).toContain("spend: a continuous attribute needs {mean, sd}");
    expect(message(SCHEMA.replace("on: owner", "on: region"))).toContain('the effect on "region" at step visit has nothing to act on: expected');
  });
});
