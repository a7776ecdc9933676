import { chooseBackend } from "@populace/kernels";
import { responseSurface, surfaceRequest } from "@populace/studies";
import type { Model, ResponseSurface, SurfaceAxis, SurfaceNames } from "@populace/studies";
import type { ReportAxis, ReportSurface } from "./report.ts";
import { bestStimulus, priceSpread, strongestTraits } from "./tornado.ts";

/** The report's surface: enough to see its shape; computed and drawn in a quarter of a second. */
const SIZES = { columns: 17, rows: 9, members: 64 } as const;

/** A price that moves the rate less would be a map of stripes. */
const PRICE_SPREAD_MIN = 0.1;

/** What a user may leave out of a surface's names. */
export interface PartialNames {
  readonly persona?: string;
  readonly stimulus?: string;
  readonly step?: string;
  readonly trait?: string;
  readonly trait2?: string;
  readonly feature?: string;
}

/**
 * The names filled in: the contacting stimulus with the highest rate of the step, the trait that moves it most, and the price cut
 * where it moves the rate by a tenth, else the trait that moves it second most; traits with a scale before those with levels, which
 * would make a map of stripes. Null where the model has no second quantity.
 */
export function surfaceNames(model: Model, given: PartialNames): SurfaceNames | null {
  const { stimuli, steps } = model.response;
  // What is not known is refused where all names are read.
  const stepAt = given.step === undefined ? steps.length - 1 : Math.max(0, steps.findIndex(({ name }) => name === given.step));
  const stimulusAt = given.stimulus === undefined ? bestStimulus(model, stepAt) : Math.max(0, stimuli.findIndex(({ id, name }) => id === given.stimulus || name === given.stimulus));
  const traits = strongestTraits(model, stimulusAt, stepAt).filter((name) => name !== given.trait && name !== given.trait2);
  const trait = given.trait ?? traits.shift();
  const named = { ...given, stimulus: given.stimulus ?? stimuli[stimulusAt].id };
  if (trait === undefined) return null;
  if (given.trait2 !== undefined || given.feature !== undefined) return { ...named, trait };
  if (priceSpread(model, stimulusAt, stepAt) >= (traits.length > 0 ? PRICE_SPREAD_MIN : 1e-9)) return { ...named, trait, feature: "price" };
  const [trait2] = traits;
  return trait2 === undefined ? null : { ...named, trait, trait2 };
}

/** The surface of a model's report: over the whole population, of the last step; null where there is nothing to draw. */
export async function surfaceOf(model: Model): Promise<ReportSurface | null> {
  const names = model.mixture.personas.length === 0 ? null : surfaceNames(model, {});
  if (names === null) return null;
  const { backend } = await chooseBackend("auto", "responseSurface");
  return reportSurface(model, await responseSurface(model, surfaceRequest(model, names), backend.kernels.responseSurface, SIZES));
}

/** A surface by the names that people read. */
export function reportSurface(model: Model, surface: ResponseSurface): ReportSurface {
  return {
    persona: surface.persona === null ? "the whole population" : model.mixture.personas.find(({ id }) => id === surface.persona)!.name,
    stimulus: model.response.stimuli.find(({ id }) => id === surface.stimulus)!.name, step: surface.step,
    columns: reportAxis(model, surface.columns), rows: reportAxis(model, surface.rows),
    mean: [...surface.mean], low: [...surface.low], high: [...surface.high], label: surface.label,
  };
}

function reportAxis(model: Model, axis: SurfaceAxis): ReportAxis {
  const minor = axis.name === "value" && axis.kind === "feature" ? (model.schema.value?.minorUnits ?? 100) : 1;
  const isShare = axis.name === "priceCut" && axis.kind === "feature";
  const name = isShare ? "price cut" : axis.kind === "feature" ? axis.name.replace(/^feature:/, "").replace(/\/\d+$/, "").replace(":", ": ") : axis.name;
  const unit = isShare ? "" : minor > 1 ? (model.schema.value?.currency ?? "") : axis.unit;
  const now = axis.now === null ? null : axis.values.reduce((best, value, at) => (Math.abs(value - axis.now!) < Math.abs(axis.values[best] - axis.now!) ? at : best), 0);
  return { title: unit === "" ? name : `${name} (${unit})`, labels: axis.levels.length > 0 ? [...axis.levels] : numberLabels(axis.values.map((value) => value / minor), isShare), isNumeric: axis.levels.length === 0, now };
}

/** Made once: a locale costs half a millisecond. */
const LABEL = new Intl.NumberFormat("en-US", { maximumFractionDigits: 12 });

/** Numbers as short as they stay different. */
function numberLabels(values: readonly number[], isShare: boolean): readonly string[] {
  for (let digits = isShare ? 3 : 2; ; digits += 1) {
    const labels = values.map((value) => {
      const rounded = Number((isShare ? value * 100 : value).toPrecision(digits));
      return `${LABEL.format(rounded)}${isShare ? "\u00a0%" : ""}`;
    });
    if (new Set(labels).size === labels.length || digits === 15) return labels;
  }
}
