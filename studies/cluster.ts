import { EMERGENCE_LIMITS, NOISE, PopulaceError, RandomStream, assign, chooseClusterCount, chooseEps, clusterDbscan, clusterKMeans, clusterStability, isEmerging, lineageOf, nextStage, personasOf, pickRows, zScores } from "@populace/domain";
import type { EmergenceStage, Points, StepModel, Term, Transition } from "@populace/domain";
import { kMeansEngine, mixtureEngine } from "@populace/kernels";
import { recipientPoints } from "./cluster-features.ts";
import { encodeDataset } from "./codings.ts";
import type { Dataset } from "./dataset.ts";
import type { Model } from "./model.ts";

export interface ClusterOptions {
  readonly method: "kmeans" | "dbscan";
  /**
   * kmeans: number of clusters; absent = for bare points the largest mean silhouette of 2 to 12, for recipients one a persona,
   * started at its members, and one more when more than `STRANGERS_SHARE` of them fit none.
   */
  readonly k?: number;
  /** dbscan: radius; absent = the knee of the distances to the `minPoints`-th neighbor. */
  readonly eps?: number;
  /** dbscan: points within eps, itself counted, that make a core point; absent = twice the dimensions, at least 10. */
  readonly minPoints?: number;
  /** Cluster z-scores of the columns instead of the numbers as they are (bare points only). */
  readonly standardize?: boolean;
  readonly seed?: number;
}

export interface Clustering {
  /** Cluster of each row from 0, -1 = noise. */
  readonly labels: Int32Array;
  readonly k: number;
  /** Sum of squared distances to the cluster's mean, noise left out. */
  readonly sse: number;
  readonly noise: number;
  /** Points of each cluster. */
  readonly sizes: readonly number[];
  /** What was used, chosen or given. */
  readonly used: { readonly method: "kmeans" | "dbscan"; readonly k?: number; readonly eps?: number; readonly minPoints?: number };
}

/** What became of a persona among the live recipients, or where a cluster came from. */
export interface LivingPersona {
  readonly event: Transition;
  /** Ids of the personas it came from. */
  readonly parents: readonly string[];
  /** Cluster; -1 when the persona retired. */
  readonly cluster: number;
  /** Id of the persona whose identity the cluster carries on; null = it needs a new one. */
  readonly persona: string | null;
  /** Similarity to the closest parent, 0 to 1. */
  readonly jaccard: number;
}

/** A cluster of recipients whom no persona describes. */
export interface EmergingCluster {
  readonly cluster: number;
  readonly size: number;
  /** Share of all recipients, 0 to 1. */
  readonly share: number;
  /** What sets it apart, in words. */
  readonly description: string;
  /** Share of its members who fit no persona. */
  readonly fitsNoneShare: number;
  /** Mean bootstrap Jaccard similarity, 0 to 1. */
  readonly stability: number;
  readonly stage: EmergenceStage;
}

export interface LiveClustering extends Clustering {
  readonly lineage: readonly LivingPersona[];
  readonly emerging: readonly EmergingCluster[];
}

/** Points on which stability is judged, and resamples: enough for a Jaccard mean within about 0.02. */
const STABILITY_POINTS_MAX = 2_000;
const STABILITY_RESAMPLES = 12;
/** A persona's floor leaves 1 % of its own members out, so a share well above it means someone new. */
const STRANGERS_SHARE = 0.03;

/**
 * Clusters points. Deterministic for a seed. Errors as in the domain's `clusterKMeans`, `clusterDbscan` (`BAD_REQUEST`,
 * `DEGENERATE_DATA`).
 */
export const clusterPoints = (raw: Points, options: ClusterOptions): Clustering => clusterFrom(raw, options);

function clusterFrom(raw: Points, options: ClusterOptions, initial?: readonly (readonly number[])[]): Clustering {
  const points = options.standardize === true ? zScores(raw).points : raw;
  const random = RandomStream.of(options.seed ?? 1, "cluster");
  if (points.rows === 0 || points.dimensions === 0) throw new PopulaceError("DEGENERATE_DATA", "there are no points to cluster", {});
  if (options.method === "kmeans") {
    const k = options.k ?? initial?.length ?? chooseClusterCount(points, random.child("choice"), { engine: kMeansEngine }).k;
    const { labels, sse } = clusterKMeans(points, { k, random: random.child("k-means"), engine: kMeansEngine, ...(options.k === undefined && initial !== undefined ? { initial } : {}) });
    return { labels, k, sse, noise: 0, sizes: sizesOf(labels, k), used: { method: "kmeans", k } };
  }
  const minPoints = options.minPoints ?? Math.max(10, 2 * points.dimensions);
  const eps = options.eps ?? chooseEps(points, minPoints);
  const { labels, k, noise } = clusterDbscan(points, { eps, minPoints });
  return { labels, k, sse: squaresWithin(points, labels, k), noise, sizes: sizesOf(labels, k), used: { method: "dbscan", eps, minPoints } };
}

