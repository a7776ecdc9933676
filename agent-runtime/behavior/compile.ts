import { hash } from "node:crypto";
import { closestName, PopulaceError } from "@populace/domain";
import { personaKey } from "@populace/kernels";
import { behaviorPlan, type BehaviorPlan, blockAgentsOf, LIMITS } from "@populace/protocol";
import type { BehaviorDescription, BehaviorSetup } from "./description.ts";
import { BLOCK_AGENTS_OF_BEHAVIORS } from "./limits.ts";
import { moduleOf } from "./rules.ts";
import { startSandbox } from "./sandbox.ts";

/** What a run of a behavior is, beside its source. */
export interface BehaviorRun {
  readonly agents: number;
  readonly ticks: number;
  readonly seed: readonly [number, number];
  /** Parameters that differ from the behavior's defaults. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Agents of a block, a power of two from 256 to 2^20; default 16,384. Part of the plan, so of its hash; no result hangs on it. */
  readonly blockAgents?: number;
}

/**
 * The plan of a behavior's source (TypeScript or JavaScript): the source is checked and its definition read in a process of its own.
 * BAD_BEHAVIOR when it breaks a rule or is malformed, BAD_USAGE for a parameter it does not have, TOO_LARGE.
 */
export async function compileBehavior(source: string, run: BehaviorRun): Promise<{ readonly plan: BehaviorPlan; readonly description: BehaviorDescription }> {
  const module = moduleOf(source);
  const sandbox = await startSandbox(module);
  const { description } = sandbox;
  sandbox.end();
  const { agents, ticks, seed, parameters = {}, blockAgents = BLOCK_AGENTS_OF_BEHAVIORS } = run;
  if (!Number.isInteger(agents) || agents < 1 || agents > LIMITS.agentsMax) throw new PopulaceError("TOO_LARGE", `${agents} agents; expected 1 to ${LIMITS.agentsMax}`, { agents, limit: LIMITS.agentsMax });
  if (!Number.isInteger(ticks) || ticks < 1 || ticks > LIMITS.ticksMax) throw new PopulaceError("TOO_LARGE", `${ticks} ticks; expected 1 to ${LIMITS.ticksMax}`, { ticks, limit: LIMITS.ticksMax });
  const names = description.parameters.map(({ name }) => name);
  for (const name of Object.keys(parameters)) {
    if (names.includes(name)) continue;
    const near = closestName(name, names);
    throw new PopulaceError("BAD_USAGE", `behavior "${description.name}" has no parameter ${name}${near === null ? "" : `; did you mean ${near}?`}${names.length === 0 ? "" : `; it has ${names.join(", ")}`}`, { name });
  }
  const sizes = apportioned(agents, description.personas.map(({ share }) => share));
  const plan = behaviorPlan({
    seed, ticks, counters: description.counters,
    behavior: {
      name: description.name, module, blockAgents, hasMessages: description.messages.length > 0,
      parameters: description.parameters.map(({ name, value }) => ({ name, value: parameters[name] ?? value })).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    },
    personas: description.personas.map(({ name }, index) => ({ id: name, key: personaKey(seed, hash("sha256", name, "buffer")), agents: sizes[index] })),
  });
  return { plan, description };
}

/** What the engine is told of a plan. */
export function setupOf(plan: BehaviorPlan): BehaviorSetup {
  return {
    ticks: plan.ticks, agents: plan.personas.reduce((sum, persona) => sum + persona.agents, 0), blockAgents: blockAgentsOf(plan),
    personas: plan.personas.map(({ key, agents }) => ({ key, agents })),
    parameters: Object.fromEntries(plan.behavior.parameters.map(({ name, value }) => [name, value])),
  };
}

/** Whole agents by shares: rounded down, the rest to the largest remainders, the earlier persona first. */
function apportioned(agents: number, shares: readonly number[]): readonly number[] {
  const exact = shares.map((share) => share * agents), sizes = exact.map(Math.floor);
  const order = exact.map((_, index) => index).toSorted((a, b) => exact[b] - sizes[b] - (exact[a] - sizes[a]) || a - b);
  for (let rest = agents - sizes.reduce((sum, size) => sum + size, 0), i = 0; rest > 0; rest--, i++) sizes[order[i % order.length]]++;
  return sizes;
}
