// A process with nothing in it but a crew of bare kernels, so that its memory is theirs. Told a plan, then "live" as often as one likes.
import { on, once } from "node:events";
import { startCrew } from "./expose-crew.ts";
import { countsHash, exposuresOf } from "./expose-work.ts";
import type { Plan } from "@populace/protocol";

export interface BareStart {
  readonly plan: Plan;
  readonly threads: number;
}

export interface BareLife {
  readonly seconds: number;
  readonly exposures: number;
  /** Share of exposures with a response: the rarer, the faster. */
  readonly responseRate: number;
  readonly hash: string;
  readonly peakBytes: number;
}

const [{ plan, threads }] = (await once(process, "message")) as [BareStart];
const crew = await startCrew(plan, "wasm", threads, "live");
process.send!("ready");
for await (const _ of on(process, "message")) {
  const { seconds, counts } = await crew.life();
  const exposures = exposuresOf(plan, counts), responses = counts.reduce((sum, count, at) => sum + (at % (plan.steps.length + 3) === 1 ? count : 0), 0);
  const life: BareLife = { seconds, exposures, responseRate: responses / exposures, hash: countsHash(counts), peakBytes: process.resourceUsage().maxRSS * 1024 };
  process.send!(life);
}
