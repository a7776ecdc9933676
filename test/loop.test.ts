// The whole loop as its users meet it, over the command line, on the generated retailer: no data needed.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openEmbeddedPorts } from "@populace/io";
import { COMMIT, type Commit, SHARD_OUT, TICK_OPEN, commitSubject, schemaOf } from "@populace/protocol";
import { parquetMetadata } from "hyparquet";
import { beforeAll, describe, expect, test } from "vitest";
import { populace, populaceJson, sharedTemporaryFolder } from "./helpers/process.ts";

interface Demo {
  readonly runId: string;
  readonly rootHash: string;
  readonly outDir: string;
  readonly report: string;
  readonly gateway: { readonly status: number; readonly decisions: readonly { readonly persona: string; readonly ranked: readonly { readonly score: number }[] }[] };
  readonly truth: { readonly coverage90: number; readonly coverage90Misspecified: number; readonly rateMae: number };
  readonly shock: { readonly before: number; readonly during: number; readonly after: number; readonly without: number };
  readonly changedAnswer: { readonly before: string; readonly after: string };
}

interface Manifest {
  readonly runId: string;
  readonly rootHash: string;
  readonly roots: readonly string[];
}

interface Simulated {
  readonly runId: string;
  readonly rootHash: string;
  readonly exposures: number;
  readonly rates: readonly { readonly persona: string; readonly stimulus: string; readonly step: string; readonly mean: number; readonly low: number; readonly high: number }[];
}

const folder = sharedTemporaryFolder();
let demo: Demo;

beforeAll(async () => {
  demo = await populaceJson<Demo>(["demo", "--recipients", "3000", "--agents", "20000", "--out", "demo"], { cwd: folder() });
}, 180_000);

describe("the demo", () => {
  test("goes round the loop and says how far it was from the truth", () => {
    expect(demo.truth.coverage90).toBeGreaterThan(0.7);
    expect(demo.truth.rateMae).toBeLessThan(0.05);
    expect(demo.gateway.status).toBe(200);
    expect(demo.gateway.decisions.length).toBeGreaterThan(0);
    for (const { ranked } of demo.gateway.decisions) expect(ranked.map((row) => row.score)).toEqual(ranked.map((row) => row.score).toSorted((a, b) => b - a));
  });

  test("shows a rate move during a shock and come back, and an answer change after a persona was promoted", () => {
    const { before, during, after, without } = demo.shock;
    expect(during).toBeLessThan(before);
    expect(after).toBeGreaterThan(during);
    expect(Math.abs(without - before)).toBeLessThan(Math.abs(during - before));
    expect(demo.changedAnswer.after).not.toBe(demo.changedAnswer.before);
  });

  test("leaves a report that needs nothing else, Parquet tables and a manifest with the root of every tick", () => {
    const home = join(folder(), demo.outDir);
    const report = readFileSync(join(folder(), demo.report), "utf8");
    expect(report).toContain("<svg");
    expect(report).not.toMatch(/<(?:script|link|img)[^>]+(?:src|href)="https?:/);
    const manifest = JSON.parse(readFileSync(join(home, "manifest.json"), "utf8")) as Manifest;
    expect(manifest.runId).toBe(demo.runId);
    expect(manifest.roots.at(-1)).toBe(demo.rootHash);
    for (const file of readdirSync(home).filter((name) => name.endsWith(".parquet"))) {
      const bytes = readFileSync(join(home, file));
      expect(Number(parquetMetadata(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)).num_rows)).toBeGreaterThan(0);
    }
  });

  test("ran the protocol of the cluster: TickOpen, ShardOut and COMMIT are in its log, and their roots chain", async () => {
    const ports = openEmbeddedPorts(join(folder(), demo.outDir, "store"));
    try {
      const manifest = JSON.parse(readFileSync(join(folder(), demo.outDir, "manifest.json"), "utf8")) as Manifest;
      const commitsOf = async (run: string): Promise<Commit[]> => (await ports.log.read(commitSubject("local", run), { limit: 10_000 })).map((entry) => COMMIT.decode(entry.bytes));
      const commits = await commitsOf(demo.runId);
      expect(commits.map((commit) => commit.tick)).toEqual(manifest.roots.map((_, tick) => tick));
      expect(commits.map((commit) => commit.root)).toEqual(manifest.roots);
      expect(commits.map((commit) => commit.prevRoot)).toEqual([demo.runId, ...manifest.roots.slice(0, -1)]);

      // Slots and opens are kept for the newest runs only; a commit outlives them.
      const entries = await ports.log.read("pop.local.>", { limit: 10_000 });
      const bodies = (message: string): Uint8Array[] => entries.filter((entry) => schemaOf(entry.bytes)?.startsWith(`${message}/`)).map((entry) => entry.bytes);
      const opened = bodies("TickOpen").map((bytes) => TICK_OPEN.decode(bytes));
      expect(opened.length).toBeGreaterThan(0);
      for (const open of opened) {
        const chain = await commitsOf(open.run);
        expect(open.prevRoot).toBe(open.tick === 0 ? open.run : chain[open.tick - 1]?.root);
        expect(open.attempt).toBe(chain[open.tick]?.attempt);
      }
      const outs = bodies("ShardOut").map((bytes) => SHARD_OUT.decode(bytes));
      expect(outs.length).toBeGreaterThan(0);
      for (const out of outs) {
        expect(opened.some((open) => open.run === out.run && open.tick === out.tick && open.span === out.span)).toBe(true);
        expect(out.hashes.length).toBeGreaterThan(0);
        expect(out.hashes.length % (64 * out.span)).toBe(0);
      }
    } finally {
      await ports.close();
    }
  });
});

