// The simulation kernel in exposures a second, beside what memory alone would allow: its agents' bytes copied as fast as this machine copies.
import { availableParallelism } from "node:os";
import { type Bench, compared, median } from "./bench.ts";
import { startCrew } from "./expose-crew.ts";
import { COPIED_BYTES, copyMemory } from "./expose-thread.ts";
import { countsHash, exposuresOf, stepping, storedPlan } from "./expose-work.ts";

/** 16 B of codes and 2 B of state read, 2 B of state written. */
const BYTES_AN_EXPOSURE = 20;

export const bench: Bench = {
  name: "expose limits",
  async run({ tiny }) {
    const rounds = tiny ? 1 : 7, threads = Math.min(2, availableParallelism());
    // 38 MB a core: more than the cache that cores share.
    const plan = storedPlan(tiny ? 2_048 : 2 ** 21), ours = await stepping("wasm", plan, "stored");
    const both = storedPlan(tiny ? 4_096 : threads * 2 ** 21), crew = await startCrew(both, "wasm", threads, "step");
    let hash = "";
    const copied: number[] = [], copiedByAll: number[] = [], rates: number[] = [], ratesOfAll: number[] = [];
    const words = { unit: "exposures/s", better: "larger", peerName: "", rounds } as const;
    const one = await compared({
      ...words, what: "expose, stored, one core, absolute", floor: "120 M/s", target: "300 M/s", hash: ours.hash,
      async ours() {
        rates.push(await ours.rate());
        return rates.at(-1)!;
      },
      async peer() {
        const started = performance.now();
        copyMemory();
        copied.push((COPIED_BYTES / (performance.now() - started)) * 1000);
        return copied.at(-1)! / BYTES_AN_EXPOSURE;
      },
    });
    const two = await compared({
      ...words, what: `expose, stored, ${threads === 2 ? "two cores" : "one core (there is no second)"}, absolute`, floor: "200 M/s", target: "400 M/s", hash: () => hash,
      async ours() {
        const { seconds, counts } = await crew.life();
        hash = countsHash(counts);
        ratesOfAll.push(exposuresOf(both, counts) / seconds);
        return ratesOfAll.at(-1)!;
      },
      async peer() {
        copiedByAll.push(await crew.copyRate());
        return copiedByAll.at(-1)! / BYTES_AN_EXPOSURE;
      },
    });
    ours.close();
    await crew.close();
    const limit = (bytesPerSecond: readonly number[]): string => `limit: ${BYTES_AN_EXPOSURE} B an exposure, memory copied at ${(median(bytesPerSecond) / 1e9).toFixed(1)} GB/s, read and written`;
    // Others use these cores too: the best round says what the kernel can do, the median what it did.
    const best = (figures: readonly number[]): string => `best round ${(Math.max(...figures) / 1e6).toFixed(0)} M/s`;
    return [{ ...one, what: `${one.what}, ${best(rates)}`, peerName: limit(copied) }, { ...two, what: `${two.what}, ${best(ratesOfAll)}`, peerName: limit(copiedByAll) }];
  },
};
