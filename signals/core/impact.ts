import { sentiment } from "./sentiment.ts";
import type { SignalRecord } from "./record.ts";

/** A trait shift caused by signals; the same shape as a study's or a model's shock. */
export interface Shock {
  readonly attitude: "price-sensitivity" | "channel-affinity" | "brand-warmth" | "contact-pressure";
  readonly channel: string;
  /** Persona id, or "*" for all. */
  readonly persona: string;
  /** Offset on the logit scale at its start. */
  readonly size: number;
  readonly halfLifeTicks: number;
  readonly startTick: number;
  readonly source: string;
  /** What it rests on, in words and numbers. */
  readonly evidence: string;
}

/** A series whose surprises move an attitude. */
export interface SeriesEffect {
  /** Topic of the records, i.e. the column's name. */
  readonly series: string;
  readonly attitude: Shock["attitude"];
  /** +1: a rise raises the attitude (unemployment and price sensitivity); -1: a rise lowers it (employment). */
  readonly direction: 1 | -1;
}

export interface ImpactOptions {
  /** Time of tick 0 and length of a tick, milliseconds. */
  readonly originMs: number;
  readonly tickMs: number;
  readonly series?: readonly SeriesEffect[];
  /** Attitude moved by the sentiment of texts and the tone of news; null = none. Default brand-warmth. */
  readonly sentimentAttitude?: Shock["attitude"] | null;
  readonly limits?: Partial<ImpactLimits>;
}

/**
 * How strongly signals move attitudes. These are stated beliefs, not estimates: a model that learned them from outcomes may
 * pass its own.
 */
export interface ImpactLimits {
  /** Logits of a full unit of sentiment (from neutral to +1). */
  readonly logitPerSentiment: number;
  /** Logits of one standard deviation of a series' monthly (or whatever its step is) change. */
  readonly logitPerDeviation: number;
  /** No shock is larger. */
  readonly sizeMax: number;
  /** Smallest |z| that counts as a surprise: about one period in twenty by chance alone. */
  readonly zMin: number;
  /** Fewest texts in a bucket. */
  readonly textsMin: number;
  /** Fewest earlier changes of a series, and most that are looked back at. */
  readonly changesMin: number;
  readonly changesMax: number;
  readonly sentimentHalfLifeTicks: number;
  readonly seriesHalfLifeTicks: number;
  /** Length of a bucket of texts, milliseconds. */
  readonly bucketMs: number;
}

export const IMPACT_LIMITS: ImpactLimits = {
  logitPerSentiment: 0.5, logitPerDeviation: 0.1, sizeMax: 0.5, zMin: 2, textsMin: 5, changesMin: 8, changesMax: 36, sentimentHalfLifeTicks: 7, seriesHalfLifeTicks: 30, bucketMs: 86_400_000,
};

/** What is left of an old shock below this is nothing. */
const NEGLIGIBLE_LOGIT = 0.001;

/**
 * Returns the shocks that signals call for, by start.
 *
 * Texts (and tones, divided by 10 and cut to -1..1) are averaged a bucket; a bucket whose mean lies at least `zMin` standard
 * errors from the mean of the buckets before it (0 before the first) shocks in proportion to that difference. A series shocks when
 * its change lies at least `zMin` standard deviations from its earlier changes, in proportion to z. A shock from before tick 0
 * starts at 0 with what its half-life left of it. Deletes and records without time are left out.
 */
export function shocksFrom(records: readonly SignalRecord[], options: ImpactOptions): Shock[] {
  const limits = { ...IMPACT_LIMITS, ...options.limits };
  const attitude = options.sentimentAttitude === undefined ? "brand-warmth" : options.sentimentAttitude;
  const alive = records.filter((one) => one.atMs !== null && (one.action === "create" || one.action === "update"));
  const shocks = (options.series ?? []).flatMap((effect) => seriesShocks(alive, effect, options, limits));
  if (attitude !== null) shocks.push(...sentimentShocks(alive, attitude, options, limits));
  return shocks.toSorted((a, b) => a.startTick - b.startTick);
}

