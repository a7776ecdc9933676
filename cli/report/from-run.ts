import type { Model, RateRow, Study, TickRow } from "@populace/studies";
import type { Manifest } from "@populace/studies/results";
import { personaNames, stimulusNames } from "../names.ts";
import { count, duration } from "../output.ts";
import type { ModelParts, ReportData, ReportRate, ReportShock } from "./report.ts";
import { OBSERVATIONAL, PRIOR_ONLY, importedWarning, uncheckedText } from "./wording.ts";

/** Sentences a reader of anything made from this model must not miss. */
export function warningsOf(model: Model): readonly string[] {
  const { demoted } = model.exchangeRate;
  const names = personaNames(model);
  return [
    ...(model.evidence === "observational" ? [OBSERVATIONAL] : model.evidence === "prior only" ? [PRIOR_ONLY] : []),
    ...(model.imported === undefined ? [] : [importedWarning(model.imported)]),
    ...(demoted.length === 0 ? [] : [`${demoted.map((persona) => names.get(persona) ?? persona).join("; ")}: outcomes keep missing the simulated intervals of ${demoted.length === 1 ? "this persona" : "these personas"}, so what is simulated of ${demoted.length === 1 ? "it" : "them"} counts for nothing beside real outcomes.`]),
  ];
}

/** Rates of a run by the names of persona and stimulus; a stimulus of several scenarios carries the scenario's name. */
export function reportRates(model: Model, rows: readonly RateRow[], newStimuli: readonly { readonly id: string; readonly name: string }[] = [], histories: Study["histories"] = []): readonly ReportRate[] {
  const personas = personaNames(model, histories);
  const stimuli = new Map([...stimulusNames(model), ...newStimuli.map((stimulus) => [stimulus.id, stimulus.name] as const)]);
  const scenariosOf = new Map<string, Set<string>>();
  for (const row of rows) scenariosOf.set(row.stimulus, (scenariosOf.get(row.stimulus) ?? new Set()).add(row.scenario));
  return rows.filter((row) => row.persona !== "*").map((row) => ({
    persona: personas.get(row.persona) ?? row.persona,
    stimulus: `${(scenariosOf.get(row.stimulus)?.size ?? 1) > 1 ? `${row.scenario}: ` : ""}${stimuli.get(row.stimulus) ?? row.stimulus}`,
    step: row.step, mean: row.mean, low: row.low, high: row.high, label: row.label,
  }));
}

/** One rate tick by tick over all personas, from the ticks of a run with a shock and of the same run without. */
export function shockOf(
  what: { readonly what: string; readonly startTick: number; readonly halfLifeTicks: number; readonly stimulusName: string },
  stimulus: string, step: string, withShock: readonly TickRow[], without: readonly TickRow[],
): ReportShock {
  const series = (rows: readonly TickRow[], course: "with the shock" | "without it"): ReportShock["series"] => {
    const sums = new Map<number, { exposures: number; responses: number }>();
    for (const row of rows) {
      if (row.stimulus !== stimulus || row.step !== step) continue;
      const sum = sums.get(row.tick) ?? { exposures: 0, responses: 0 };
      sums.set(row.tick, { exposures: sum.exposures + row.exposures, responses: sum.responses + row.responses });
    }
    return [...sums].map(([tick, { exposures, responses }]) => ({ tick, course, rate: responses / exposures }));
  };
  return { what: what.what, stimulus: what.stimulusName, step, startTick: what.startTick, halfLifeTicks: what.halfLifeTicks, series: [...series(withShock, "with the shock"), ...series(without, "without it")] };
}

/** Name-value rows that say where a run came from. */
export const provenanceOf = (manifest: Manifest): ReportData["provenance"] => [
  ["run", manifest.runId], ["root hash", manifest.rootHash], ["plan", manifest.planHash], ["code", manifest.codeHash],
  ["seed", String(manifest.seed)], ["kernel", `${manifest.runSpec.kernelSpec}, arithmetic profile ${manifest.runSpec.arithmeticProfile}`],
  ["model", `${manifest.model.name}, version ${manifest.model.version}, ${manifest.model.evidence}, ${manifest.model.worlds} worlds`],
  ["study", `${manifest.study.name}: ${count(manifest.runSpec.agents)} agents, ${manifest.runSpec.ticks} ticks`],
  ["executed by", `${manifest.execution.backend}${manifest.execution.backendReason === "" ? "" : ` (${manifest.execution.backendReason})`}, ${manifest.execution.workers} workers, ${manifest.execution.shards} shards, ${manifest.execution.population} population (none of it changes a result)`],
  ["versions", `populace ${manifest.versions.populace}, Node ${manifest.versions.node}`],
];

/** The report of one run. */
export function runReport(model: Model, parts: ModelParts, manifest: Manifest, rows: readonly RateRow[]): ReportData {
  const { execution } = manifest;
  return {
    title: `Rehearsal: ${manifest.study.name}`,
    subtitle: `${model.name}, version ${model.version}: ${count(manifest.runSpec.agents)} simulated agents of ${model.mixture.personas.length} personas over ${manifest.runSpec.ticks} ${manifest.runSpec.ticks === 1 ? "tick" : "ticks"}`,
    warnings: [...warningsOf(model), ...(execution.uncheckedFrom === null ? [] : [`Unchecked ${uncheckedText(execution.uncheckedFrom)}.`])],
    tiles: [
      { label: "simulated exposures", value: count(execution.exposures), note: execution.cached ? "read back from the store" : `in ${duration(execution.seconds)}` },
      { label: "personas", value: String(model.mixture.personas.length), note: `from ${count(model.fit.rows)} rows` },
      { label: "worlds", value: String(manifest.study.worlds), note: "posterior draws behind each interval" },
      { label: "root hash", value: manifest.rootHash.slice(0, 12), note: "the same on any machine" },
    ],
    ...parts,
    steps: [...new Set(rows.map((row) => row.step))],
    rates: reportRates(model, rows, manifest.study.newStimuli, manifest.study.histories),
    calibration: null, learned: null, posteriors: [], regret: [], surface: null, shock: null,
    provenance: provenanceOf(manifest), roots: manifest.roots,
  };
}
