import { PopulaceError } from "../error.ts";
import type { RandomStream } from "../random/random-stream.ts";

/** How a point of a search fared. */
export interface Fitness {
  /** What is wanted: larger is better in each. */
  readonly goals: readonly number[];
  /** By how much limits are broken, in all; 0 = none. */
  readonly violation: number;
}

/** a is at least as good as b in everything and better in something; within limits comes before everything (Deb 2000). */
export function dominates(a: Fitness, b: Fitness): boolean {
  if (a.violation !== b.violation) return a.violation < b.violation;
  return a.goals.every((goal, at) => goal >= b.goals[at]) && a.goals.some((goal, at) => goal > b.goals[at]);
}

/** Indexes of those within limits that none dominates, in their order: the Pareto front. Of equals the first. */
export function paretoFront(list: readonly Fitness[]): readonly number[] {
  return list.flatMap((own, index) => {
    const isBeaten = own.violation > 0 || list.some((other, at) => dominates(other, own) || (at < index && other.violation === 0 && other.goals.every((goal, g) => goal === own.goals[g])));
    return isBeaten ? [] : [index];
  });
}

/** A space of points: one choice of `sizes[d]` in each dimension. */
export interface EvolutionOptions {
  readonly sizes: readonly number[];
  /** Fitness of many points at once. */
  readonly evaluate: (points: readonly (readonly number[])[]) => readonly Fitness[];
  /** Points that cannot be; they cost nothing. */
  readonly isForbidden: (point: readonly number[]) => boolean;
  /** Points evaluated, at most. */
  readonly evaluations: number;
}

/** What a search has seen. */
export interface Evolution {
  readonly points: readonly (readonly number[])[];
  readonly fitness: readonly Fitness[];
  /** Whether every point that is not forbidden was evaluated. */
  readonly isWhole: boolean;
}

const POPULATION = 40;
/** Draws of a child that nobody has met, before the search counts as stuck. */
const ATTEMPTS = 200;

/**
 * The points of a space that no other dominates, by NSGA-II (Deb et al. 2002): ranks of domination, crowding distance, binary tournaments, uniform
 * crossover, and a mutation that moves to a neighbor half of the time, since choices are ordered. A space no larger than the evaluations
 * is looked at whole. Nothing is evaluated twice. Deterministic in the stream.
 */
export function evolve({ sizes, evaluate, isForbidden, evaluations }: EvolutionOptions, random: RandomStream): Evolution {
  if (sizes.some((size) => size < 1)) throw new PopulaceError("INTERNAL", `evolve: a dimension without choices (${sizes.join(", ")})`, {});
  const points: (readonly number[])[] = [], fitness: Fitness[] = [], known = new Map<string, number>();
  const add = (more: readonly (readonly number[])[]): void => {
    evaluate(more).forEach((each, at) => {
      known.set(more[at].join(), points.length);
      points.push(more[at]);
      fitness.push(each);
    });
  };
  if (sizes.reduce((all, size) => all * size, 1) <= evaluations) {
    const every = sizes.reduce<readonly (readonly number[])[]>((so, size) => so.flatMap((head) => Array.from({ length: size }, (_, choice) => [...head, choice])), [[]]);
    add(every.filter((point) => !isForbidden(point)));
    return { points, fitness, isWhole: true };
  }

  /** Up to `count` points of `draw` that nobody has met. */
  const fresh = (count: number, draw: () => readonly number[]): readonly (readonly number[])[] => {
    const found = new Map<string, readonly number[]>();
    for (let attempt = 0; attempt < ATTEMPTS * count && found.size < count; attempt++) {
      const point = draw(), key = point.join();
      if (!known.has(key) && !found.has(key) && !isForbidden(point)) found.set(key, point);
    }
    return [...found.values()];
  };
  const anyone = (): readonly number[] => sizes.map((size) => random.integer(size));
  add(fresh(Math.min(POPULATION, evaluations), anyone));
  let parents = points.map((_, index) => index);
  while (points.length > 0 && points.length < evaluations) {
    const order = ranked(parents.map((index) => fitness[index])).map((at) => parents[at]);
    // Earlier in the order is better, so a tournament is the smaller of two places.
    const parent = (): readonly number[] => points[order[Math.min(random.integer(order.length), random.integer(order.length))]];
    const children = fresh(Math.min(POPULATION, evaluations - points.length), () => {
      const [mother, father] = [parent(), parent()];
      return sizes.map((size, d) => mutated(random.uniform() < 0.5 ? mother[d] : father[d], size, sizes.length, random));
    });
    const born = children.length > 0 ? children : fresh(Math.min(POPULATION, evaluations - points.length), anyone);
    if (born.length === 0) break;
    const first = points.length;
    add(born);
    const pool = [...parents, ...born.map((_, index) => first + index)];
    parents = ranked(pool.map((index) => fitness[index])).slice(0, POPULATION).map((at) => pool[at]);
  }
  return { points, fitness, isWhole: false };
}

function mutated(choice: number, size: number, dimensions: number, random: RandomStream): number {
  if (size === 1 || random.uniform() >= 1 / dimensions) return choice;
  if (random.uniform() < 0.5) return random.integer(size);
  return Math.max(0, Math.min(size - 1, choice + (random.uniform() < 0.5 ? -1 : 1)));
}

/** Indexes from the best to the worst: by rank of domination, then the less crowded first, then as given. */
function ranked(list: readonly Fitness[]): readonly number[] {
  const order: number[] = [];
  let rest = list.map((_, index) => index);
  while (rest.length > 0) {
    const front = rest.filter((own) => !rest.some((other) => dominates(list[other], list[own])));
    const distance = crowding(front.map((index) => list[index].goals));
    order.push(...front.map((_, at) => at).toSorted((a, b) => distance[b] - distance[a] || a - b).map((at) => front[at]));
    const taken = new Set(front);
    rest = rest.filter((index) => !taken.has(index));
  }
  return order;
}

/** Crowding distance of each of a front: the side lengths of the box that its neighbors leave it; Infinity at the ends. */
function crowding(goals: readonly (readonly number[])[]): Float64Array {
  const distance = new Float64Array(goals.length);
  for (let goal = 0; goal < (goals[0]?.length ?? 0); goal++) {
    const order = goals.map((_, index) => index).toSorted((a, b) => goals[a][goal] - goals[b][goal] || a - b);
    const width = goals[order.at(-1)!][goal] - goals[order[0]][goal];
    distance[order[0]] = distance[order.at(-1)!] = Infinity;
    for (let at = 1; at + 1 < order.length; at++) distance[order[at]] += width > 0 ? (goals[order[at + 1]][goal] - goals[order[at - 1]][goal]) / width : 0;
  }
  return distance;
}
