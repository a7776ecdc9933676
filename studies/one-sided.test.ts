import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream } from "@populace/domain";
import type { PopulaceError } from "@populace/domain";
import { afterAll, describe, expect, test } from "vitest";
import { backtest } from "./backtest.ts";
import { readDataset } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { learn } from "./learn.ts";
import { modelText } from "./model-file.ts";
import { cellRates } from "./cell-rates.ts";
import { parseSchema } from "./schema.ts";
import type { Model } from "./model.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-one-sided-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SCHEMA = parseSchema("name: shop\nrecipient: id\nattributes: {age: {kind: continuous, unit: years}}\nstimulus: {column: arm, stimuli: {none: {contact: false}, mail: {channel: email}}}\nassignment: randomized\nfunnel: [visit]\n", "shop.yaml");

/** Recipients whose answer is what `answer` makes of age and chance. */
function rows(name: string, count: number, answer: (age: number, chance: number) => boolean): Promise<Dataset> {
  const random = RandomStream.of(3, name);
  const lines = Array.from({ length: count }, (_, i) => {
    const age = 20 + random.integer(50);
    return `${name}${i},${age},${random.uniform() < 0.5 ? "none" : "mail"},${answer(age, random.uniform()) ? 1 : 0}`;
  });
  const path = join(folder, `${name}.csv`);
  writeFileSync(path, `id,age,arm,visit\n${lines.join("\n")}\n`);
  return readDataset(SCHEMA, path);
}

const usual = (age: number, chance: number): boolean => chance < (age > 44 ? 0.3 : 0.2);
const fit = (data: Dataset): Model => fitModel(SCHEMA, data, { personas: 2, worlds: 16 });

function expectSound(model: Model): void {
  expect(modelText(model)).not.toMatch(/NaN|Infinity|null,null/);
  for (const { mean, low, high } of cellRates(model)) expect(low >= 0 && low <= mean && mean <= high && high <= 1, `${low} ${mean} ${high}`).toBe(true);
}

describe("one-sided data", () => {
  test("outcomes that are all alike are refused by a fit, and learned and judged soundly", async () => {
    const model = fit(await rows("usual", 600, usual));
    for (const [name, value] of [["always", true], ["never", false]] as const) {
      const data = await rows(name, 1200, () => value);
      expect(() => fit(data)).toThrow(expect.objectContaining({ code: "DEGENERATE_DATA", message: expect.stringContaining("both outcomes") }) as PopulaceError);
      for (const update of ["cells", "logistic"] as const) expectSound(learn(model, data, { update }).model);
      const judged = backtest(model, data);
      expect([judged.logLoss, judged.coverage90, judged.ece].every(Number.isFinite)).toBe(true);
    }
  });

  test("a million outcomes beside a single one give sound rates, and the single one its own width", async () => {
    const model = fit(await rows("lopsided", 600, usual));
    for (const responses of [0, 1, 1_000_000]) {
      const counted = { ...model, outcomes: model.outcomes.map((_, cell) => (cell === 0 ? { exposures: 1_000_000, responses } : { exposures: 1, responses: Math.min(1, responses) })) };
      expectSound(counted);
      const [first, ...others] = cellRates(counted);
      expect(first.mean).toBeCloseTo(responses / 1_000_000, 3);
      for (const other of others) expect(other.high - other.low).toBeGreaterThan(10 * (first.high - first.low));
    }
  });

  test("separable data give finite rates, which an update keeps", async () => {
    const model = fit(await rows("apart", 400, (age) => age > 44));
    expectSound(model);
    expectSound(learn(model, await rows("apart-2", 1200, (age) => age > 44), { update: "logistic" }).model);
  });

  test("outcomes that were all counted before leave the model as it is", async () => {
    const data = await rows("again", 600, usual);
    const model = fit(data);
    const result = learn(model, data);
    expect(result).toMatchObject({ rows: 0, rejected: { seen: 600 } });
    expect(result.model).toBe(model);
  });
});
