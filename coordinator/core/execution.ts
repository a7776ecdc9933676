import { PopulaceError } from "@populace/domain";
import { LIMITS, blocksOf, columnCount, isBehaviorPlan, isCoupled, MESSAGE_WORDS, type ExecutionPlan, type Plan } from "@populace/protocol";
import { exposuresPlanned } from "./ledger.ts";

/** Exposures a second and worker before a node has measured its own: of the reference kernel, the low end of two machines. */
const EXPOSURES_PER_SECOND_ASSUMED = 4_000_000;
/** Agents a second and worker that a behavior moves: some do ten times as many, and heavy ones fewer. */
const AGENTS_PER_SECOND_ASSUMED = 500_000;
/** A span is cut to about this much work: progress and interruption stay lively, the commit stays far below 1 %. */
const SPAN_SECONDS = 1;
/** Work between two checkpoints: what an interruption costs at most. */
const CHECKPOINT_SECONDS = 10;
/** Shards a worker: a late one is a small part of the span. */
const SHARDS_PER_WORKER = 4;

/** A run of less work than this for one worker, by the speeds assumed above, is one shard: the messages of more would take longer than they save. */
const SMALL_SECONDS = 1;

export interface Cluster {
  readonly workers: number;
  /** Of all workers together; 0 = not measured. */
  readonly exposuresPerSecond: number;
  /** What the slots of runs under way may hold. */
  readonly slotBytesMax: number;
}

/**
 * The execution plan with everything that was left open chosen: it changes speed and memory, never a root. TOO_LARGE when one tick
 * of one shard does not fit a ShardOut.
 */
export function resolveExecution(plan: Plan, wanted: Partial<ExecutionPlan>, cluster: Cluster): ExecutionPlan {
  const workers = wanted.workers ?? cluster.workers;
  const blocks = blocksOf(plan).length;
  let shards = Math.max(1, Math.min(wanted.shards ?? (isSmall(plan) ? 1 : workers * SHARDS_PER_WORKER), blocks, LIMITS.shardsMax));
  // The slots of one span must fit what all have.
  while (shards > 1 && shards * Math.min(LIMITS.slotBytesMax, shardOutBytesPerTick(plan, shards)) > cluster.slotBytesMax) shards = Math.ceil(shards / 2);
  const speed = isBehaviorPlan(plan) ? AGENTS_PER_SECOND_ASSUMED * workers : cluster.exposuresPerSecond > 0 ? cluster.exposuresPerSecond : EXPOSURES_PER_SECOND_ASSUMED * workers;
  const perTick = Math.max(1, exposuresPlanned(plan).reduce((sum, count) => sum + count, 0) / Math.max(1, plan.ticks));
  const bytesPerTick = shardOutBytesPerTick(plan, shards);
  if (bytesPerTick > LIMITS.shardOutBytesMax) {
    throw new PopulaceError("TOO_LARGE", `one tick of one shard has ${bytesPerTick} bytes of statistics; at most ${LIMITS.shardOutBytesMax} are allowed: use fewer worlds, stimuli or personas, or more shards`, { bytesPerTick, limit: LIMITS.shardOutBytesMax });
  }
  const spanMax = Math.min(LIMITS.spanTicksMax, Math.floor(LIMITS.shardOutBytesMax / bytesPerTick), Math.max(1, plan.ticks));
  const spanWanted = wanted.spanTicks ?? Math.round((SPAN_SECONDS * speed) / perTick);
  const spanFits = shards * LIMITS.slotBytesMax <= cluster.slotBytesMax ? spanMax : Math.floor(cluster.slotBytesMax / (shards * bytesPerTick));
  const spanTicks = isCoupled(plan) ? 1 : Math.max(1, Math.min(spanWanted, spanMax, spanFits));
  const slotTicks = Math.max(1, Math.floor(cluster.slotBytesMax / (bytesPerTick * shards + mailBytesPerTick(plan))));
  const checkpointWanted = Math.min(Math.round((CHECKPOINT_SECONDS * speed) / perTick), slotTicks);
  return {
    shards,
    workers,
    backend: wanted.backend ?? "auto",
    population: wanted.population ?? "procedural",
    spanTicks,
    checkpointTicks: wanted.checkpointTicks ?? Math.max(spanTicks, checkpointWanted),
  };
}

/** Whether a run is one shard, and whole on one node, unless it is told otherwise: it is little work, and one output may hold all of its ticks. */
export function isSmall(plan: Plan): boolean {
  const work = exposuresPlanned(plan).reduce((sum, count) => sum + count, 0);
  return work < SMALL_SECONDS * (isBehaviorPlan(plan) ? AGENTS_PER_SECOND_ASSUMED : EXPOSURES_PER_SECOND_ASSUMED) && shardOutBytesPerTick(plan, 1) * plan.ticks <= LIMITS.shardOutBytesMax;
}

/**
 * The span that starts at `tick`: it ends after the span length, at a checkpoint boundary, after a tick in `healed` (whose
 * checkpoint was lost and is written again), or with the run.
 */
export function spanAt(execution: ExecutionPlan, tick: number, ticks: number, healed: readonly number[] = []): { readonly span: number; readonly checkpoint: boolean } {
  const every = execution.checkpointTicks;
  const boundary = every > 0 ? (Math.floor(tick / every) + 1) * every : ticks;
  const heals = healed.map((one) => one + 1).filter((one) => one > tick);
  const end = Math.min(tick + execution.spanTicks, boundary, ticks, ...heals);
  // The last tick needs none: a finished run is never continued.
  return { span: end - tick, checkpoint: heals.includes(end) || (every > 0 && end === boundary && end < ticks) };
}

/** Bytes of the messages of one tick, if every agent sends two. */
function mailBytesPerTick(plan: Plan): number {
  return isBehaviorPlan(plan) && plan.behavior.hasMessages ? plan.personas.reduce((sum, persona) => sum + persona.agents, 0) * 2 * 4 * MESSAGE_WORDS : 0;
}

/** Bytes of one tick in the largest ShardOut. */
export function shardOutBytesPerTick(plan: Plan, shards: number): number {
  const blocks = blocksOf(plan).length;
  const personas = Math.min(plan.personas.length, Math.ceil(blocks / shards) + 1);
  return personas * (plan.cells.length * plan.worlds * columnCount(plan.steps.length) * 4 + plan.scenarios.length * 8) + Math.ceil(blocks / shards) * 64;
}
