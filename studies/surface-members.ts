import { CODES_PER_UNIT, BINARY_CODE, RandomStream } from "@populace/domain";
import { coder, drawUniforms } from "@populace/kernels";
import type { PlanTrait } from "@populace/protocol";
import type { Model } from "./model.ts";
import { keyOfPersona } from "./plan.ts";
import { BINARY_CODES, planCopula, planTrait } from "./plan-population.ts";

/** Agents of a persona from which its members are taken, at least, and for each member. */
const POOL = { least: 256, perMember: 16 } as const;

/** Some people who stand for a persona. Values are what the response model sees: numbers, or the index of a level. */
export interface SurfaceMembers {
  readonly count: number;
  /** members x traits, at the posterior means of the persona's traits. */
  readonly typical: Float64Array;
  /** worlds x members x traits, each world with its own draw of the persona's traits. */
  readonly drawn: Float64Array;
}

/**
 * `count` people of a persona: the first agents that the kernel would draw, 256 of them or 16 a member, in the order of `rank` (a rate), and of these
 * evenly many. So few stand for so many because they are spread evenly over what matters; the same in every world,
 * as the panel of a run is. The seed names the agents.
 */
export function surfaceMembers(model: Model, persona: number, worlds: number, count: number, seed: number, rank: (values: Float64Array) => number): SurfaceMembers {
  const { codings, personas } = model.mixture;
  const who = personas[persona], traits = codings.length;
  const streams = RandomStream.of(seed, "population").child(who.id);
  const planned = (random: boolean): readonly PlanTrait[] =>
    who.traits.map((trait, t) => planTrait(trait, codings[t], t, random ? worlds : 1, random ? streams.child(codings[t].name) : null, BINARY_CODES));
  const [typicalTraits, drawnTraits] = [planned(false), planned(true)];
  const pool = Math.max(POOL.least, POOL.perMember * count), uniforms = new Uint16Array(traits * pool);
  drawUniforms({ key: keyOfPersona(seed, who.id), agents: pool, worldShift: 0, traits: typicalTraits, copula: planCopula(who, codings.map((_, t) => t)), returnThreshold: 0 }, 0, pool, uniforms);
  const perUnit = codings.map((coding) => (coding.kind === "categorical" ? 1 : coding.kind === "binary" ? BINARY_CODE : CODES_PER_UNIT));
  const valuesOf = (plan: readonly PlanTrait[]) => {
    const coders = plan.map((trait) => coder({ arithmeticProfile: "nest8-2", slotKind: new Uint8Array(traits) }, trait));
    return (agent: number, world: number, into: Float64Array, from: number): void => {
      for (let t = 0; t < traits; t += 1) into[from + t] = coders[t](world, uniforms[t * pool + agent]) / perUnit[t];
    };
  };
  const [typicalValues, drawnValues] = [valuesOf(typicalTraits), valuesOf(drawnTraits)];
  const row = new Float64Array(traits);
  const ranks = Float64Array.from({ length: pool }, (_, agent) => {
    typicalValues(agent, 0, row, 0);
    return rank(row);
  });
  const order = Array.from(ranks.keys()).toSorted((a, b) => ranks[a] - ranks[b] || a - b);
  const chosen = Array.from({ length: count }, (_, member) => order[Math.floor(((member + 0.5) * pool) / count)]);
  const typical = new Float64Array(count * traits), drawn = new Float64Array(worlds * count * traits);
  chosen.forEach((agent, member) => {
    typicalValues(agent, 0, typical, member * traits);
    for (let world = 0; world < worlds; world += 1) drawnValues(agent, world, drawn, (world * count + member) * traits);
  });
  return { count, typical, drawn };
}
