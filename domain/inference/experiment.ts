import { differenceInterval, differenceSequence } from "./confidence-sequence.ts";
import type { ArmSummary, Difference } from "./confidence-sequence.ts";
import { sampleRatio } from "./sample-ratio.ts";
import type { SampleRatio } from "./sample-ratio.ts";
import { betaCdf, betaTail, normalCdf, normalDensity } from "./special-functions.ts";

/** What was known at one look, cumulative; arms in one order throughout. */
export type Look = readonly ArmSummary[];

/** A step that the treatment must not raise, such as unsubscribing; looks as those of the goal. */
export interface Guardrail {
  readonly name: string;
  readonly looks: readonly Look[];
  /** Rise that is put up with; default 0. */
  readonly margin?: number;
}

export interface ExperimentOptions {
  /** Names of the arms; the first is the control unless `control` says another. */
  readonly arms: readonly string[];
  readonly control?: number;
  /** Chance of a false difference at any look, over all treatments together; default 0.05. */
  readonly alpha?: number;
  /** Recipients an arm that were planned, to which the sequence is tuned; fixed before the data. */
  readonly planned?: number;
  /** Shares of the recipients that each arm was to get; default equal. */
  readonly shares?: readonly number[];
  /** Recipients of each arm at each look, for the sample-ratio check; default the arms' own counts. */
  readonly recipients?: readonly (readonly number[])[];
  /** "observational" when nobody knows how arms were assigned: then a difference is no evidence of an effect. */
  readonly kind?: "randomized" | "observational";
  readonly guardrails?: readonly Guardrail[];
  /** A sample-ratio check of the caller's own, where arms were assigned with propensities of each row. */
  readonly ratio?: SampleRatio;
}

export interface ArmComparison {
  readonly arm: string;
  /** Treatment minus control with the sequence's interval, over all looks so far. */
  readonly effect: number;
  readonly low: number;
  readonly high: number;
  readonly method: Difference["method"];
  /** effect / control's mean; null where that is 0. */
  readonly relative: number | null;
  /** Of one look at the end only: not to be used when anybody looked before. */
  readonly fixed: { readonly low: number; readonly high: number };
  /** Mean loss a recipient of choosing this arm, or the control, given what is known now: a cost, not evidence; falls with every look whatever is true. */
  readonly expectedLoss: { readonly choosingArm: number; readonly choosingControl: number };
  readonly looks: readonly { readonly recipients: number; readonly effect: number; readonly low: number; readonly high: number }[];
  /** First look, from 1, at which the interval left out 0; null = none. */
  readonly shownAt: number | null;
}

export interface ExperimentResult {
  /** "b better than a", "b worse than a", "no difference shown", "blocked: ...", or "observational: ..." before one of these. */
  readonly verdict: string;
  /** Of the arm with the largest effect; null where the verdict is blocked. */
  readonly effect: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly kind: "randomized" | "observational";
  readonly alpha: number;
  readonly srm: SampleRatio;
  /** Empty where the verdict is blocked. */
  readonly comparisons: readonly ArmComparison[];
  readonly guardrails: readonly { readonly name: string; readonly arm: string; readonly effect: number; readonly low: number; readonly high: number; readonly margin: number; readonly isHarmed: boolean }[];
}

/**
 * The verdict of an experiment that may have been looked at any number of times: confidence sequences of every treatment against the control,
 * alpha divided over the treatments, each intersected over the looks. It is blocked when the arms do not hold the recipients meant for them, when a
 * guardrail is shown to be harmed, and when looks contradict each other, which a steady world does with probability alpha at most.
 * Cost: linear in looks and arms.
 */
export function analyzeExperiment(looks: readonly Look[], options: ExperimentOptions): ExperimentResult {
  const { arms, control = 0, alpha = 0.05, planned, kind = "randomized" } = options;
  const share = alpha / Math.max(1, arms.length - 1);
  const sequence = { alpha: share, ...(planned === undefined ? {} : { planned }) };
  const srm = options.ratio ?? sampleRatio(options.recipients ?? looks.map((look) => look.map(recipientsOf)), options.shares ?? arms.map(() => 1));
  const treatments = arms.map((_, arm) => arm).filter((arm) => arm !== control);
  const guardrails = (options.guardrails ?? []).flatMap(({ name, looks: seen, margin = 0 }) => treatments.map((arm) => {
    const { effect, low, high } = intersected(seen, control, arm, sequence);
    return { name, arm: arms[arm], effect, low, high, margin, isHarmed: low > margin };
  }));
  const base = { kind, alpha, srm, guardrails };
  const blocked = (reason: string): ExperimentResult => ({ ...base, verdict: `blocked: ${reason}`, effect: null, low: null, high: null, comparisons: [] });
  if (srm.isMismatch) {
    return blocked(`sample ratio mismatch: ${arms.map((arm, i) => `${arm} ${Math.round(srm.counts[i])} instead of ${Math.round(srm.expected[i])}`).join(", ")} (p = ${srm.pValue.toExponential(1)}); who is in which arm was not decided as planned, so no difference can be believed; find out why`);
  }
  const comparisons = treatments.map((arm) => comparison(looks, options, control, arm, sequence));
  const torn = comparisons.find(({ low, high }) => low > high);
  if (torn !== undefined) return blocked(`the looks contradict each other on ${torn.arm}: early and late intervals do not meet, so the effect changed or counts are not cumulative`);
  const harmed = guardrails.find((each) => each.isHarmed);
  const leading = comparisons.reduce((best, each) => (each.effect > best.effect ? each : best));
  const found = { effect: leading.effect, low: leading.low, high: leading.high, comparisons, ...base };
  const label = kind === "observational" ? "observational: " : "";
  if (harmed !== undefined) return { ...found, verdict: `${label}blocked: guardrail ${harmed.name}: ${harmed.arm} raises it by ${harmed.effect.toPrecision(2)} (at least ${harmed.low.toPrecision(2)}${harmed.margin > 0 ? `, allowed ${harmed.margin}` : ""})` };
  const shown = comparisons.filter(({ low, high }) => low > 0 || high < 0);
  const words = shown.length === 0 ? "no difference shown" : shown.map(({ arm, low }) => `${arm} ${low > 0 ? "better" : "worse"} than ${arms[control]}`).join(", ");
  return { ...found, verdict: `${label}${words}` };
}

