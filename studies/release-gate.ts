import { CALIBRATION } from "./calibration-record.ts";
import type { Model } from "./model.ts";
import { modelText } from "./model-file.ts";

/** Why a model may not be released, and what to do about it. */
export interface ReleaseRefusal {
  readonly why: string;
  readonly advice: string;
}

/**
 * Null for a model that may be released. Refused are models whose calibration record is missing or failed, and every model while a family of
 * posteriors fails against known truth. A stated model passes untested: all its rates are marked `prior only`.
 */
export function releaseRefusal(model: Pick<Model, "calibration" | "name">): ReleaseRefusal | null {
  const { calibration, name } = model;
  const broken = CALIBRATION.families.filter((family) => !family.passed).map((family) => family.name);
  if (broken.length > 0) return { why: `this version's posteriors are not calibrated (${broken.join("; ")})`, advice: "use another version, or --force" };
  const advice = "hold it against rows it has not seen with `populace backtest --model MODEL --data ROWS --record`, or release it all the same with --force";
  if (calibration === null) return { why: `${name} has no calibration record`, advice };
  return calibration.verdict === "failed" ? { why: `${name} failed its calibration: ${calibration.reason}`, advice } : null;
}

/** The model file of a release: without the rows of an open update, which concern nobody who serves it. */
export function releaseText(model: Model): string {
  const { open: _, ...released } = model;
  return modelText(released);
}
