import { PopulaceError } from "@populace/domain/error";
import type { ExposePlan } from "../expose/plan.ts";
import { HISTOGRAM_AGENTS_MAX, type HistogramOf } from "./port.ts";

/** Most agents of a panel: the sum of their u32 thresholds stays an exact f64. */
const PANEL_AGENTS_MAX = 2 ** 20;

/** Throws BAD_REQUEST unless a panel has 1 to 2^20 agents. */
export function checkPanel(agents: number): void {
  if (!(Number.isInteger(agents) && agents >= 1 && agents <= PANEL_AGENTS_MAX)) {
    throw new PopulaceError("BAD_REQUEST", `kernel mean-field: a panel of ${agents} agents; expected an integer from 1 to ${PANEL_AGENTS_MAX}`, { agents });
  }
}

/** Throws BAD_REQUEST unless the histogram is of something the plan holds. */
export function checkHistogram(plan: ExposePlan, of: HistogramOf): void {
  const within = (name: keyof HistogramOf, low: number, high: number): void => {
    const value = of[name];
    if (!(Number.isInteger(value) && value >= low && value <= high)) {
      throw new PopulaceError("BAD_REQUEST", `kernel mean-field: the histogram's ${name} is ${value}; expected an integer from ${low} to ${high}`, { [name]: value });
    }
  };
  within("persona", 0, plan.personas.length - 1);
  within("world", 0, plan.worlds - 1);
  within("stimulus", 0, plan.stimuli.length - 1);
  within("step", 0, plan.steps.length - 1);
  within("agents", 1, HISTOGRAM_AGENTS_MAX);
  // Agents share hash words by number alone, so any start will do; the vector code takes them 16 at a time.
  within("firstAgent", 0, 2 ** 32 - 1 - HISTOGRAM_AGENTS_MAX);
}
