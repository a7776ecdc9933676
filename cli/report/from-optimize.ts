import type { Model, OptimizeResult } from "@populace/studies";
import { personaNames, stimulusNames } from "../names.ts";
import { percent } from "../output.ts";
import { regretCurve } from "./figures.ts";
import { warningsOf } from "./from-run.ts";
import { tablePage } from "./page.ts";
import type { ReportRegret } from "./report.ts";

/** The unit of value in reports: the schema's currency, in major units. */
const unitOf = (model: Model): { readonly unit: string; readonly minor: number } => ({ unit: model.schema.value?.currency ?? "value", minor: model.schema.value?.minorUnits ?? 100 });

/** Regret of the replicates with their bands. */
function replicateRegret(model: Model, result: OptimizeResult): readonly ReportRegret[] {
  const { unit, minor } = unitOf(model);
  return result.curves.map(({ policy, points }): ReportRegret => ({
    policy, unit, points: [{ pulls: 0, regret: 0, low: 0, high: 0 }, ...points.map(({ exposures, mean, low, high }) => ({ pulls: exposures, regret: mean / minor, low: low / minor, high: high / minor }))],
  }));
}

/** The page of a search for the best stimulus: regret over its replicates, and what it found for each persona. */
export async function optimizePage(model: Model, result: OptimizeResult, seed: number): Promise<string> {
  const personas = personaNames(model), stimuli = stimulusNames(model), { unit, minor } = unitOf(model);
  return tablePage(
    {
      title: `The best stimulus by ${result.method}`, subtitle: `${model.name}, version ${model.version}: value of ${result.step}`, warnings: warningsOf(model),
      provenance: [["model", `${model.name}, version ${model.version}, ${model.evidence}`], ["seed", String(seed)], ["runs", result.runs.map(({ rootHash }) => rootHash.slice(0, 16)).join(" ")]],
    },
    result.curves.length === 0 ? [] : [await regretCurve(replicateRegret(model, result))],
    {
      title: `Best stimulus of ${result.best.length} personas`, columns: ["persona", "stimulus", "chance best", `value per exposure (${unit})`, `expected loss (${unit})`, "simulated exposures"],
      rows: result.best.map((row) => [personas.get(row.persona) ?? row.persona, stimuli.get(row.stimulus) ?? row.stimulus, percent(row.probabilityBest), (row.valueMinor / minor).toFixed(3), (row.expectedLoss / minor).toFixed(4), String(row.exposures)]),
    },
    "Chosen on one half of the worlds, reported on the other. The chance of being best is a share of worlds: more agents do not raise it. Every round by itself gives the same root hash on any machine.",
  );
}
