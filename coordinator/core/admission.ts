import { PopulaceError, thousands } from "@populace/domain";
import { LIMITS, blocksOf, columnCount, type Plan } from "@populace/protocol";
import { shardOutBytesPerTick } from "./execution.ts";
import { exposuresPlanned } from "./ledger.ts";

/** What a run asks of the machine that will carry it. */
export interface RunSize {
  readonly agents: number;
  readonly ticks: number;
  readonly exposures: number;
  /** Two bytes an agent and scenario, for the whole run when agents are held. */
  readonly stateBytes: number;
  /** When the population is stored: one byte (two in profile nest16-2) a slot and agent, and 8 for the trait logits of each of up to 4 stimuli; 0 in the factor form. */
  readonly codeBytes: number;
  /** The plan, as the process and every worker have it. */
  readonly planBytes: number;
  /** Outputs of one tick on their way, in workers and process, and what is kept of them. */
  readonly tickBytes: number;
  /** Sums over the run. */
  readonly sumBytes: number;
  /** Whether whole lives can be computed block by block with nothing held: agents meet only through influence, and one output holds all ticks. */
  readonly canLiveWhole: boolean;
}

export interface Machine {
  /** For messages, "this machine" unless told. */
  readonly name?: string;
  /** Memory that may be used, bytes: what is available times the share below. */
  readonly memoryBytes: number;
  readonly exposuresPerSecond: number;
  /** Longest run that is begun without force, seconds. */
  readonly secondsMax: number;
}

/** Share of the available memory a run may plan with; the rest is for the process, the store's pages and everyone else. */
export const MEMORY_SHARE = 0.7;
/** Longest run computed whole where its agents could be held as well: an interruption costs all of it. */
const WHOLE_SECONDS_MAX = 60;

export function runSize(plan: Plan, shards: number, workers: number): RunSize {
  const agents = plan.personas.reduce((sum, persona) => sum + persona.agents, 0);
  const entries = plan.cells.length * plan.worlds * columnCount(plan.steps.length), blocks = blocksOf(plan).length;
  const numbers = plan.weights.length + plan.factorWeights.length + 2 * (plan.tables.length + plan.bias.length + plan.leaveBias.length + plan.offset.length)
    + plan.scenarios.reduce((sum, scenario) => sum + scenario.schedule.length, 0);
  return {
    agents, ticks: plan.ticks,
    exposures: exposuresPlanned(plan).reduce((sum, count) => sum + count, 0),
    stateBytes: 2 * agents * plan.scenarios.length,
    codeBytes: plan.factors > 0 ? 0 : agents * (plan.slots * (plan.arithmeticProfile === "nest16-2" ? 2 : 1) + 8 * Math.min(4, new Set(plan.cells.map((cell) => cell.stimulus)).size)),
    planBytes: 2 * numbers * (1 + 2 * workers),
    // A worker's part, the joined output, its encoding and what the coordinator reads of it; hashes likewise.
    tickBytes: 4 * entries * (plan.personas.length + shards) * 4 + blocks * 64 * 3,
    sumBytes: entries * plan.personas.length * 8 * 2,
    canLiveWhole: plan.influence === null && plan.ticks <= LIMITS.spanTicksMax && plan.ticks * shardOutBytesPerTick(plan, shards) <= LIMITS.shardOutBytesMax,
  };
}

export interface Admission {
  readonly population: "stored" | "procedural";
  /** Every block lives its whole life at once and nothing is held. */
  readonly isWhole: boolean;
  /** What was chosen for the caller and why, or "". */
  readonly note: string;
  readonly bytes: number;
  readonly secondsEstimated: number;
}

/**
 * Whether a run fits and in which form, by bytes an agent times agents against the memory there is. Where agents do not influence one another and
 * the run is short or large, blocks live their whole lives one after the other and nothing is held; otherwise states are, and codes where they
 * fit. TOO_LARGE, with the numbers and what would do, when the form asked for does not fit, no form does, the agents exceed the arithmetic
 * profile, or the estimated time exceeds the bound and `force` is not set.
 */
