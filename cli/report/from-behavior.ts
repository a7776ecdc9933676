import { thousands } from "@populace/domain";
import type { BehaviorPlan } from "@populace/protocol";
import type { RunOutcome } from "@populace/studies";
import { chart } from "./chart.ts";
import type { Figure } from "./figures.ts";
import { runPage } from "./page.ts";

/** One counter of one persona over the ticks of a run. */
export interface CounterSeries {
  readonly persona: string;
  readonly counter: string;
  readonly total: number;
  readonly byTick: readonly number[];
}

/** Points of a line, at most: more cannot be told apart on the page. */
const POINTS_MAX = 400;
/** Counters drawn, at most; the document holds all. */
const FIGURES_MAX = 12;

/** The counters of a behavior's run, persona by persona, as they were committed; the last one counts messages, where there are any. */
export function counterSeries(plan: BehaviorPlan, outcome: Pick<RunOutcome, "tickCounts">): readonly CounterSeries[] {
  const counters = [...plan.steps, ...(plan.behavior.hasMessages ? ["messages sent"] : [])], columns = plan.steps.length + 3, width = plan.personas.length * columns;
  return counters.flatMap((counter, index) => plan.personas.map(({ id }, persona) => {
    const column = index < plan.steps.length ? 1 + index : columns - 1;
    const byTick = Array.from({ length: plan.ticks }, (_, tick) => outcome.tickCounts[tick * width + persona * columns + column]);
    return { persona: id, counter, byTick, total: byTick.reduce((sum, count) => sum + count, 0) };
  }));
}

/** The report of a behavior's run: each counter over the ticks, by persona. */
export async function behaviorReport(plan: BehaviorPlan, outcome: Pick<RunOutcome, "runId" | "rootHash" | "roots" | "exposures">, series: readonly CounterSeries[]): Promise<string> {
  const agents = plan.personas.reduce((sum, persona) => sum + persona.agents, 0);
  const byCounter = Map.groupBy(series, ({ counter }) => counter);
  const figures: Figure[] = [];
  for (const [counter, lines] of [...byCounter].slice(0, FIGURES_MAX)) figures.push(await counterFigure(figures.length, counter, lines));
  return runPage({
    title: `Behavior ${plan.behavior.name}`, subtitle: `${thousands(agents)} agents of ${plan.personas.length} ${plan.personas.length === 1 ? "persona" : "personas"}, ${plan.ticks} ticks`,
    warnings: byCounter.size > FIGURES_MAX ? [`The first ${FIGURES_MAX} of ${byCounter.size} counters are drawn; counters.csv holds all.`] : [],
    tiles: [...byCounter].slice(0, FIGURES_MAX).map(([counter, lines]) => ({ label: counter, value: thousands(lines.reduce((sum, line) => sum + line.total, 0)), note: "in all ticks and personas" })),
    provenance: [
      ["run", outcome.runId], ["root hash", outcome.rootHash], ["seed", plan.seed.join(", ")],
      ["parameters", plan.behavior.parameters.map(({ name, value }) => `${name} = ${value}`).join(", ") || "none"],
    ],
    roots: outcome.roots,
  }, figures);
}

async function counterFigure(key: number, counter: string, lines: readonly CounterSeries[]): Promise<Figure> {
  const every = Math.ceil(lines[0].byTick.length / POINTS_MAX);
  const values = lines.flatMap(({ persona, byTick }) => byTick.flatMap((count, tick) => (tick % every === 0 ? [{ persona, tick, count }] : [])));
  const sums = lines[0].byTick.map((_, tick) => lines.reduce((sum, { byTick }) => sum + byTick[tick], 0)), top = sums.reduce((best, sum, tick) => (sum > sums[best] ? tick : best), 0);
  return {
    title: counter,
    see: `${thousands(sums.reduce((a, b) => a + b, 0))} in all; most at tick ${top} (${thousands(sums[top])}), ${thousands(sums.at(-1)!)} at the last.`,
    svg: await chart(`counter-${key}`, `${counter} by tick and persona`, {
      width: 470, height: 240, data: { values }, mark: { type: "line", strokeWidth: 2.2, point: lines[0].byTick.length === 1 },
      encoding: {
        x: { field: "tick", type: "quantitative", axis: { title: "tick", tickMinStep: 1, format: "d" } },
        y: { field: "count", type: "quantitative", axis: { title: null, tickCount: 5, format: "~s" } },
        color: { field: "persona", type: "nominal", sort: lines.map(({ persona }) => persona), legend: lines.length === 1 ? null : { title: null, orient: "top" } },
      },
    } as never),
  };
}
