import { sequenceErrors } from "./confidence-sequence.ts";
import { normalDensity, normalQuantile, normalCdf } from "./special-functions.ts";

/** What an experiment is to find: a difference in rates, or in means of amounts with that standard deviation. */
export type ExpectedEffect =
  | { readonly kind: "rates"; readonly control: number; readonly treatment: number }
  | { readonly kind: "means"; readonly difference: number; readonly sd: number };

export interface PowerOptions {
  /** Two-sided chance of seeing a difference where there is none, over all treatments together; default 0.05. */
  readonly alpha?: number;
  /** Chance of seeing the effect; default 0.8. */
  readonly power?: number;
  /** Arms with the control; alpha is divided over the treatments (Bonferroni). Default 2. */
  readonly arms?: number;
}

/**
 * Recipients an arm for one look at the end, rounded up: (z[alpha/2] sqrt(2 p (1 - p)) + z[power] sqrt(p1 (1 - p1) + p2 (1 - p2)))^2 / (p2 - p1)^2 with p the mean
 * of the rates (Fleiss, Levin, Paik 2003, section 4.2, without continuity correction), and 2 (z[alpha/2] + z[power])^2 sd^2 / difference^2 for means.
 * Infinity without an effect.
 */
export function fixedSampleSize(effect: ExpectedEffect, options: PowerOptions = {}): number {
  const { alpha, power } = shareOfAlpha(options);
  const [za, zb] = [normalQuantile(1 - alpha / 2), normalQuantile(power)];
  if (effect.kind === "means") return Math.ceil(2 * (((za + zb) * effect.sd) / effect.difference) ** 2);
  const { control, treatment } = effect, mean = (control + treatment) / 2;
  return Math.ceil(((za * Math.sqrt(2 * mean * (1 - mean)) + zb * Math.sqrt(varianceOf(effect))) / (treatment - control)) ** 2);
}

export interface SequentialPlan {
  /** Recipients an arm by the last look, rounded up. */
  readonly perArm: number;
  /** Mean number of recipients an arm when the effect is there and the experiment ends once it is seen. */
  readonly expectedPerArm: number;
  /** Chance that any of the looks sees a difference where there is none. */
  readonly falsePositive: number;
}

/**
 * Recipients an arm so that the confidence sequence, tuned to that number and looked at `looks` times at equal distances, sees the effect with the
 * wanted power. By numerical integration over the looks (Armitage, McPherson, Rowe 1969), normal increments.
 */
export function sequentialSampleSize(effect: ExpectedEffect, looks: number, options: PowerOptions = {}): SequentialPlan {
  const { alpha, power } = shareOfAlpha(options);
  const paths = undecidedPaths(looks, alpha);
  let low = 0, high = 20;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (1 - paths.undecided(looks, middle) < power) low = middle;
    else high = middle;
  }
  const variance = effect.kind === "means" ? 2 * effect.sd ** 2 : varianceOf(effect);
  const difference = effect.kind === "means" ? effect.difference : effect.treatment - effect.control;
  const exact = variance * (high / difference) ** 2;
  let lookShare = 0;
  for (let look = 0; look < looks; look++) lookShare += (look === 0 ? 1 : paths.undecided(look, high)) / looks;
  return { perArm: Math.ceil(exact), expectedPerArm: Math.ceil(exact * lookShare), falsePositive: 1 - paths.undecided(looks, 0) };
}

/** Chance that the sequence, tuned to `perArm` and looked at `looks` times until then, sees the effect. */
export function sequentialPower(effect: ExpectedEffect, perArm: number, looks: number, options: PowerOptions = {}): number {
  const variance = effect.kind === "means" ? 2 * effect.sd ** 2 : varianceOf(effect);
  const difference = effect.kind === "means" ? effect.difference : effect.treatment - effect.control;
  return 1 - undecidedPaths(looks, shareOfAlpha(options).alpha).undecided(looks, (Math.abs(difference) * Math.sqrt(perArm)) / Math.sqrt(variance));
}

function shareOfAlpha({ alpha = 0.05, power = 0.8, arms = 2 }: PowerOptions): { readonly alpha: number; readonly power: number } {
  return { alpha: alpha / Math.max(1, arms - 1), power };
}

const varianceOf = ({ control, treatment }: { readonly control: number; readonly treatment: number }): number => control * (1 - control) + treatment * (1 - treatment);

const GRID = 401;

/**
 * Densities of Brownian motion on [0, 1] that has stayed within the sequence at every look so far, without drift; with drift d they are
 * multiplied by exp(d x - d^2 t / 2), so one pass serves every effect.
 */
function undecidedPaths(looks: number, alpha: number): { readonly undecided: (look: number, drift: number) => number } {
  const densities: { readonly x: Float64Array; readonly mass: Float64Array }[] = [];
  const step = 1 / looks, sd = Math.sqrt(step);
  for (let look = 1; look <= looks; look++) {
    const time = look / looks, bound = sequenceErrors(time, alpha) * Math.sqrt(time), width = (2 * bound) / (GRID - 1);
    const x = Float64Array.from({ length: GRID }, (_, i) => -bound + i * width);
    const before = densities.at(-1);
    const mass = x.map((value, i) => {
      let density = 0;
      if (before === undefined) density = normalDensity(value / sd) / sd;
      else for (let j = 0; j < GRID; j++) density += (before.mass[j] * normalDensity((value - before.x[j]) / sd)) / sd;
      // Simpson's weights.
      return (density * width * (i === 0 || i === GRID - 1 ? 1 : i % 2 === 1 ? 4 : 2)) / 3;
    });
    densities.push({ x, mass });
  }
  return {
    undecided: (look, drift) => {
      const { x, mass } = densities[look - 1], time = look / looks;
      return mass.reduce((sum, each, i) => sum + each * Math.exp(drift * x[i] - (drift * drift * time) / 2), 0);
    },
  };
}

/** Chance that a single two-sided look at `perArm` recipients sees the effect. */
export function fixedPower(effect: ExpectedEffect, perArm: number, options: PowerOptions = {}): number {
  const { alpha } = shareOfAlpha(options), z = normalQuantile(1 - alpha / 2);
  const variance = effect.kind === "means" ? 2 * effect.sd ** 2 : varianceOf(effect);
  const difference = effect.kind === "means" ? effect.difference : effect.treatment - effect.control;
  const drift = (Math.abs(difference) * Math.sqrt(perArm)) / Math.sqrt(variance);
  return normalCdf(drift - z) + normalCdf(-drift - z);
}