export function admit(size: RunSize, machine: Machine, wanted: "stored" | "procedural" | undefined, force: boolean): Admission {
  if (size.agents > LIMITS.agentsMax) {
    throw new PopulaceError("TOO_LARGE", `${count(size.agents)} agents were asked; the arithmetic profile counts ${count(LIMITS.agentsMax)} at most: lower agents`, { agents: size.agents, limit: LIMITS.agentsMax });
  }
  const secondsEstimated = size.exposures / machine.exposuresPerSecond;
  if (secondsEstimated > machine.secondsMax && !force) {
    const limit = Math.floor((size.agents * machine.secondsMax) / secondsEstimated);
    throw new PopulaceError("TOO_LARGE", `${count(size.agents)} agents and ${count(size.exposures)} exposures would take about ${durationText(secondsEstimated)} at ${count(machine.exposuresPerSecond)} exposures a second on ${machine.name ?? "this machine"}; runs above ${durationText(machine.secondsMax)} are not begun unless forced: ask for at most ${count(limit)} agents, or force it`, { agents: size.agents, agentsLimit: limit, secondsEstimated: Math.round(secondsEstimated), secondsMax: machine.secondsMax, exposures: size.exposures });
  }

  const fixed = size.planBytes + size.sumBytes;
  const bytes = { whole: fixed + size.ticks * size.tickBytes, procedural: fixed + 2 * size.tickBytes + size.stateBytes, stored: fixed + 2 * size.tickBytes + size.stateBytes + size.codeBytes };
  const fits = (form: keyof typeof bytes): boolean => bytes[form] <= machine.memoryBytes && (form !== "whole" || size.canLiveWhole);
  const admitted = (form: keyof typeof bytes, note = ""): Admission => ({ population: form === "stored" ? "stored" : "procedural", isWhole: form === "whole", note, bytes: bytes[form], secondsEstimated });
  const allowed = `${machine.name ?? "this machine"} allows ${bytesText(machine.memoryBytes)} (${MEMORY_SHARE * 100} % of what is available)`;

  if (wanted === "stored") {
    if (fits("stored")) return admitted("stored");
    const alternative = fits("whole") ? "; with --population procedural nothing is held, for agents are drawn anew" : fits("procedural") ? `; with --population procedural codes are drawn anew each span, and ${bytesText(bytes.procedural)} do` : "";
    throw tooLarge(size, `${bytesText(size.codeBytes)} of codes and logits and ${bytesText(size.stateBytes)} of state, ${perAgent(size.codeBytes + size.stateBytes, size)} bytes an agent, ${bytesText(bytes.stored)} in all`, allowed, alternative, bytes.stored, machine, fixed + 2 * size.tickBytes, size.codeBytes + size.stateBytes);
  }
  const isQuick = secondsEstimated <= WHOLE_SECONDS_MAX;
  if (fits("whole") && (isQuick || !fits("procedural"))) {
    return admitted("whole", isQuick ? "" : `${bytesText(bytes.procedural)} of state do not fit and ${allowed}: every block lives its whole life at once, so an interruption begins anew`);
  }
  if (wanted === undefined && fits("stored")) return admitted("stored");
  if (fits("procedural")) return admitted("procedural", wanted === "procedural" || size.codeBytes === 0 ? "" : `a stored population needs ${bytesText(bytes.stored)} and ${allowed}: codes are drawn anew each span (procedural), with the same result`);
  const why = size.canLiveWhole ? "" : "; agents that influence one another, or long runs, must be held";
  throw tooLarge(size, `${bytesText(size.stateBytes)} of state, ${perAgent(size.stateBytes, size)} bytes an agent, and ${bytesText(bytes.procedural - size.stateBytes)} of statistics, with a procedural population that stores no codes`, `${allowed}${why}`, "", bytes.procedural, machine, fixed + 2 * size.tickBytes, size.stateBytes);
}

function tooLarge(size: RunSize, needs: string, allowed: string, alternative: string, bytesNeeded: number, machine: Machine, without: number, agentBytes: number): PopulaceError {
  // A round number, and a thousandth less: fewer agents may be cut into more blocks.
  const limit = roundDown((0.999 * size.agents * (machine.memoryBytes - without)) / Math.max(1, agentBytes));
  return new PopulaceError("TOO_LARGE", `${count(size.agents)} agents need ${needs}; ${allowed}${alternative}: ${alternative === "" ? "ask" : "or ask"} for at most ${count(limit)} agents, or for fewer scenarios`, { agents: size.agents, agentsLimit: limit, bytesNeeded, bytesAllowed: machine.memoryBytes });
}

/** At most three significant digits, not negative. */
function roundDown(value: number): number {
  const step = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, value))) - 2);
  return Math.max(0, Math.floor(value / step) * step);
}

const perAgent = (bytes: number, size: RunSize): string => (bytes / Math.max(1, size.agents)).toFixed(0);
const count = (value: number): string => thousands(Math.round(value));

function bytesText(bytes: number): string {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return bytes >= 2 ** 20 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${Math.ceil(bytes / 1024)} KiB`;
}

function durationText(seconds: number): string {
  if (seconds >= 5400) return `${(seconds / 3600).toFixed(1)} hours`;
  return seconds >= 90 ? `${Math.round(seconds / 60)} minutes` : `${Math.ceil(seconds)} seconds`;
}
