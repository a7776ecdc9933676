import { openBackend } from "@populace/kernels/backends";
import { samplePlan } from "@populace/kernels/sample-plan";

/** Rounds until the last two agree, at most: the first ones run code that is still being optimized. */
const ROUNDS_MAX = 12;
const AGREEMENT = 0.1;
/** Longest calibration: the reference kernel needs a few rounds more than it is worth waiting for. */
const MS_MAX = 80;
const AGENTS = 65_536;

/**
 * Exposures a second of a backend in this thread, on a plan like those of studies: factors, three scenarios, worlds, leaving. Less than a tenth of a second; it also warms
 * the kernel's code up, which all threads of the process share.
 */
export async function measureExposures(name: string): Promise<number> {
  const { kernels } = await openBackend(name, "expose");
  const plan = samplePlan(1, { agents: [AGENTS], ticks: 2, worlds: 64, worldShift: 8, scenarios: 3, stimuli: 3, factors: 4, thinned: true });
  const session = await kernels.expose.open(plan, "procedural");
  const columns = plan.steps.length + 3, started = performance.now();
  let before = 0, best = 0;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    // The first round shows how slow it is with an eighth of the agents.
    const agents = round === 0 ? AGENTS / 8 : AGENTS;
    let exposures = 0;
    const roundStarted = performance.now();
    await session.live([{ persona: 0, firstAgent: 0, agents }], (_, __, { counts }) => {
      for (let i = 0; i < counts.length; i += columns) exposures += counts[i];
    });
    const now = performance.now();
    const rate = (exposures / (now - roundStarted)) * 1000;
    // What else runs on the machine only slows a round down.
    best = Math.max(best, rate);
    if (now - started > MS_MAX / 2 && Math.abs(rate / before - 1) < AGREEMENT) break;
    if (now - started + (AGENTS / agents) * (now - roundStarted) > MS_MAX) break;
    before = rate;
  }
  session.close();
  return best;
}
