import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embeddedRunner } from "../../cli/embedded.ts";
import { backendStatus, backendsWith } from "@populace/kernels";
import { samplePlan, type SamplePlanOptions } from "@populace/kernels/sample-plan";
import type { Plan } from "@populace/protocol";
import type { Bench, BenchRow } from "./bench.ts";

const FORMS: readonly (readonly [string, Omit<SamplePlanOptions, "agents" | "ticks">, readonly ("stored" | "procedural")[]])[] = [
  ["coded", { worlds: 40, worldShift: 8, scenarios: 2, stimuli: 3, traits: 12, copula: true, gapTicks: 2 }, ["stored", "procedural"]],
  ["coded, with influence", { worlds: 40, scenarios: 2, stimuli: 3, traits: 8, influence: true }, ["stored"]],
  ["factor form, thinned", { worlds: 40, worldShift: 8, scenarios: 2, stimuli: 3, factors: 4, thinned: true, shift: -4 }, ["procedural"]],
];

/** The same runs through the whole system in every way there is to execute them: one root hash a plan, or the bench fails. */
export const bench: Bench = {
  name: "matrix",
  async run({ tiny }) {
    const rows: BenchRow[] = [];
    for (const [form, options, populations] of FORMS) {
      const plan: Plan = samplePlan(5, { agents: tiny ? [66_000, 3000] : [400_000, 90_000, 110_000], ticks: tiny ? 2 : 10, ...options });
      let expected: string | null = null;
      for (const backend of await backendsWith("expose")) {
        const isEmulated = (await backendStatus(backend)).backend?.isFast === false;
        for (const population of populations) {
          for (const [workers, shards] of [[1, 1], [2, 2], [2, 7], [3, 5]] as const) {
            if ((tiny || isEmulated) && (workers === 3 || shards === 2)) continue;
            const { rootHash, exposuresPerSecond } = await once(plan, backend, population, workers, shards);
            expected ??= rootHash;
            if (rootHash !== expected) throw new Error(`${form}: root hash ${rootHash} on ${backend}, ${population}, ${workers} workers, ${shards} shards; ${expected} before`);
            rows.push({
              what: `${form}: ${backend}, ${population}, ${workers} ${workers === 1 ? "worker" : "workers"}, ${shards} ${shards === 1 ? "shard" : "shards"}`,
              ours: exposuresPerSecond, peer: null, peerName: "-", ratio: null, unit: "exposures/s", floor: null, target: "one hash a plan", hash: rootHash,
            });
          }
        }
      }
    }
    return rows;
  },
};

async function once(plan: Plan, backend: string, population: "stored" | "procedural", workers: number, shards: number): Promise<{ readonly rootHash: string; readonly exposuresPerSecond: number }> {
  const storeDir = mkdtempSync(join(tmpdir(), "populace-matrix-"));
  const runner = embeddedRunner({ storeDir, backend });
  try {
    const { rootHash, exposures, seconds } = await runner(plan, { workers, shards, population });
    return { rootHash, exposuresPerSecond: exposures / seconds };
  } finally {
    await runner.close();
    rmSync(storeDir, { recursive: true, force: true });
  }
}
