import type { ExposeKernel } from "@populace/kernels";
import { blocksOf, columnCount } from "@populace/protocol";
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

/**
 * Shows a stimulus once to agents without history and counts, at once and on the calling thread: the rates that a run of one tick has, to the bit,
 * but nothing is committed and nobody can resume it. BAD_STUDY for a stimulus or persona that is unknown, and for a malformed one.
 */
export async function whatIf(model: Model, kernel: ExposeKernel, question: WhatIfQuestion): Promise<WhatIfAnswer> {
  const { stimulus, agents = WHAT_IF_AGENTS.usual, personas = [], seed = 1 } = question;
  const study = readStudy({
    name: "what-if", agents, ticks: 1, everyTicks: 1, personas, seed, population: { form: "coded" },
    ...(typeof stimulus === "string" ? { stimuli: [stimulus] } : { newStimuli: [stimulus], stimuli: [stimulus.id] }),
  }, model);
  const { plan } = compileStudy(model, study);
  const columns = columnCount(plan.steps.length), width = plan.worlds * columns;
  const counts = new Float64Array(plan.personas.length * width), blocks = blocksOf(plan);
  const session = await kernel.open(plan, "procedural");
  let exposures = 0;
  await session.live(blocks, (index, _tick, output) => {
    const from = blocks[index].persona * width;
    for (let entry = 0; entry < width; entry += 1) {
      counts[from + entry] += output.counts[entry];
      if (entry % columns === 0) exposures += output.counts[entry];
    }
  });
  session.close();
  return { stimulus: plan.stimuli[0].id, agents: study.agents, exposures, rates: summarizeRun(model, study, plan, { counts }) };
}