/**
 * Clusters live recipients and holds the clusters against the personas that exist: which live on, split, were absorbed, emerged
 * or retired, and which clusters no persona describes, with their stability under resampling. Changes nothing; a shadow becomes
 * a persona through `promoteCluster`.
 *
 * Recipients who fit no persona belong to none in the comparison. Cost: a clustering, and `STABILITY_RESAMPLES` of a sample.
 */
export function clusterLive(model: Model, dataset: Dataset, options: ClusterOptions): LiveClustering {
  const { codings, personas } = model.mixture;
  const { codes } = encodeDataset(dataset, codings);
  const points = recipientPoints(codings, codes);
  const assigned = { persona: new Int32Array(dataset.rows), probability: new Float64Array(dataset.rows), fitsNone: new Uint8Array(dataset.rows) };
  const run = mixtureEngine.assigning(model.mixture);
  run.assign(codes, assigned);
  run.close();
  const before = assigned.persona.map((persona, row) => (assigned.fitsNone[row] === 1 ? NOISE : persona));
  const initial = options.method === "kmeans" && options.k === undefined ? startingCenters(points, before, personas.length) : undefined;
  const clustering = clusterFrom(points, { ...options, standardize: false }, initial);
  const { labels, k, used } = clustering;
  const lineage = lineageOf(before, personas.length, labels, k).map(({ event, parents, cluster, keeps, jaccard }): LivingPersona => ({
    event, cluster, jaccard, parents: parents.map((persona) => personas[persona].id), persona: keeps < 0 ? null : personas[keeps].id,
  }));

  const strangers = new Float64Array(k);
  for (let row = 0; row < dataset.rows; row++) if (labels[row] !== NOISE && before[row] === NOISE) strangers[labels[row]]++;
  const suspects = Array.from({ length: k }, (_, cluster) => cluster).filter((cluster) => isEmerging({ size: clustering.sizes[cluster], fitsNoneShare: strangers[cluster] / clustering.sizes[cluster], stability: 0 }));
  const stability = suspects.length === 0 ? new Float64Array(k) : stabilityOf(points, labels, k, used, initial, RandomStream.of(options.seed ?? 1, "cluster stability"));
  const emerging = suspects.map((cluster): EmergingCluster => {
    const size = clustering.sizes[cluster];
    const evidence = { size, fitsNoneShare: strangers[cluster] / size, stability: stability[cluster] };
    const inside = labels.map((label) => (label === cluster ? 1 : 0));
    const description = personasOf({ codings, codes, weight: null }, inside).personas[1].name;
    return { cluster, share: size / dataset.rows, description, ...evidence, stage: nextStage(null, evidence, false) };
  });
  return { ...clustering, lineage, emerging };
}

/** Means of the members of each persona that has any; then the strangers', when they are more than the tails of all personas. */
function startingCenters(points: Points, before: Int32Array, personas: number): readonly (readonly number[])[] {
  const { rows, dimensions, values } = points;
  // Strangers count as one more group, the last.
  const sums = Array.from({ length: personas + 1 }, () => new Float64Array(dimensions));
  const sizes = new Array<number>(personas + 1).fill(0);
  for (let row = 0; row < rows; row++) {
    const group = before[row] === NOISE ? personas : before[row];
    sizes[group]++;
    for (let column = 0; column < dimensions; column++) sums[group][column] += values[row * dimensions + column];
  }
  const strangers = sizes[personas] >= EMERGENCE_LIMITS.sizeMin && sizes[personas] > STRANGERS_SHARE * rows;
  return sums.flatMap((sum, group) => (sizes[group] === 0 || (group === personas && !strangers) ? [] : [Array.from(sum, (value) => value / sizes[group])]));
}

function stabilityOf(points: Points, labels: Int32Array, k: number, used: Clustering["used"], initial: readonly (readonly number[])[] | undefined, random: RandomStream): Float64Array {
  const rows = Array.from({ length: points.rows }, (_, row) => row);
  if (points.rows > STABILITY_POINTS_MAX) random.child("sample").shuffle(rows);
  const sample = rows.slice(0, STABILITY_POINTS_MAX);
  // A sample is thinner than the whole: as many points within eps as its share.
  const minPoints = Math.max(2, Math.round(((used.minPoints ?? 2) * sample.length) / points.rows));
  const again = (drawn: Points, stream: RandomStream): Int32Array =>
    used.method === "dbscan" ? clusterDbscan(drawn, { eps: used.eps!, minPoints }).labels : clusterKMeans(drawn, { k: used.k!, random: stream, starts: 4, engine: kMeansEngine, ...(initial === undefined ? {} : { initial }) }).labels;
  return clusterStability(pickRows(points, sample), sample.map((row) => labels[row]), k, again, random, STABILITY_RESAMPLES);
}

