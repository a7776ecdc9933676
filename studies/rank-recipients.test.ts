import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream, prioritizer } from "@populace/domain";
import type { Campaign, ScoreTable } from "@populace/domain";
import { encodeDataset } from "./codings.ts";
import { readDataset } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import type { Model } from "./model.ts";
import { rankRecipients } from "./rank-recipients.ts";
import { parseSchema } from "./schema.ts";
import { scoreTableOf } from "./score-table.ts";

const SEED = 17;
const schema = parseSchema(`
name: shop
recipient: id
attributes: { age: { kind: continuous, unit: years }, town: categorical }
stimulus: { column: arm, stimuli: { a: { id: news, channel: email }, b: { id: sale, channel: email } } }
assignment: randomized
funnel: [click]
`);
const campaigns: readonly Campaign[] = Array.from({ length: 8 }, (_, index) => ({ id: `c${index} "quoted"`, stimuli: index % 3 === 0 ? ["news", "sale"] : ["sale"], economicValueMinor: 100 + ((index * 37) % 900) }));

describe("ranking a file of recipients", () => {
  const folder = mkdtempSync(join(tmpdir(), "rank-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let model: Model, table: ScoreTable, path: string, dataset: Dataset;
  beforeAll(async () => {
    const random = RandomStream.of(SEED, "people");
    const row = (id: string): string => {
      const old = random.integer(2);
      const age = random.uniform() < 0.05 ? "" : (old === 1 ? 60 : 30) + 5 * random.normal();
      return `${id},${age},${random.uniform() < 0.9 ? ["web", "shop"][old] : "street"},${random.integer(2) === 0 ? "a" : "b"},${random.uniform() < 0.1 + 0.1 * old ? 1 : 0}`;
    };
    const write = (name: string, rows: readonly string[]): string => {
      writeFileSync(join(folder, name), `id,age,town,arm,click\n${rows.join("\n")}\n`);
      return join(folder, name);
    };
    model = fitModel(schema, await readDataset(schema, write("fit.csv", Array.from({ length: 2000 }, (_, index) => row(`f${index}`)))), { personas: 2, worlds: 40, seed: SEED });
    table = scoreTableOf(model);
    // More than one piece, ids that need escapes, and somebody whom no persona describes.
    path = write("live.csv", [...Array.from({ length: 36_000 }, (_, index) => row(`r${index}`)), row('"a ""name"", two\nlines ☂"'), "odd,400,web,a,0"]);
    dataset = await readDataset(schema, path, { recipientsOnly: true });
  });

  it.each([{ mode: "plain" as const, topN: 3 }, { mode: "value" as const, rateMin: 0.12 }, { mode: "thompson" as const, topN: 1, suppressFitsNone: true }])("gives the decisions that one by one are made, as lines: %o", async (options) => {
    const how = { ...options, random: RandomStream.of(SEED, "draws") };
    const lines: Uint8Array[] = [];
    const summary = await rankRecipients(schema, table, campaigns, path, { ...how, onLines: (bytes) => void lines.push(bytes) });
    const deciding = prioritizer(table, campaigns, how);
    const { codes } = encodeDataset(dataset, table.mixture.codings);
    const expected = dataset.recipients.map((recipient, row) => deciding.decideCodes(recipient, codes, undefined, row * 2));
    const text = Buffer.concat(lines).toString();
    expect(text === expected.map((decision) => `${JSON.stringify(decision)}\n`).join("")).toBe(true);
    expect(summary).toMatchObject({ recipients: 36_002, noConsent: 0, rejected: 0 });
    expect(summary.first).toEqual(expected.slice(0, 20));
    const suppressed = new Map<string, number>();
    for (const decision of expected) for (const { reason } of decision.suppressed) suppressed.set(reason, (suppressed.get(reason) ?? 0) + 1);
    expect(summary.suppressed).toEqual(suppressed);
    expect(expected.at(-1)!.fitsNone).toBe(true);
  });

  it("stops between pieces when it is told to", async () => {
    const stop = new AbortController();
    const ranking = rankRecipients(schema, table, campaigns, path, { topN: 1, signal: stop.signal, onProgress: () => stop.abort() });
    await expect(ranking).rejects.toMatchObject({ name: "AbortError" });
  });
});
