import { RandomStream } from "@populace/domain";
import type { PlanInfluence } from "@populace/protocol";
import type { StudyInfluence } from "./study.ts";

/** Share of a generated graph's links that stays inside the sharing persona: people talk most to their like. */
const STAYS_HOME = 0.5;
/** Word of mouth may move a logit by two at most, whatever the shares. */
const WARMTH_LOGIT_MAX = 2;
const Q14 = 16_384;
const Q32_MAX = 0xffff_ffff;

interface Edge {
  readonly from: number;
  readonly to: number;
  readonly weight: number;
}

/**
 * The influence of a study in the kernel's integers. An edge's weight is the share of the source's shares (minus complaints)
 * that reaches the target; the generators keep half inside the persona and spread half evenly over its neighbors, so that
 * nothing is created: every column of the weight matrix adds to 1. The graph depends on the seed and the persona ids alone.
 */
export function planInfluence(influence: StudyInfluence, personaIds: readonly string[], stepCount: number, seed: number): PlanInfluence {
  const edges = mergedEdges(influenceEdges(influence, personaIds, RandomStream.of(seed, "influence")));
  const rowStart = new Int32Array(personaIds.length + 1);
  for (const edge of edges) rowStart[edge.to + 1] += 1;
  for (let row = 0; row < personaIds.length; row += 1) rowStart[row + 1] += rowStart[row];
  const shareRate = (step: number): number => influence.shareRate[influence.shareRate.length === 1 ? 0 : step];
  return {
    rowStart,
    source: Int32Array.from(edges, (edge) => edge.from),
    weight: Int32Array.from(edges, (edge) => Math.round(edge.weight * 65_536)),
    shareThreshold: Uint32Array.from({ length: stepCount }, (_, step) => Math.min(Q32_MAX, Math.round(shareRate(step) * 2 ** 32))),
    warmthDecay: Math.round((1 - 2 ** (-1 / influence.warmthHalfLifeTicks)) * 65_536),
    warmthGain: Math.round(influence.warmthPerShare * Q14),
    warmthMax: WARMTH_LOGIT_MAX * Q14,
    // Received per agent is Q16 and the threshold Q32: one share an agent makes `awarePerShare` of them aware in that tick.
    awareGain: Math.round(influence.awarePerShare * 65_536),
    awareMax: Q32_MAX,
    // Having heard of it moves the first step; what follows is the offer's business.
    awareWeight: Int32Array.from({ length: stepCount }, (_, step) => (step === 0 ? Math.round(influence.awareLogit * Q14) : 0)),
  };
}

/**
 * Largest absolute eigenvalue of the weight matrix, by power iteration on (A + I) / 2 shifted back, so that a graph of two
 * personas that only face each other converges too. Below 1 a share dies out; a generated graph has exactly 1.
 */
export function spectralRadius(influence: PlanInfluence): number {
  const n = influence.rowStart.length - 1;
  let vector = new Float64Array(n).fill(1);
  let value = 0;
  for (let iteration = 0; iteration < 2_000; iteration += 1) {
    const next = new Float64Array(n);
    for (let row = 0; row < n; row += 1) {
      let sum = vector[row];
      for (let at = influence.rowStart[row]; at < influence.rowStart[row + 1]; at += 1) sum += (influence.weight[at] / 65_536) * vector[influence.source[at]];
      next[row] = sum;
    }
    const norm = Math.max(...next);
    const before = value;
    value = norm - 1;
    vector = next.map((entry) => entry / norm);
    if (iteration > 2 && Math.abs(value - before) < 1e-12) break;
  }
  return Math.max(0, value);
}

function influenceEdges(influence: StudyInfluence, personaIds: readonly string[], random: RandomStream): readonly Edge[] {
  const graph = influence.graph;
  if (graph.kind === "edges") {
    return graph.edges
      .map((edge) => ({ from: personaIds.indexOf(edge.from), to: personaIds.indexOf(edge.to), weight: edge.weight }))
      .filter((edge) => edge.from >= 0 && edge.to >= 0);
  }
  const neighbors = graph.kind === "small-world" ? smallWorld(personaIds.length, graph.neighbors, graph.rewire, random) : scaleFree(personaIds.length, graph.links, random);
  return neighbors.flatMap((others, from) => {
    const list = [...others].toSorted((a, b) => a - b);
    if (list.length === 0) return [{ from, to: from, weight: 1 }];
    return [{ from, to: from, weight: STAYS_HOME }, ...list.map((to) => ({ from, to, weight: (1 - STAYS_HOME) / list.length }))];
  });
}

/** Watts and Strogatz (1998): a ring, each linked to its nearest `neighbors` on either side, each link rewired with that chance. */
function smallWorld(n: number, neighbors: number, rewire: number, random: RandomStream): readonly Set<number>[] {
  const links = Array.from({ length: n }, () => new Set<number>());
  for (let from = 0; from < n; from += 1) {
    for (let step = 1; step <= Math.min(neighbors, Math.floor((n - 1) / 2) || (n > 1 ? 1 : 0)); step += 1) {
      let to = (from + step) % n;
      if (random.uniform() < rewire) {
        const free = links.map((_, other) => other).filter((other) => other !== from && !links[from].has(other));
        if (free.length > 0) to = free[random.integer(free.length)];
      }
      if (to !== from) {
        links[from].add(to);
        links[to].add(from);
      }
    }
  }
  return links;
}

/** Barabasi and Albert (1999): each newcomer links to `count` earlier ones with chance proportional to their links plus one. */
function scaleFree(n: number, count: number, random: RandomStream): readonly Set<number>[] {
  const links = Array.from({ length: n }, () => new Set<number>());
  for (let from = 1; from < n; from += 1) {
    for (let link = 0; link < Math.min(count, from); link += 1) {
      const weights = Array.from({ length: from }, (_, other) => (links[from].has(other) ? 0 : links[other].size + 1));
      let at = random.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
      let to = weights.findIndex((weight) => (at -= weight) < 0);
      if (to < 0) to = weights.findLastIndex((weight) => weight > 0);
      links[from].add(to);
      links[to].add(from);
    }
  }
  return links;
}

/** Adds parallel edges and orders them by receiver, then source. */
function mergedEdges(edges: readonly Edge[]): readonly Edge[] {
  const byPair = new Map<string, Edge>();
  for (const edge of edges) {
    const key = `${edge.to} ${edge.from}`;
    const known = byPair.get(key);
    byPair.set(key, known === undefined ? edge : { ...edge, weight: known.weight + edge.weight });
  }
  return [...byPair.values()].toSorted((a, b) => a.to - b.to || a.from - b.from);
}
