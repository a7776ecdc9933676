import { samplePlan } from "@populace/kernels/sample-plan";
import type { ExecutionPlan, Plan } from "@populace/protocol";

interface LostRun {
  readonly name: string;
  readonly plan: Plan;
  readonly execution: Partial<ExecutionPlan>;
  readonly wanted: "auto" | "webgpu";
  /** The backends that computed it; null where it is refused. */
  readonly backend: string | null;
}

const sizes = { agents: [900, 300], ticks: 10, worlds: 3, worldShift: 8 };

/** Small runs for a GPU that fails under them. */
export const LOST_RUNS: readonly LostRun[] = [
  { name: "held agents, lost after a checkpoint", plan: samplePlan(19, { ...sizes, influence: true, gapTicks: 1 }), execution: { workers: 1, checkpointTicks: 3 }, wanted: "webgpu", backend: "wasm+webgpu" },
  { name: "whole lives, lost again and again", plan: samplePlan(23, { ...sizes, factors: 4 }), execution: { workers: 1 }, wanted: "webgpu", backend: "wasm" },
  { name: "no room, left open", plan: samplePlan(29, { ...sizes, ticks: 3 }), execution: { workers: 1 }, wanted: "auto", backend: "wasm" },
  { name: "no room, asked for", plan: samplePlan(31, { ...sizes, ticks: 3 }), execution: { workers: 1 }, wanted: "webgpu", backend: null },
];
