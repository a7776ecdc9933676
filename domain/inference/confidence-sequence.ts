import { logBeta, normalQuantile } from "./special-functions.ts";

/** What one arm of an experiment has shown so far. */
export type ArmSummary =
  | { readonly kind: "counts"; readonly exposures: number; readonly responses: number }
  /** Amounts a recipient: number of recipients, their mean, and the variance of one amount. */
  | { readonly kind: "amounts"; readonly count: number; readonly mean: number; readonly variance: number };

/** A difference with an interval. */
export interface Difference {
  readonly effect: number;
  readonly low: number;
  readonly high: number;
  /** "asymptotic" rests on normal theory, "exact" on the counts alone: wider, and right for any number of them. */
  readonly method: "asymptotic" | "exact";
}

export interface SequenceOptions {
  /** Chance that the truth ever leaves the sequence; default 0.05. */
  readonly alpha?: number;
  /** Recipients an arm for whom the sequence is narrowest; stated beforehand, it may not follow the data. Default 10,000. */
  readonly planned?: number;
}

/** Planned recipients an arm when nobody says: at a tenth or ten times as many the sequence is at most a quarter wider than it could be. */
export const PLANNED_DEFAULT = 10_000;
/** An arm needs so many recipients, and the arms together so many responses and so many others, before normal theory serves. */
const ASYMPTOTIC = { recipients: 100, responses: 20 } as const;

/**
 * Standard errors to either side of an estimate in which the truth stays at every moment at once, with probability 1 - alpha: the asymptotic
 * confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024, theorem 2.2) with rho^2 = (-2 log alpha + log(1 - 2 log alpha)) / planned,
 * its rule for the narrowest sequence at the planned number. `share` is the number so far over the planned one. Infinite at 0.
 */
export function sequenceErrors(share: number, alpha: number): number {
  const x = share * (-2 * Math.log(alpha) + Math.log1p(-2 * Math.log(alpha)));
  return x > 0 ? Math.sqrt(((2 * (x + 1)) / x) * (0.5 * Math.log1p(x) - Math.log(alpha))) : Infinity;
}

/**
 * Treatment minus control with an interval that may be looked at as often as one likes. Counts too small for normal theory get exact
 * intervals of both rates instead (each at half of alpha), so one response against a million is answered too; amounts get (-Infinity, Infinity).
 */
export function differenceSequence(control: ArmSummary, treatment: ArmSummary, { alpha = 0.05, planned = PLANNED_DEFAULT }: SequenceOptions = {}): Difference {
  const effect = meanOf(treatment) - meanOf(control);
  if (!isAsymptotic(control, treatment)) {
    if (control.kind === "amounts" || treatment.kind === "amounts") return { effect, low: -Infinity, high: Infinity, method: "exact" };
    const [c, t] = [control, treatment].map(({ responses, exposures }) => rateSequence(responses, exposures, alpha / 2));
    return { effect, low: t.low - c.high, high: t.high - c.low, method: "exact" };
  }
  // The information of two arms is that of their harmonic mean, twice.
  const recipients = 2 / (1 / countOf(control) + 1 / countOf(treatment));
  const half = sequenceErrors(recipients / planned, alpha) * standardError(control, treatment);
  const bound = control.kind === "counts" ? 1 : Infinity;
  return { effect, low: Math.max(-bound, effect - half), high: Math.min(bound, effect + half), method: "asymptotic" };
}

/** The same with an interval for one look only, at a number of recipients fixed beforehand (Agresti and Caffo 2000 for rates). */
export function differenceInterval(control: ArmSummary, treatment: ArmSummary, alpha = 0.05): Difference {
  const effect = meanOf(treatment) - meanOf(control);
  const half = normalQuantile(1 - alpha / 2) * standardError(control, treatment);
  const center = control.kind === "counts" && treatment.kind === "counts" ? smoothed(treatment) - smoothed(control) : effect;
  const bound = control.kind === "counts" ? 1 : Infinity;
  return { effect, low: Math.max(-bound, center - half), high: Math.min(bound, center + half), method: "asymptotic" };
}

/**
 * Exact confidence sequence of one rate: where the beta-binomial mixture (uniform prior) beats the rate's own likelihood by less than 1 / alpha
 * (Robbins 1970; Ville's inequality). Holds at every number of exposures at once; [0, 1] before the first.
 */
export function rateSequence(responses: number, exposures: number, alpha = 0.05): { readonly low: number; readonly high: number } {
  const mixture = logBeta(1 + responses, 1 + exposures - responses);
  const isOutside = (rate: number): boolean => {
    const own = (responses === 0 ? 0 : responses * Math.log(rate)) + (responses === exposures ? 0 : (exposures - responses) * Math.log1p(-rate));
    return mixture - own > -Math.log(alpha);
  };
  const observed = exposures === 0 ? 0.5 : responses / exposures;
  const edge = (end: number): number => {
    if (!isOutside(end)) return end;
    let outside = end, inside = observed;
    for (let i = 0; i < 100; i++) {
      const middle = (outside + inside) / 2;
      if (isOutside(middle)) outside = middle;
      else inside = middle;
    }
    return outside;
  };
  return { low: edge(0), high: edge(1) };
}

const countOf = (arm: ArmSummary): number => (arm.kind === "counts" ? arm.exposures : arm.count);
const meanOf = (arm: ArmSummary): number => (arm.kind === "amounts" ? arm.mean : arm.exposures === 0 ? 0 : arm.responses / arm.exposures);
const smoothed = (arm: { readonly responses: number; readonly exposures: number }): number => (arm.responses + 1) / (arm.exposures + 2);

/** Variance of an arm's mean; a rate takes one response and one other more, so that no response at all is not certainty. */
const varianceOfMean = (arm: ArmSummary): number => (arm.kind === "amounts" ? arm.variance / arm.count : (smoothed(arm) * (1 - smoothed(arm))) / (arm.exposures + 2));
const standardError = (control: ArmSummary, treatment: ArmSummary): number => Math.sqrt(varianceOfMean(control) + varianceOfMean(treatment));

function isAsymptotic(control: ArmSummary, treatment: ArmSummary): boolean {
  if (Math.min(countOf(control), countOf(treatment)) < ASYMPTOTIC.recipients) return false;
  if (control.kind === "amounts" || treatment.kind === "amounts") return true;
  const responses = control.responses + treatment.responses;
  return Math.min(responses, control.exposures + treatment.exposures - responses) >= ASYMPTOTIC.responses;
}
