import { cellRates } from "@populace/studies";
import type { Model } from "@populace/studies";
import { count } from "../output.ts";
import { warningsOf } from "./from-run.ts";
import { landedCalibration, learnedOf } from "./learned.ts";
import { surfaceOf } from "./from-surface.ts";
import { modelParts } from "./model-parts.ts";
import type { ReportData, ReportRate } from "./report.ts";

/** Current rates of a model, persona by persona, by name: what the gateway would answer with. */
function currentRates(model: Model): readonly ReportRate[] {
  const { stimuli, steps } = model.response;
  return cellRates(model).map((rate, at) => ({
    persona: model.mixture.personas[Math.floor(at / (stimuli.length * steps.length))].name,
    stimulus: stimuli[Math.floor(at / steps.length) % stimuli.length].name,
    step: steps[at % steps.length].name, mean: rate.mean, low: rate.low, high: rate.high, label: rate.label,
  }));
}

/** The report of a model by itself: who the personas are, what they answer, and what that rests on. */
export async function modelReport(model: Model, path: string): Promise<ReportData> {
  return {
    title: `Model: ${model.name}`,
    subtitle: `Version ${model.version}, ${model.mixture.personas.length} personas, ${model.response.stimuli.length} stimuli, ${model.response.steps.map((step) => step.name).join(" → ")}`,
    warnings: warningsOf(model),
    tiles: [
      { label: "rows of the fit", value: count(model.fit.rows), note: `${count(model.fit.rejected)} rejected, ${count(model.fit.noConsent)} without consent` },
      { label: "personas", value: String(model.mixture.personas.length), note: "number chosen by BIC and stability" },
      { label: "evidence", value: model.evidence, note: "how the stimuli were assigned" },
      { label: "exchange rate", value: model.exchangeRate.a0.toFixed(2), note: `90 % interval ${model.exchangeRate.low.toFixed(2)} to ${model.exchangeRate.high.toFixed(2)}, ${model.exchangeRate.learned ? `from ${count(model.exchangeRate.cells)} cells` : "before any randomized outcome"}` },
    ],
    ...modelParts(model),
    steps: model.response.steps.map((step) => step.name),
    rates: currentRates(model),
    calibration: landedCalibration(model), learned: learnedOf(model), posteriors: [], regret: [], surface: await surfaceOf(model), shock: null,
    provenance: [["model file", path], ["version", String(model.version)], ["seed", String(model.fit.seed)], ["worlds", String(model.response.worlds)],
      ["personas tried", model.fit.candidates.map((candidate) => `${candidate.personas}: BIC ${candidate.bic.toFixed(0)}, stability ${candidate.stability.toFixed(2)}`).join("; ")]],
    roots: [],
  };
}
