// Ranking a batch of recipients: what `populace prioritize` does after and with the reading of its file.
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream, prioritizer } from "@populace/domain";
import type { Campaign, DecidedRows } from "@populace/domain";
import { mixtureEngine } from "@populace/kernels";
import { encodeDataset, fitModel, parseSchema, rankRecipients, readDataset, scoreTableOf } from "@populace/studies";
import { alternating } from "./bench.ts";
import type { Bench } from "./bench.ts";

const NUMBERS = 8, TOWNS = ["north", "east", "south", "west"] as const;
const SCHEMA = `
name: bench
recipient: id
attributes:
${Array.from({ length: NUMBERS }, (_, index) => `  n${index}: continuous`).join("\n")}
  member: binary
  town: categorical
stimulus: { column: arm, stimuli: { a: { id: news, channel: email }, b: { id: sale, channel: email }, c: { id: gift, channel: post } } }
assignment: randomized
funnel: [click]
`;

/** Twelve kinds of people; ids and ten attributes a row. */
function people(rows: number, random: RandomStream, arms: boolean): string {
  const lines = [`id,${Array.from({ length: NUMBERS }, (_, index) => `n${index}`).join(",")},member,town${arms ? ",arm,click" : ""}`];
  for (let row = 0; row < rows; row++) {
    const kind = random.integer(12);
    const numbers = Array.from({ length: NUMBERS }, (_, index) => (((kind * 7 + index * 3) % 5) - 2 + 0.7 * random.normal()).toFixed(2));
    lines.push(`r${row},${numbers.join(",")},${random.uniform() < (kind % 4) / 4 ? "yes" : "no"},${random.uniform() < 0.7 ? TOWNS[kind % 4] : TOWNS[random.integer(4)]}${arms ? `,${"abc"[random.integer(3)]},${random.uniform() < 0.1 + 0.02 * (kind % 3) ? 1 : 0}` : ""}`);
  }
  return `${lines.join("\n")}\n`;
}

export const bench: Bench = {
  name: "ranking",
  async run({ tiny }) {
    const folder = mkdtempSync(join(tmpdir(), "populace-ranking-"));
    try {
      const file = (name: string, text: string): string => {
        writeFileSync(join(folder, name), text);
        return join(folder, name);
      };
      const random = RandomStream.of(11, "bench ranking"), schema = parseSchema(SCHEMA);
      const fitted = fitModel(schema, await readDataset(schema, file("fit.csv", people(tiny ? 600 : 6000, random, true))), { personas: tiny ? 3 : 12, worlds: tiny ? 20 : 100, seed: 1 });
      const table = scoreTableOf(fitted);
      const campaigns = Array.from({ length: 30 }, (_, index): Campaign => ({ id: `campaign-${index}`, stimuli: index % 3 === 0 ? ["news", "sale", "gift"] : [["news", "sale", "gift"][index % 3]!], economicValueMinor: 100 + ((index * 37) % 900) }));
      const count = tiny ? 500 : 1_000_000;
      const path = file("live.csv", people(count, random, false));

      const sample = await readDataset(schema, file("sample.csv", people(tiny ? 200 : 100_000, random, false)), { recipientsOnly: true });
      const { codes } = encodeDataset(sample, table.mixture.codings);
      const traits = table.mixture.codings.length;
      const deciding = prioritizer(table, campaigns, { topN: 5 }), run = mixtureEngine.assigning(table.mixture);
      let decided!: DecidedRows;
      const [columns, one] = await alternating(tiny ? 1 : 5, [() => { decided = deciding.decideRows(sample.recipients, codes, run); }, () => sample.recipients.map((recipient, row) => deciding.decideCodes(recipient, codes, undefined, row * traits))]);
      run.close();
      const last = sample.rows - 1;
      if (JSON.stringify(decided.decision(last)) !== JSON.stringify(deciding.decideCodes(sample.recipients[last], codes, undefined, last * traits))) throw new Error("ranking: the batch and the single decision differ");
      const hash = createHash("sha256").update(Buffer.from(decided.persona.buffer)).update(Buffer.from(decided.probability.buffer)).digest("hex");

      const [read, written] = await alternating(tiny ? 1 : 3, [() => rankRecipients(schema, table, campaigns, path, { topN: 5 }), () => rankRecipients(schema, table, campaigns, path, { topN: 5, onLines: () => undefined })]);
      const lines = createHash("sha256");
      await rankRecipients(schema, table, campaigns, file("few.csv", people(100, random, false)), { topN: 5, onLines: (bytes) => void lines.update(bytes) });
      return [
        { what: `batch ranking, ${sample.rows} recipients of ${traits} attributes x 30 campaigns, ${table.mixture.personas.length} personas, codes in memory, one core`, ours: sample.rows / columns, peer: sample.rows / one, peerName: "one by one", ratio: one / columns, unit: "recipients/s", floor: null, target: null, hash },
        { what: `batch ranking, ${count} recipients x 30 campaigns from a CSV file, one core`, ours: read, peer: null, peerName: "-", ratio: null, unit: "s", floor: "10 s", target: "3 s", hash },
        { what: "the same with every decision as a JSON line", ours: written, peer: null, peerName: "-", ratio: null, unit: "s", floor: "10 s", target: null, hash: lines.digest("hex") },
      ];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
