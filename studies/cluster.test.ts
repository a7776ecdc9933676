import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream, adjustedRand, assign, findClosestPersona, prioritizeCampaigns } from "@populace/domain";
import { clusterLive, clusterPoints, promoteCluster } from "./cluster.ts";
import { readPoints } from "./cluster-points.ts";
import { readDataset } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { modelText, parseModel } from "./model-file.ts";
import type { Model } from "./model.ts";
import { parseSchema } from "./schema.ts";
import { scoreTableOf } from "./score-table.ts";

const SEED = 31;
const SCHEMA = `
name: shop
recipient: id
attributes:
  age: { kind: continuous, unit: years }
  spend: { kind: continuous, transform: log1p, unit: EUR }
  channel: categorical
stimulus: { column: arm, stimuli: { a: { id: news, channel: email }, b: { id: sale, channel: email, offer: { priceCut: 0.2 } } } }
assignment: randomized
funnel: [click]
`;

/** Young thrifty people of the web, older spenders of the shop, and (when asked for) a third kind nobody has seen before. */
function people(name: string, count: number, strangers: number): { csv: string; truth: number[] } {
  const random = RandomStream.of(SEED, name);
  const truth: number[] = [];
  const lines = ["id,age,spend,channel,arm,click"];
  for (let row = 0; row < count; row++) {
    const kind = random.uniform() < strangers ? 2 : random.integer(2);
    truth.push(kind);
    const age = [28, 62, 45][kind]! + 4 * random.normal();
    const spend = Math.exp([3, 5, 9.5][kind]! + 0.4 * random.normal());
    const channel = random.uniform() < 0.9 ? ["web", "shop", "web"][kind] : "phone";
    const arm = random.integer(2);
    const click = random.uniform() < [0.12, 0.25, 0.2][kind]! * (arm === 1 ? 1.4 : 1) ? 1 : 0;
    lines.push(`${name}${row},${age.toFixed(1)},${spend.toFixed(2)},${channel},${arm === 0 ? "a" : "b"},${click}`);
  }
  return { csv: `${lines.join("\n")}\n`, truth };
}

describe("clustering of live recipients", () => {
  let folder = "", model: Model, usual: Dataset, changed: Dataset, truth: number[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "populace-cluster-"));
    const schema = parseSchema(SCHEMA);
    const read = async (name: string, count: number, strangers: number, recipientsOnly: boolean): Promise<Dataset> => {
      const drawn = people(name, count, strangers);
      writeFileSync(join(folder, `${name}.csv`), drawn.csv);
      truth = drawn.truth;
      return readDataset(schema, join(folder, `${name}.csv`), { recipientsOnly });
    };
    model = fitModel(schema, await read("fit", 3000, 0, false), { personas: 2, worlds: 60, seed: SEED });
    usual = await read("usual", 800, 0, true);
    changed = await read("changed", 1000, 0.15, true);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("finds the personas again where nothing changed", () => {
    const live = clusterLive(model, usual, { method: "kmeans", seed: SEED });
    expect(live.used.k).toBe(2);
    expect(live.emerging).toEqual([]);
    expect(live.lineage.map((one) => one.event)).toEqual(["survive", "survive"]);
    expect(new Set(live.lineage.map((one) => one.persona))).toEqual(new Set(model.mixture.personas.map((persona) => persona.id)));
    expect(clusterLive(model, usual, { method: "kmeans", seed: SEED })).toEqual(live);
  });

  it.each([["kmeans", {}], ["dbscan", { eps: 0.6, minPoints: 10 }]] as const)("%s names the group nobody described, and how stable it is", (method, options) => {
    const live = clusterLive(model, changed, { method, ...options, seed: SEED });
    expect(adjustedRand([...live.labels], truth), `seed ${SEED}`).toBeGreaterThan(0.8);
    expect(live.emerging).toHaveLength(1);
    const [group] = live.emerging;
    expect(group!.share).toBeGreaterThan(0.1);
    expect(group!.fitsNoneShare).toBeGreaterThan(0.9);
    expect(group!.stability).toBeGreaterThan(0.75);
    expect(group!.stage).toBe("shadow");
    expect(group!.description).toMatch(/high spend/);
    expect(live.lineage.find((one) => one.cluster === group!.cluster)).toMatchObject({ event: "emerge", parents: [], persona: null });
  });

  it("promotes it: its people get the new persona, and an answer changes", () => {
    const live = clusterLive(model, changed, { method: "kmeans", k: 3, seed: SEED });
    const promotion = promoteCluster(model, changed, live.labels, live.emerging[0]!.cluster);
    const next = promotion.model;
    expect(next.version).toBe(model.version + 1);
    expect(next.mixture.personas).toHaveLength(3);
    expect(next.mixture.personas[2]).toMatchObject({ id: promotion.persona, lineage: { event: "emerge", atVersion: next.version } });
    expect(next.mixture.personas.reduce((sum, persona) => sum + persona.share, 0)).toBeCloseTo(1, 12);
    expect(promotion.moved / promotion.members).toBeGreaterThan(0.95);

    const stranger = { id: "x", attributes: { age: 45, spend: 13_000, channel: "web" } };
    expect(findClosestPersona(model.mixture, stranger).fitsNone).toBe(true);
    expect(findClosestPersona(next.mixture, stranger)).toMatchObject({ persona: 2, fitsNone: false });
    const old = { id: "y", attributes: { age: 27, spend: 20, channel: "web" } };
    expect(findClosestPersona(next.mixture, old).persona).toBe(findClosestPersona(model.mixture, old).persona);

    const campaigns = [{ id: "c", stimuli: ["news", "sale"], economicValueMinor: 100 }];
    const before = prioritizeCampaigns(scoreTableOf(model), stranger, campaigns), after = prioritizeCampaigns(scoreTableOf(next), stranger, campaigns);
    expect(after.persona).toBe(promotion.persona);
    expect(after.persona).not.toBe(before.persona);
    expect(after.ranked[0]!.rate).not.toBe(before.ranked[0]!.rate);
    // Nobody has seen them respond: the rate says so.
    expect(after.ranked[0]!.label).toBe("prior only");
    expect(prioritizeCampaigns(scoreTableOf(next), old, campaigns).ranked).toEqual(prioritizeCampaigns(scoreTableOf(model), old, campaigns).ranked);
  });

  it("keeps everybody else's posterior, and draws the new persona's effects from their prior", () => {
    const live = clusterLive(model, changed, { method: "kmeans", k: 3, seed: SEED });
    const { model: next } = promoteCluster(model, changed, live.labels, live.emerging[0]!.cluster);
    const p = model.response.terms.length, wide = next.response.terms.length;
    expect(next.response.terms.slice(0, p)).toEqual(model.response.terms);
    const [step] = model.response.stepModels, [grown] = next.response.stepModels;
    for (let world = 0; world < model.response.worlds; world++) expect([...grown!.draws.subarray(world * wide, world * wide + p)]).toEqual([...step!.draws.subarray(world * p, (world + 1) * p)]);
    const at = next.response.terms.findIndex((term) => term.kind === "persona" && term.persona === 2);
    const group = step!.scaleGroups.findIndex((one) => one.name === "persona");
    const draws = Array.from({ length: model.response.worlds }, (_, world) => grown!.draws[world * wide + at]! / step!.scaleDraws[world * step!.scaleGroups.length + group]!);
    // Standard normals: mean within four standard errors of 0, mean square within four of 1.
    const n = draws.length;
    expect(Math.abs(draws.reduce((sum, z) => sum + z / n, 0))).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(draws.reduce((sum, z) => sum + (z * z) / n, 0) - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    const again = parseModel(modelText(next));
    expect(scoreTableOf(again).release).toBe(scoreTableOf(next).release);
    expect(assign(again.mixture, [0, 0, 0]).persona).toBe(assign(next.mixture, [0, 0, 0]).persona);
  });

  it("refuses a handful of people and labels of other rows", () => {
    expect(() => promoteCluster(model, usual, usual.recipients.map((_, row) => (row < 5 ? 1 : 0)), 1)).toThrow(/has 5 members; a persona needs at least 30/);
    expect(() => promoteCluster(model, usual, [0, 1], 1)).toThrow(/2 labels for 800 recipients/);
  });
});