describe("a run", () => {
  const simulate = (...args: readonly string[]): Promise<Simulated> =>
    populaceJson<Simulated>(["simulate", "--model", "demo/model-3.json", "--study", "demo/study.yaml", "--agents", "9000", "--ticks", "9", ...args], { cwd: folder() });

  test("has the same root hash and the same rates for 1, 2 and 7 workers, any cut into shards, and either form of the population", async () => {
    const ways = [
      ["--workers", "1", "--shards", "1"],
      ["--workers", "2"],
      ["--workers", "7", "--shards", "5", "--population", "procedural"],
    ];
    const runs: Simulated[] = [];
    for (const [index, way] of ways.entries()) runs.push(await simulate(...way, "--store", `store-${index}`));
    for (const run of runs.slice(1)) {
      expect(run.runId).toBe(runs[0]!.runId);
      expect(run.rootHash).toBe(runs[0]!.rootHash);
      expect(run.rates).toEqual(runs[0]!.rates);
    }
    expect(runs[0]!.exposures).toBeGreaterThan(9_000);
  });

  test("differs with its seed, and is read back when it is repeated", async () => {
    const first = await simulate("--store", "store-0");
    const other = await simulate("--store", "store-0", "--seed", "99");
    expect(other.runId).not.toBe(first.runId);
    expect(other.rootHash).not.toBe(first.rootHash);
  });

  test("interrupted by Ctrl-C leaves a store that the same command finishes, with the root of an undisturbed run", async () => {
    const args = ["simulate", "--model", "demo/model-3.json", "--study", "demo/study.yaml", "--agents", "120000", "--ticks", "40", "--workers", "1"];
    let isInterrupted = false;
    const interrupted = await populace([...args, "--store", "cut"], {
      cwd: folder(),
      soon: { file: join(folder(), "cut", "data.mdb"), act: (kill) => {
        isInterrupted = true;
        kill("SIGINT");
      } },
    });
    expect(isInterrupted).toBe(true);
    expect([0, 1]).toContain(interrupted.code);
    const resumed = await populaceJson<Simulated>([...args, "--store", "cut"], { cwd: folder() });
    const undisturbed = await populaceJson<Simulated>([...args, "--store", "whole"], { cwd: folder() });
    expect(resumed.rootHash).toBe(undisturbed.rootHash);
    expect(resumed.rates).toEqual(undisturbed.rates);
    expect(existsSync(join(folder(), "cut", "data.mdb"))).toBe(true);
  });
});
