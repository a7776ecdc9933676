import { openPeople } from "@populace/kernels";
import type { ExposeKernel, ExposeSession, People } from "@populace/kernels";
import { blocksOf, columnCount } from "@populace/protocol";
import type { Plan } from "@populace/protocol";
import { summarizeRun } from "./intervals.ts";
import type { RateRow } from "./intervals.ts";
import type { Model } from "./model.ts";
import { compileStudy } from "./plan.ts";
import { readStudy } from "./study.ts";

/** Agents of a what-if question that names no number, and the most it may name. */
export const WHAT_IF_AGENTS = { usual: 1_000_000, most: 20_000_000 } as const;

/** What would one contact bring? */
export interface WhatIfQuestion {
  /** Id or name of a stimulus of the model, or a new one in the form of a study's `newStimuli`. */
  readonly stimulus: string | { readonly id: string };
  readonly agents?: number;
  /** Personas by id or name; absent = all. */
  readonly personas?: readonly string[];
  readonly seed?: number;
}

export interface WhatIfAnswer {
  readonly stimulus: string;
  readonly agents: number;
  readonly exposures: number;
  /** By persona and step; persona "*" is everybody. */
  readonly rates: readonly RateRow[];
}

/** Agents whose codes a desk of questions keeps at most, some 20 bytes each. */
const KEPT_AGENTS_MAX = 4_000_000;

/**
 * Answers questions about a model one after the other (the next only when the last is answered). A stimulus is shown once to agents without history, who are counted at once and
 * on the calling thread: the rates that a run of one tick has, to the bit, but nothing is committed and nobody can resume it. The agents of the last question are kept
 * where the backend can: the next one about as many, under the same seed, draws none. BAD_STUDY for a stimulus or persona that is unknown, and for a malformed one.
 */
export function openWhatIf(model: Model, kernel: ExposeKernel): (question: WhatIfQuestion) => Promise<WhatIfAnswer> {
  let kept: { readonly session: ExposeSession; readonly people: People } | null = null;

  async function openPlan(plan: Plan, agents: number): Promise<{ readonly session: ExposeSession; readonly people: People }> {
    if (kept !== null && kept.session.replan?.(plan) === true && kept.people.replan(plan)) {
      kept.session.keepCodes?.(blocksOf(plan));
      return kept;
    }
    kept?.session.close();
    kept = null;
    const fresh = { session: await kernel.open(plan, "procedural"), people: openPeople(plan) };
    if (agents <= KEPT_AGENTS_MAX) kept = fresh;
    return fresh;
  }

  return async ({ stimulus, agents = WHAT_IF_AGENTS.usual, personas = [], seed = 1 }) => {
    const study = readStudy({
      name: "what-if", agents, ticks: 1, everyTicks: 1, personas, seed, population: { form: "coded" },
      ...(typeof stimulus === "string" ? { stimuli: [stimulus] } : { newStimuli: [stimulus], stimuli: [stimulus.id] }),
    }, model);
    const { plan } = compileStudy(model, study);
    const columns = columnCount(plan.steps.length), width = plan.worlds * columns;
    const counts = new Float64Array(plan.personas.length * width), blocks = blocksOf(plan);
    const { session, people } = await openPlan(plan, study.agents);
    let exposures = 0;
    await session.live(blocks, (index, _tick, output) => {
      const from = blocks[index].persona * width;
      for (let entry = 0; entry < width; entry += 1) {
        counts[from + entry] += output.counts[entry];
        if (entry % columns === 0) exposures += output.counts[entry];
      }
    });
    if (kept === null) session.close();
    return { stimulus: plan.stimuli[0].id, agents: study.agents, exposures, rates: summarizeRun(model, study, plan, { counts }, people) };
  };
}
