import type { Model, StimulusDesignResult } from "@populace/studies";
import { personaNames } from "../names.ts";
import { percent } from "../output.ts";
import { FAINT, HUES, chart } from "./chart.ts";
import type { Figure } from "./figures.ts";
import { warningsOf } from "./from-run.ts";
import { tablePage } from "./page.ts";

/** Pareto front of value against leaving: what was looked at in grey, what was found with its intervals on the worlds that chose nothing. */
async function frontFigure(result: StimulusDesignResult, unit: string, minor: number): Promise<Figure> {
  const looked = result.looked.filter(({ violation }) => violation === 0).map(({ value, leaving }) => ({ value: value / minor, leaving }));
  const rows = result.rows.map((row) => ({
    what: row.kind === "known" ? "known stimulus" : row.kind === "front" ? "front" : "best for a persona", name: `${row.id}, every ${row.everyTicks}`,
    value: row.value.mean / minor, low: row.value.low / minor, high: row.value.high / minor, leaving: row.leaving.mean,
  }));
  const x = { field: "leaving", type: "quantitative", axis: { title: "leavings per agent", format: ".2~%", tickCount: 6 } } as const;
  const y = (field: "value" | "low") => ({ field, type: "quantitative", axis: { title: `value per agent beyond never contacting (${unit})`, tickCount: 6 } }) as const;
  const kinds = ["front", "best for a persona", "known stimulus"];
  const color = { field: "what", type: "nominal", scale: { domain: kinds, range: [HUES[0], HUES[2], HUES[1]] }, legend: { title: null, orient: "top", symbolOpacity: 1 } } as const;
  const [top] = result.rows, gentle = result.rows.filter((row) => row.kind === "front").at(-1)!;
  return {
    title: "Value against leaving", wide: true,
    see: `The most valuable design, “${top.id}” every ${top.everyTicks} ticks, brings ${(top.value.mean / minor).toFixed(2)} ${unit} an agent and ${percent(top.leaving.mean)} leave; the gentlest on the front brings ${(gentle.value.mean / minor).toFixed(2)} and ${percent(gentle.leaving.mean)} leave. Grey: all ${looked.length} designs within the limits, on the worlds that chose. Bars: 90 % of the other worlds.`,
    svg: await chart("front", "Value of designs against leaving", {
      width: 900, height: 380,
      layer: [
        { data: { values: looked }, mark: { type: "point", filled: true, size: 22, opacity: 0.35, color: FAINT }, encoding: { x, y: y("value") } },
        { data: { values: rows }, mark: { type: "rule", strokeWidth: 2, opacity: 0.55 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } },
        { data: { values: rows.filter(({ what }) => what === "front") }, mark: { type: "line", strokeWidth: 1.6 }, encoding: { x, y: y("value"), color } },
        { data: { values: rows }, mark: { type: "point", filled: true, size: 80, opacity: 1 }, encoding: { x, y: y("value"), color, shape: { field: "what", type: "nominal", scale: { domain: kinds }, legend: { title: null, orient: "top", symbolOpacity: 1 } } } },
      ],
    } as never),
  };
}

/** The page of a search for new stimuli. */
export async function designPage(model: Model, result: StimulusDesignResult, seed: number): Promise<string> {
  const unit = model.schema.value?.currency ?? "value", minor = model.schema.value?.minorUnits ?? 100, personas = personaNames(model);
  const money = (value: number): string => (value / minor).toFixed(3);
  return tablePage(
    {
      title: "New stimuli: value against leaving", subtitle: `${model.name}, version ${model.version}: value of ${result.step}`, warnings: warningsOf(model),
      provenance: [["model", `${model.name}, version ${model.version}, ${model.evidence}`], ["seed", String(seed)], ["designs", `${result.looked.length} of ${result.designs} looked at`],
        ["best for each persona", result.personas.map((row) => `${personas.get(row.persona) ?? row.persona}: ${row.id} every ${row.everyTicks}`).join("; ")]],
    },
    [await frontFigure(result, unit, minor)],
    {
      title: `All ${result.rows.length} designs and known stimuli that were judged`, columns: ["", "stimulus", "every", `value per agent (${unit})`, "90 % interval", "leaving", `cost (${unit})`, "chance best", "holds"],
      rows: result.rows.map((row) => [row.kind, row.id, String(row.everyTicks), money(row.value.mean), `${money(row.value.low)} to ${money(row.value.high)}`, percent(row.leaving.mean), money(row.costMinor), percent(row.probabilityBest), row.holds ? "yes" : "no"]),
    },
    "Chosen on one half of the worlds, judged on the other, on the mean field and without influence between personas. What features do not explain of a stimulus nobody was shown is drawn from its prior and is in the intervals. “Holds”: on the front of the other half, too.",
  );
}
