import { betaBinomialInterval } from "@populace/domain";
import { CALIBRATION, landedPit } from "@populace/studies";
import type { Model } from "@populace/studies";
import { personaNames } from "../names.ts";
import type { ReportCalibration, ReportLearned } from "./report.ts";

/** Classes of exchange rates a report draws; the others are in the JSON of `populace learn`. */
const CLASSES_MAX = 24;

/** What outcomes have taught a model about its simulation: exchange rates by level, and the PIT histogram. */
export function learnedOf(model: Model): ReportLearned {
  const { exchangeRate } = model;
  const names = personaNames(model);
  const pit = landedPit(model);
  const levels = exchangeRate.levels.filter((each) => each.level === "channel").concat(exchangeRate.levels.filter((each) => each.level === "class").slice(0, CLASSES_MAX));
  return {
    exchangeRates: [
      { level: "overall", a0: exchangeRate.a0, low: exchangeRate.low, high: exchangeRate.high, cells: exchangeRate.cells, isDemoted: false },
      ...levels.map(({ level, name, a0, low, high, cells }) => {
        const [persona, ...rest] = name.split(", ");
        return { level: level === "channel" ? `channel ${name}` : [names.get(persona) ?? persona, ...rest].join(", "), a0, low, high, cells, isDemoted: level === "class" && exchangeRate.demoted.includes(persona) };
      }),
    ],
    pit: pit.cells === 0 ? null : pit,
    ranks: CALIBRATION.families.flatMap((family) => family.ranks.map(({ parameter, counts }) => ({ name: `${family.name.replace(/ \(.*/, "")}: ${parameter}`, counts }))),
  };
}

/** Predictions beside the randomized outcomes they met, with predictive intervals; null while there are none. */
export function landedCalibration(model: Model): ReportCalibration | null {
  if (model.landed.length === 0) return null;
  const names = personaNames(model);
  const order = model.response.steps.map((step) => step.name);
  const cells = model.landed.toSorted((a, b) => order.indexOf(a.step) - order.indexOf(b.step)).map((cell) => {
    const { alpha, beta } = cell.simulated;
    const { low, high } = betaBinomialInterval(cell.exposures, alpha, beta);
    return { group: names.get(cell.persona) ?? cell.persona, stimulus: cell.stimulus, step: cell.step, observed: cell.responses / cell.exposures, predicted: alpha / (alpha + beta), low: low / cell.exposures, high: high / cell.exposures };
  });
  return { against: "outcomes that landed", cells, coverage90: landedPit(model).coverage90 };
}
