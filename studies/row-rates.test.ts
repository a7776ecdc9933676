import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RandomStream } from "@populace/domain";
import { readDataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { summarizeRun } from "./intervals.ts";
import { runHere } from "./local-run.fixture.ts";
import { modelText, parseModel } from "./model-file.ts";
import { compilePlan } from "./plan.ts";
import { parseSchema } from "./schema.ts";
import { readStudy } from "./study.ts";

describe("rowRates", () => {
  it("a dependence no copula can hold leaves the simulated rate where the data are", async () => {
    // The effects of zone and index cancel row by row, because a zone fixes its index without any order; agents that draw them
    // apart spread over logits the data never saw, and with a rare response that inflates the rate.
    const seed = 5;
    const random = RandomStream.of(seed, "dependent data");
    const zones = ["a", "b", "c", "d", "e", "f"];
    const index = [3, -3, 2, -1, -2, 1];
    const lines = Array.from({ length: 6_000 }, (_, row) => {
      const zone = random.integer(6);
      const yes = random.uniform() < 0.04;
      return `${row},${zones[zone]},${(index[zone] + 0.3 * random.normal()).toFixed(3)},${yes ? 1 : 0}`;
    });
    const path = join(mkdtempSync(join(tmpdir(), "rows-")), "data.csv");
    writeFileSync(path, `id,zone,index,yes\n${lines.join("\n")}\n`);
    const schema = parseSchema("{name: dependent, recipient: id, attributes: {zone: categorical, index: continuous}, stimulus: {constant: mail}, assignment: randomized, funnel: [{name: yes, column: yes}]}", "s.yaml");
    const fitted = fitModel(schema, await readDataset(schema, path), { personas: 1, worlds: 50, seed });
    // The coefficients are set by hand: a strong effect of the index, undone by the zones, as data of this kind may well say.
    const terms = fitted.response.terms;
    const step = fitted.response.stepModels[0];
    expect(fitted.rowRates?.["p1"].length).toBe(51);
    const strength = 1.2;
    const scale = fitted.mixture.codings[1].scale;
    const by = (at: number): number => {
      const term = terms[at];
      if (term.kind !== "trait") return 0;
      return term.level < 0 ? strength * scale : -strength * (index[zones.indexOf(fitted.mixture.codings[0].levels[term.level])] ?? 0);
    };
    const bent = (values: Float64Array) => values.map((value, at) => value + by(at % terms.length));
    const { rowRates } = await import("./row-rates.ts");
    const { encodeDataset } = await import("./codings.ts");
    const dataset = await readDataset(schema, path);
    const bare = { ...fitted, response: { ...fitted.response, stepModels: [{ ...step, mean: bent(step.mean), draws: bent(step.draws) }] } };
    const codes = encodeDataset(dataset, bare.mixture.codings).codes;
    const anchored = { ...bare, rowRates: rowRates(bare, codes, new Int32Array(dataset.rows), null) };
    const { rowRates: _, ...loose } = bare;
    const rate = (model: typeof bare | typeof loose) => {
      const study = readStudy({ ticks: 1, agents: 100_000 }, model);
      const plan = compilePlan(model, study);
      return summarizeRun(model, study, plan, runHere(plan)).at(-1)!;
    };
    const observed = lines.filter((line) => line.endsWith(",1")).length / lines.length;
    const [free, held] = [rate(loose), rate(anchored)];
    expect(free.mean, `seed ${seed}`).toBeGreaterThan(observed * 1.5);
    // 8,192 people with a logit sd of 3 and 100,000 simulated agents leave 3 % of the rate.
    expect(Math.abs(held.mean / anchored.rowRates["p1"][50] - 1), `seed ${seed}`).toBeLessThan(0.06);
    // The data's own share has a standard error of 6 %, and the index' noise inside a zone (logit sd 0.36) adds as much.
    expect(Math.abs(held.mean / observed - 1), `seed ${seed}`).toBeLessThan(0.2);
    expect(held.high - held.low).toBeLessThan(free.high - free.low);
    expect(parseModel(modelText(fitted)).rowRates).toEqual(fitted.rowRates);
  });
});
