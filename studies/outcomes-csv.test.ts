import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { readDataset } from "./dataset.ts";
import { outcomesCsv } from "./outcomes-csv.ts";
import type { ObservedOutcome } from "./outcomes-csv.ts";
import { parseSchema } from "./schema.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-outcomes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const schema = parseSchema(`
name: shop
recipient: id
attributes:
  urban: { kind: binary, column: is_urban, levels: [no, yes] }
  spend: { kind: continuous, unit: EUR }
  city: { kind: categorical }
stimulus: { column: arm, stimuli: { A: { id: news, channel: email }, B: { id: sale, channel: email } } }
assignment: randomized
funnel: [{ name: open, column: opened, positive: "yes" }, { name: buy, column: bought }]
value: { column: paid, currency: EUR }
consent: { purposeColumn: purpose, untilColumn: until, purpose: marketing }
`);

it("stored outcomes come back through the schema as the rows they were, consent judged again", async () => {
  const outcome = (id: string, changes: Partial<ObservedOutcome>): ObservedOutcome => ({ id, recipient: id, attributes: { urban: true, spend: 12.5, city: 'Sankt "Veit", AT' }, stimulus: "sale", reached: null, at: "2026-03-01T10:00:00Z", consent: { purpose: "marketing", until: null }, ...changes });
  const csv = outcomesCsv(schema, [
    outcome("r1", { reached: "buy", valueMinor: 1999 }), outcome("r2", { reached: "open", stimulus: "news", attributes: { urban: "no" }, consent: [{ purpose: "x", until: null }, { purpose: "marketing", until: "2030-01-01" }] }),
    outcome("r3", {}), outcome("expired", { consent: { purpose: "marketing", until: "2026-03-02" } }), outcome("none", { consent: false }), outcome("other", { consent: { purpose: "x", until: null } }),
  ]);
  writeFileSync(join(folder, "o.csv"), csv);
  const dataset = await readDataset(schema, join(folder, "o.csv"), { atMs: Date.UTC(2026, 5, 1) });
  expect(dataset.recipients).toEqual(["r1", "r2", "r3"]);
  expect(dataset.noConsent).toBe(3);
  expect(dataset.rejectedCount).toBe(0);
  expect([...dataset.outcomes]).toEqual([1, 1, 1, 0, 0, 0]);
  expect([...dataset.stimulus].map((index) => dataset.schema.stimulus.stimuli[index]!.id)).toEqual(["sale", "news", "sale"]);
  expect(dataset.value![0]).toBe(1999);
  const city = dataset.columns[2]!;
  expect(city.kind === "text" && city.dictionary[city.codes[0]!]).toBe('Sankt "Veit", AT');
  expect(dataset.missing).toMatchObject({ spend: 1, city: 1, urban: 0 });
});