export interface Promotion {
  /** The model's next version, with one persona more. */
  readonly model: Model;
  /** Id of the new persona. */
  readonly persona: string;
  /** Members of the cluster, and how many of them `assign` now sends to the new persona. */
  readonly members: number;
  readonly moved: number;
}

/**
 * Makes a cluster of live recipients a persona: its traits are conjugate posteriors of its members, pulled toward the
 * population; its terms of the response model start at their prior (drawn with each world's scale), so its rates are those of
 * its traits, pooled and wide, until outcomes arrive; the value of a response is that of a persona drawn by share. Nobody else's
 * persona, draws or outcomes change but for the shares. `labels` are rows of `dataset`, as `clusterLive` gave them.
 *
 * Throws `DEGENERATE_DATA` for fewer members than `EMERGENCE_LIMITS.sizeMin`, `BAD_REQUEST` for labels of other rows.
 */
export function promoteCluster(model: Model, dataset: Dataset, labels: ArrayLike<number>, cluster: number): Promotion {
  if (labels.length !== dataset.rows) throw new PopulaceError("BAD_REQUEST", `${labels.length} labels for ${dataset.rows} recipients; expected the labels clusterLive gave for this dataset`, { labels: labels.length, rows: dataset.rows });
  const { codings, personas } = model.mixture;
  const { codes } = encodeDataset(dataset, codings);
  const inside = Int32Array.from({ length: dataset.rows }, (_, row) => (labels[row] === cluster ? 1 : 0));
  const members = inside.reduce((sum, one) => sum + one, 0);
  if (members < EMERGENCE_LIMITS.sizeMin) throw new PopulaceError("DEGENERATE_DATA", `cluster ${cluster} has ${members} members; a persona needs at least ${EMERGENCE_LIMITS.sizeMin}`, { cluster, members });

  const [, draft] = personasOf({ codings, codes, weight: null }, inside).personas;
  const version = model.version + 1;
  const share = (members + 1) / (dataset.rows + personas.length + 1);
  const id = freshId(personas.map((persona) => persona.id));
  const persona = { ...draft, id: id as typeof draft.id, name: freshName(draft.name, personas.map((known) => known.name)), share, shareAlpha: members + 1, lineage: { event: "emerge" as const, parents: [], atVersion: version } };
  const mixture = { codings, personas: [...personas.map((known) => ({ ...known, share: known.share * (1 - share) })), persona] };
  const { steps, stimuli } = model.response;
  // Rows of an open update were assigned among fewer personas: they stay absorbed as they are.
  const { open: _, ...closed } = model;
  const promoted: Model = {
    ...closed,
    version,
    mixture,
    response: withPersona(model, personas.length),
    value: model.value === null ? null : valueWithPersona(model, model.value),
    outcomes: [...model.outcomes, ...Array.from({ length: stimuli.length * steps.length }, () => ({ exposures: 0, responses: 0 }))],
  };
  let moved = 0;
  for (let row = 0; row < dataset.rows; row++) if (inside[row] === 1 && assign(mixture, codes, row * codings.length).persona === personas.length) moved++;
  return { model: promoted, persona: id, members, moved };
}

/** Prior sd of a persona's effect where the model had one persona and could learn no scale. */
const PERSONA_SD_DEFAULT = 0.3;

/** The response model with terms for one persona more, appended; their draws come from the prior of each world. */
function withPersona(model: Model, persona: number): Model["response"] {
  const { response } = model;
  const cellTerms = response.terms.some((term) => term.kind === "persona-stimulus");
  const added: Model["response"]["terms"] = [{ kind: "persona", persona }, ...(cellTerms ? response.stimuli.map((_, stimulus) => ({ kind: "persona-stimulus" as const, persona, stimulus })) : [])];
  const seed = RandomStream.of(model.fit.seed, `persona ${persona} of version ${model.version + 1}`);
  const { leave } = response, { effects } = leave;
  return {
    ...response, terms: [...response.terms, ...added], stepModels: response.stepModels.map((step) => withTerms(step, response.terms, added, response.worlds, seed.child(step.step))),
    // What an author stated about leaving speaks of stimuli alone.
    ...(effects === undefined || effects.model.method === "prior-only" ? {} : {
      leave: { ...leave, effects: { terms: [...effects.terms, added[0]], model: withTerms(effects.model, effects.terms, added.slice(0, 1), response.worlds, seed.child("leaving")) } },
    }),
  };
}