function comparison(looks: readonly Look[], { arms }: ExperimentOptions, control: number, arm: number, sequence: { readonly alpha: number; readonly planned?: number }): ArmComparison {
  const { seen, ...whole } = intersected(looks, control, arm, sequence);
  const last = looks[looks.length - 1], base = meanOf(last[control]);
  const { low, high } = differenceInterval(last[control], last[arm], sequence.alpha);
  const shownAt = seen.findIndex((look) => look.low > 0 || look.high < 0);
  return {
    arm: arms[arm], ...whole, relative: base === 0 ? null : whole.effect / base, fixed: { low, high }, looks: seen, shownAt: shownAt < 0 ? null : shownAt + 1,
    expectedLoss: { choosingArm: expectedExcess(last[control], last[arm]), choosingControl: expectedExcess(last[arm], last[control]) },
  };
}

function intersected(looks: readonly Look[], control: number, arm: number, sequence: { readonly alpha: number; readonly planned?: number }): Difference & { readonly seen: ArmComparison["looks"] } {
  let low = -Infinity, high = Infinity;
  let latest: Difference | undefined;
  const seen = looks.map((look) => {
    latest = differenceSequence(look[control], look[arm], sequence);
    low = Math.max(low, latest.low);
    high = Math.min(high, latest.high);
    return { recipients: look.reduce((sum, each) => sum + recipientsOf(each), 0), effect: latest.effect, low, high };
  });
  return { effect: latest!.effect, low, high, method: latest!.method, seen };
}

const recipientsOf = (arm: ArmSummary): number => (arm.kind === "counts" ? arm.exposures : arm.count);
const meanOf = (arm: ArmSummary): number => (arm.kind === "amounts" ? arm.mean : arm.exposures === 0 ? 0 : arm.responses / arm.exposures);

/** Pieces of one stretch of the integral, an even number; relative error below 1e-6. */
const PIECES = 128;
/** Beyond so many standard deviations a Beta posterior holds nothing that matters. */
const REACH = 12;

/**
 * E[max(a - b, 0)]: what is lost a recipient by taking b where a may be better. Rates under Beta(1, 1) priors: the integral of
 * P(b < x) P(a > x), by Simpson's rule between the reaches of both. Amounts by normal theory; an arm without spread loses the plain difference.
 */
function expectedExcess(a: ArmSummary, b: ArmSummary): number {
  if (a.kind === "amounts" || b.kind === "amounts") {
    const difference = meanOf(a) - meanOf(b), sd = Math.sqrt([a, b].reduce((sum, arm) => sum + (arm.kind === "amounts" ? arm.variance / arm.count : 0), 0));
    return sd > 0 ? sd * normalDensity(difference / sd) + difference * normalCdf(difference / sd) : Math.max(0, difference);
  }
  const posterior = ({ responses, exposures }: typeof a): { alpha: number; beta: number; low: number; high: number } => {
    const alpha = responses + 1, beta = exposures - responses + 1, mean = alpha / (alpha + beta), sd = Math.sqrt((mean * (1 - mean)) / (alpha + beta + 1));
    return { alpha, beta, low: Math.max(0, mean - REACH * sd), high: Math.min(1, mean + REACH * sd) };
  };
  const [ofA, ofB] = [posterior(a), posterior(b)];
  const ends = [ofA.low, ofA.high, ofB.low, ofB.high].filter((x) => x >= ofB.low && x <= ofA.high).toSorted((x, y) => x - y);
  let loss = 0;
  for (let k = 1; k < ends.length; k++) {
    const width = (ends[k] - ends[k - 1]) / PIECES;
    for (let i = 0; width > 0 && i <= PIECES; i++) {
      const x = ends[k - 1] + i * width;
      loss += (betaCdf(x, ofB.alpha, ofB.beta) * betaTail(x, ofA.alpha, ofA.beta) * width * (i === 0 || i === PIECES ? 1 : i % 2 === 1 ? 4 : 2)) / 3;
    }
  }
  return loss;
}
