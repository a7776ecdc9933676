import type { TraitCoding, TraitDistribution } from "../persona/trait.ts";
import { PopulaceError } from "../error.ts";
import { VALUE_UNITS } from "./sufficient-statistics.ts";
import type { SufficientStatistics } from "./sufficient-statistics.ts";

/**
 * Conjugate posterior of a trait after `statistics`, each observation counting `weight` times (an exchange rate or a
 * forgetting factor; 1 by default). For a continuous trait the coding's center and scale turn the fixed-point sums back
 * into transformed values. Closed form, constant cost.
 */
export const posterior = (
  prior: TraitDistribution, statistics: SufficientStatistics, coding: Pick<TraitCoding, "center" | "scale">, weight = 1,
): TraitDistribution => {
  if (prior.kind === "binary" && statistics.kind === "binary") {
    return { kind: "binary", alpha: prior.alpha + weight * statistics.yes, beta: prior.beta + weight * (statistics.count - statistics.yes) };
  }
  if (prior.kind === "categorical" && statistics.kind === "categorical" && prior.alphas.length === statistics.counts.length) {
    return { kind: "categorical", alphas: prior.alphas.map((a, i) => a + weight * statistics.counts[i]) };
  }
  if (prior.kind === "count" && statistics.kind === "count") {
    return { kind: "count", shape: prior.shape + weight * statistics.sum, rate: prior.rate + weight * statistics.count };
  }
  if (prior.kind === "continuous" && statistics.kind === "continuous") {
    if (statistics.count === 0 || weight === 0) return prior;
    const n = weight * statistics.count;
    const meanUnits = statistics.sum / statistics.count;
    const unit = coding.scale / VALUE_UNITS;
    const mean = coding.center + meanUnits * unit;
    const squares = weight * Math.max(statistics.sumSquares - statistics.count * meanUnits * meanUnits, 0) * unit * unit;
    const kappa = prior.kappa + n;
    return {
      kind: "continuous", kappa,
      mean: (prior.kappa * prior.mean + n * mean) / kappa,
      shape: prior.shape + n / 2,
      rate: prior.rate + squares / 2 + (prior.kappa * n * (mean - prior.mean) ** 2) / (2 * kappa),
    };
  }
  throw new PopulaceError("INTERNAL", `a ${prior.kind} prior cannot take ${statistics.kind} statistics`, { prior: prior.kind, statistics: statistics.kind });
};