/** A step's model with more terms, appended, as its prior has them. */
function withTerms(step: StepModel, terms: readonly Term[], added: readonly Term[], worlds: number, random: RandomStream): StepModel {
  const p = terms.length, wide = p + added.length;
  const groups = added.map((term) => {
    const like = terms.findIndex((known) => known.kind === term.kind);
    return like < 0 ? -1 : step.scaleGroup[like];
  });
  const count = step.scaleGroups.length;
  const scale = (world: number, group: number): number => (group < 0 ? PERSONA_SD_DEFAULT : step.scaleDraws.length === 0 ? step.scaleGroups[group].median : step.scaleDraws[world * count + group]);
  const mean = new Float64Array(wide);
  mean.set(step.mean);
  const draws = new Float64Array(worlds * wide);
  for (let world = 0; world < worlds; world++) {
    draws.set(step.draws.subarray(world * p, (world + 1) * p), world * wide);
    groups.forEach((group, index) => (draws[world * wide + p + index] = random.normal() * scale(world, group)));
  }
  const covarianceCholesky = new Float64Array((wide * (wide + 1)) / 2);
  covarianceCholesky.set(step.covarianceCholesky);
  groups.forEach((group, index) => {
    const row = p + index;
    covarianceCholesky[(row * (row + 1)) / 2 + row] = group < 0 ? PERSONA_SD_DEFAULT : step.scaleGroups[group].median;
  });
  const scaleGroup = new Int32Array(wide);
  scaleGroup.set(step.scaleGroup);
  groups.forEach((group, index) => (scaleGroup[p + index] = group));
  return { ...step, mean, draws, covarianceCholesky, scaleGroup };
}

/** In each world the new persona's values are those of a persona drawn by share: their mean, and the spread between personas. */
function valueWithPersona(model: Model, value: NonNullable<Model["value"]>): NonNullable<Model["value"]> {
  const { personas } = model.mixture;
  const stimuli = model.response.stimuli.length, cells = personas.length * stimuli;
  const worlds = value.draws.length / cells;
  const random = RandomStream.of(model.fit.seed, `value of persona ${personas.length} of version ${model.version + 1}`);
  const total = personas.reduce((sum, persona) => sum + persona.share, 0);
  const means = model.response.stimuli.map((_, stimulus) => personas.reduce((sum, persona, index) => sum + (persona.share / total) * value.meanMinor[index * stimuli + stimulus], 0));
  const draws = new Float64Array(worlds * (cells + stimuli));
  for (let world = 0; world < worlds; world++) {
    const own = value.draws.subarray(world * cells, (world + 1) * cells);
    draws.set(own, world * (cells + stimuli));
    let target = random.uniform() * total, like = 0;
    while (like < personas.length - 1 && target > personas[like].share) target -= personas[like++].share;
    draws.set(own.subarray(like * stimuli, (like + 1) * stimuli), world * (cells + stimuli) + cells);
  }
  return { ...value, meanMinor: [...value.meanMinor, ...means], draws };
}

function freshId(known: readonly string[]): string {
  let number = known.length + 1;
  while (known.includes(`p${number}`)) number++;
  return `p${number}`;
}

function freshName(name: string, known: readonly string[]): string {
  let number = 2, fresh = `new: ${name}`;
  while (known.includes(fresh)) fresh = `new: ${name} (${number++})`;
  return fresh;
}

const sizesOf = (labels: Int32Array, k: number): readonly number[] => {
  const sizes = new Array<number>(k).fill(0);
  for (const label of labels) if (label !== NOISE) sizes[label]++;
  return sizes;
};

function squaresWithin(points: Points, labels: Int32Array, k: number): number {
  const { dimensions, values, rows } = points;
  const means = new Float64Array(k * dimensions);
  const sizes = sizesOf(labels, k);
  for (let row = 0; row < rows; row++) {
    if (labels[row] === NOISE) continue;
    for (let column = 0; column < dimensions; column++) means[labels[row] * dimensions + column] += values[row * dimensions + column] / sizes[labels[row]];
  }
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    if (labels[row] === NOISE) continue;
    for (let column = 0; column < dimensions; column++) sum += (values[row * dimensions + column] - means[labels[row] * dimensions + column]) ** 2;
  }
  return sum;
}
