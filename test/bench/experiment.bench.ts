import { createHash } from "node:crypto";
import { RandomStream, betaCdf, betaTail, differenceSequence, normalQuantile, sequentialPower } from "@populace/domain";
import type { ArmSummary } from "@populace/domain";
import type { Bench, BenchRow } from "./bench.ts";

/** Experiments that are looked at every day: how often no difference is called one, and how often a true one is seen. */
export const bench: Bench = {
  name: "experiment",
  run({ tiny }) {
    const tests = tiny ? 20 : 4000, looks = 30, perLook = 500, planned = looks * perLook;
    const rules: Readonly<Record<string, (a: Counts, b: Counts) => boolean>> = {
      sequence: (a, b) => { const { low, high } = differenceSequence(summary(a), summary(b), { planned }); return low > 0 || high < 0; },
      z: (a, b) => repeatedZ(a, b),
      // Either arm: a dashboard that says P > .95 does not mind which.
      posterior: (a, b) => { const p = probabilityBetter(a, b); return p > 0.95 || p < 0.05; },
    };
    const shown = (rates: readonly [number, number], seed: string, names: readonly string[]): Readonly<Record<string, number>> => {
      const hits = Object.fromEntries(names.map((name) => [name, 0]));
      for (let test = 0; test < tests; test++) {
        const random = RandomStream.of(test, seed);
        const [a, b]: [Counts, Counts] = [{ n: 0, y: 0 }, { n: 0, y: 0 }];
        const open = new Set(names);
        for (let look = 0; look < looks && open.size > 0; look++) {
          for (const [arm, rate] of [[a, rates[0]], [b, rates[1]]] as const) {
            for (let i = 0; i < perLook; i++) if (random.uniform() < rate) arm.y++;
            arm.n += perLook;
          }
          for (const name of open) if (rules[name]!(a, b)) { hits[name]!++; open.delete(name); }
        }
      }
      return Object.fromEntries(names.map((name) => [name, hits[name]! / tests]));
    };
    const none = shown([0.05, 0.05], "A/A", ["sequence", "z", "posterior"]), some = shown([0.05, 0.06], "A/B", ["sequence"]);
    const se = (p: number): string => Math.sqrt((p * (1 - p)) / tests).toFixed(4);
    const hash = createHash("sha256").update(JSON.stringify([none, some])).digest("hex").slice(0, 12);
    const row = (what: string, ours: number, peer: number, peerName: string, floor: string, better: "smaller" | "larger"): BenchRow => ({ what, ours: 100 * ours, peer: 100 * peer, peerName, ratio: better === "smaller" ? peer / Math.max(ours, 0.5 / tests) : ours / peer, unit: "% of tests", floor, target: null, hash });
    const exact = sequentialPower({ kind: "rates", control: 0.05, treatment: 0.06 }, planned, looks);
    return Promise.resolve([
      row(`${tests} A/A tests x ${looks} looks, 5 %, ${perLook} an arm and look: false differences (se ${se(none["sequence"]!)})`, none["sequence"]!, none["z"]!, `z test at every look (se ${se(none["z"]!)}); TARGETS 29 %`, "at most 5 %", "smaller"),
      row(`the same beside a posterior's P > .95`, none["sequence"]!, none["posterior"]!, `P > .95 for either arm (se ${se(none["posterior"]!)}); TARGETS 46 %`, "at most 5 %", "smaller"),
      row(`power of the sequence, 5 to 6 %, ${perLook} an arm and look, ${looks} looks, alpha .05 two-sided (se ${se(some["sequence"]!)})`, some["sequence"]!, exact, "numerical integration", "at least 80 %", "larger"),
    ]);
  },
};

interface Counts { n: number; y: number }

const summary = ({ n, y }: Counts): ArmSummary => ({ kind: "counts", exposures: n, responses: y });

const Z = normalQuantile(0.975);
function repeatedZ(a: Counts, b: Counts): boolean {
  const pooled = (a.y + b.y) / (a.n + b.n);
  return Math.abs(b.y / b.n - a.y / a.n) > Z * Math.sqrt(pooled * (1 - pooled) * (1 / a.n + 1 / b.n));
}

/** P(rate of b > rate of a) under Beta(1, 1) priors: the middles of narrow strips around a's posterior. */
function probabilityBetter(a: Counts, b: Counts): number {
  const [alpha, beta] = [a.y + 1, a.n - a.y + 1], mean = alpha / (alpha + beta), sd = Math.sqrt((mean * (1 - mean)) / (alpha + beta + 1));
  const edges = Array.from({ length: 41 }, (_, i) => Math.min(1, Math.max(0, mean + ((i - 20) / 4) * sd))), below = edges.map((x) => betaCdf(x, alpha, beta));
  let sum = 0;
  for (let i = 1; i < edges.length; i++) sum += (below[i]! - below[i - 1]!) * betaTail((edges[i]! + edges[i - 1]!) / 2, b.y + 1, b.n - b.y + 1);
  return sum;
}