function sentimentShocks(records: readonly SignalRecord[], attitude: Shock["attitude"], options: ImpactOptions, limits: ImpactLimits): Shock[] {
  const buckets = new Map<number, number[]>();
  for (const one of records) {
    const score = scoreOf(one);
    if (score === null) continue;
    const bucket = Math.floor(one.atMs! / limits.bucketMs);
    buckets.set(bucket, [...(buckets.get(bucket) ?? []), score]);
  }
  const shocks: Shock[] = [];
  const before: number[] = [];
  for (const [bucket, scores] of [...buckets].toSorted(([a], [b]) => a - b)) {
    if (scores.length < limits.textsMin) continue;
    const { mean, sd } = moments(scores);
    const baseline = before.length === 0 ? 0 : moments(before).mean;
    // A tenth as the least spread: five equal scores are no proof of certainty.
    const z = (mean - baseline) / (Math.max(sd, 0.1) / Math.sqrt(scores.length));
    before.push(mean);
    if (Math.abs(z) < limits.zMin) continue;
    const evidence = `${scores.length} texts and tones of ${day(bucket * limits.bucketMs)}: mean sentiment ${mean.toFixed(3)} against ${baseline.toFixed(3)} before, z = ${z.toFixed(1)}`;
    shocks.push(...shock(attitude, limits.logitPerSentiment * (mean - baseline), (bucket + 1) * limits.bucketMs, limits.sentimentHalfLifeTicks, "sentiment", evidence, options, limits));
  }
  return shocks;
}

/** Sentiment of a record: of its text, else of its title, else its tone; null for what has none. */
function scoreOf(one: SignalRecord): number | null {
  if (one.kind === "series") return null;
  const text = one.text !== "" ? one.text : (one.title ?? "");
  if (text !== "") return sentiment(text);
  return one.value === null || (one.format !== "gdelt-events" && one.format !== "gdelt-gkg") ? null : Math.max(-1, Math.min(1, one.value / 10));
}

function seriesShocks(records: readonly SignalRecord[], effect: SeriesEffect, options: ImpactOptions, limits: ImpactLimits): Shock[] {
  const points = records.filter((one) => one.kind === "series" && one.value !== null && one.topics[0] === effect.series).toSorted((a, b) => a.atMs! - b.atMs!);
  const shocks: Shock[] = [];
  const changes: number[] = [];
  for (let i = 1; i < points.length; i++) {
    const change = points[i]!.value! - points[i - 1]!.value!;
    const earlier = changes.slice(-limits.changesMax);
    changes.push(change);
    if (earlier.length < limits.changesMin) continue;
    const { mean, sd } = moments(earlier);
    if (sd === 0) continue;
    const z = (change - mean) / sd;
    if (Math.abs(z) < limits.zMin) continue;
    const evidence = `${effect.series} changed by ${Number(change.toPrecision(4))} on ${day(points[i]!.atMs!)} against ${Number(mean.toPrecision(4))} (sd ${Number(sd.toPrecision(4))}) in the ${earlier.length} periods before, z = ${z.toFixed(1)}`;
    shocks.push(...shock(effect.attitude, effect.direction * limits.logitPerDeviation * z, points[i]!.atMs!, limits.seriesHalfLifeTicks, `series:${effect.series}`, evidence, options, limits));
  }
  return shocks;
}

function shock(attitude: Shock["attitude"], wanted: number, atMs: number, halfLifeTicks: number, source: string, evidence: string, options: ImpactOptions, limits: ImpactLimits): Shock[] {
  const tick = Math.floor((atMs - options.originMs) / options.tickMs);
  const full = Math.max(-limits.sizeMax, Math.min(limits.sizeMax, wanted));
  const size = tick >= 0 ? full : full * 2 ** (tick / halfLifeTicks);
  return Math.abs(size) < NEGLIGIBLE_LOGIT ? [] : [{ attitude, channel: "*", persona: "*", size, halfLifeTicks, startTick: Math.max(0, tick), source, evidence }];
}

function moments(values: readonly number[]): { readonly mean: number; readonly sd: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const sd = values.length < 2 ? 0 : Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  return { mean, sd };
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
