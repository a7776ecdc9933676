import { PopulaceError } from "@populace/domain";
import { LIMITS, blocksOf, columnCount, type Plan } from "@populace/protocol";
import { exposuresPlanned } from "./ledger.ts";

/** What a run asks of the machines that will carry it. */
export interface RunSize {
  readonly agents: number;
  readonly exposures: number;
  /** Two bytes an agent and scenario: held in memory for the whole run. */
  readonly stateBytes: number;
  /** When the population is stored: one byte a slot and agent, and at most as much again for the trait logits the kernel keeps beside them. */
  readonly codeBytes: number;
  /** Statistics of a tick span on the way, twice, and their sums. */
  readonly statisticsBytes: number;
}

export interface Machine {
  /** Memory that may be used, bytes: what is available times the share below. */
  readonly memoryBytes: number;
  readonly exposuresPerSecond: number;
  /** Longest run that is begun without force, seconds. */
  readonly secondsMax: number;
}

/** Share of the available memory a run may plan with; the rest is for the process, the store's pages and everyone else. */
export const MEMORY_SHARE = 0.7;

export function runSize(plan: Plan, shards: number): RunSize {
  const agents = plan.personas.reduce((sum, persona) => sum + persona.agents, 0);
  const entries = plan.cells.length * plan.worlds * columnCount(plan.steps.length);
  return {
    agents,
    exposures: exposuresPlanned(plan).reduce((sum, count) => sum + count, 0),
    stateBytes: 2 * agents * plan.scenarios.length,
    codeBytes: 2 * agents * plan.slots,
    statisticsBytes: entries * (plan.personas.length + shards) * 4 * 2 + entries * plan.personas.length * 8 * 2 + blocksOf(plan).length * 64,
  };
}

export interface Admission {
  readonly population: "stored" | "procedural";
  /** Why the population is not the one asked for, or "" . */
  readonly note: string;
  readonly bytes: number;
  readonly secondsEstimated: number;
}

/**
 * Whether a run fits and in which form. Stored codes that do not fit become a procedural population (the bits are the same, each
 * tick draws the agents anew). TOO_LARGE, with the numbers, when the state itself does not fit, the agents exceed the arithmetic
 * profile, or the estimated time exceeds the bound and `force` is not set.
 */
export function admit(size: RunSize, machine: Machine, wanted: "stored" | "procedural" | undefined, force: boolean): Admission {
  if (size.agents > LIMITS.agentsMax) {
    throw new PopulaceError("TOO_LARGE", `${count(size.agents)} agents were asked; the arithmetic profile counts ${count(LIMITS.agentsMax)} at most: lower agents`, { agents: size.agents, limit: LIMITS.agentsMax });
  }
  const without = size.stateBytes + size.statisticsBytes;
  if (without > machine.memoryBytes) {
    const limit = Math.floor((size.agents * Math.max(0, machine.memoryBytes - size.statisticsBytes)) / Math.max(1, size.stateBytes));
    throw new PopulaceError("TOO_LARGE", `${count(size.agents)} agents need ${bytesText(size.stateBytes)} of state and ${bytesText(size.statisticsBytes)} of statistics, even with a procedural population that stores no codes; this machine allows ${bytesText(machine.memoryBytes)} (${MEMORY_SHARE * 100} % of what is available): ask for at most ${count(limit)} agents, or for fewer scenarios`, { agents: size.agents, agentsLimit: limit, bytesNeeded: without, bytesAllowed: machine.memoryBytes });
  }
  const secondsEstimated = size.exposures / machine.exposuresPerSecond;
  if (secondsEstimated > machine.secondsMax && !force) {
    const limit = Math.floor((size.agents * machine.secondsMax) / secondsEstimated);
    throw new PopulaceError("TOO_LARGE", `${count(size.agents)} agents and ${count(size.exposures)} exposures would take about ${durationText(secondsEstimated)} at ${count(machine.exposuresPerSecond)} exposures a second on this machine; runs above ${durationText(machine.secondsMax)} are not begun unless forced: ask for at most ${count(limit)} agents, or force it`, { agents: size.agents, agentsLimit: limit, secondsEstimated: Math.round(secondsEstimated), secondsMax: machine.secondsMax, exposures: size.exposures });
  }
  const storedFits = without + size.codeBytes <= machine.memoryBytes;
  const population = wanted === "procedural" || !storedFits ? "procedural" : "stored";
  const note = wanted !== "procedural" && !storedFits ? `a stored population needs ${bytesText(without + size.codeBytes)} and ${bytesText(machine.memoryBytes)} are allowed: agents are drawn anew each tick instead (procedural), with the same result` : "";
  return { population, note, bytes: without + (population === "stored" ? size.codeBytes : 0), secondsEstimated };
}

const count = (value: number): string => Math.round(value).toLocaleString("en-US");

function bytesText(bytes: number): string {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return bytes >= 2 ** 20 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;
}

function durationText(seconds: number): string {
  if (seconds >= 5400) return `${(seconds / 3600).toFixed(1)} hours`;
  return seconds >= 90 ? `${Math.round(seconds / 60)} minutes` : `${Math.ceil(seconds)} seconds`;
}