describe("files of numbers", () => {
  const folder = mkdtempSync(join(tmpdir(), "populace-points-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  it("are read with blanks, commas, headers, comments and gzip", () => {
    const expected = { rows: 2, dimensions: 2, values: Float64Array.of(1, -2.5, 3e2, 4) };
    expect(readPoints(file("blank.txt", "  1   -2.5\n\n3e2 4\n"))).toEqual(expected);
    expect(readPoints(file("comma.csv", "x,y\r\n1, -2.5\r\n300,4\r\n"))).toEqual(expected);
    expect(readPoints(file("packed.gz", gzipSync("# two points\n1;-2.5\n3e2;4\n")))).toEqual(expected);
  });

  it.each([
    ["a word", "1 2\n3 x\n", /line 2, column 2: "x" is no number/],
    ["recipients", "age,city\n30,New York\n", /line 2, column 2: "New" is no number; .*--model/],
    ["a ragged line", "1 2\n3\n", /line 2: 1 numbers; expected 2, as in line 1/],
    ["NaN", "1 2\nNaN 3\n", /line 2, column 1/],
    ["nothing", "\n\n", /no numbers/],
    ["a header only", "a,b\n", /no numbers/],
    ["an endless line", `${"1 ".repeat(100_000)}\n`, /line 1/],
  ])("are refused for %s", (name, content, message) => {
    expect(() => readPoints(file(`${name.replaceAll(" ", "-")}.txt`, content))).toThrow(message);
  });

  it("are refused when they are missing or cut short", () => {
    expect(() => readPoints(join(folder, "nowhere"))).toThrow(/ENOENT/);
    expect(() => readPoints(file("short.gz", gzipSync("1 2\n".repeat(1000)).subarray(0, 40)))).toThrow(/gzip is damaged/);
  });

  it("are clustered with what was used stated", () => {
    const random = RandomStream.of(SEED, "points");
    const points = readPoints(file("blobs.txt", Array.from({ length: 300 }, (_, row) => `${(row % 3) * 20 + random.normal()} ${1000 * ((row * row) % 3) + 50 * random.normal()}`).join("\n")));
    const truth = Array.from({ length: 300 }, (_, row) => row % 3);
    expect([...clusterPoints(points, { method: "kmeans", k: 3, standardize: true, seed: 2 }).labels]).toEqual(truth);
    expect(clusterPoints(points, { method: "kmeans", k: 3 }).used).toEqual({ method: "kmeans", k: 3 });
    const dense = clusterPoints(points, { method: "dbscan", standardize: true, eps: 0.5 });
    expect(dense.used).toEqual({ method: "dbscan", eps: 0.5, minPoints: 10 });
    expect(dense.sizes.reduce((sum, size) => sum + size, 0) + dense.noise).toBe(300);
  });
});
