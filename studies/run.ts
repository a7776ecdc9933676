import type { ExecutionPlan, Plan } from "@populace/protocol";

/** What a finished run left behind: integer counts and the chain of roots. */
export interface RunOutcome {
  readonly runId: string;
  readonly rootHash: string;
  /** Hex root of each tick. */
  readonly roots: readonly string[];
  readonly exposures: number;
  readonly seconds: number;
  readonly backend: string;
  readonly execution: ExecutionPlan;
  /** cells x personas x worlds x columns (protocol `columnCount`), summed over ticks; integers. */
  readonly counts: Float64Array;
  /** ticks x cells x personas x columns; integers. */
  readonly tickCounts: Float64Array;
  /** True when a run of this id was already committed and was read back instead of computed. */
  readonly cached: boolean;
  /** First tick from which blocks drawn for a second computation on another node were computed once only, for it was given up; null = none were. */
  readonly uncheckedFrom: number | null;
}

export interface RunProgress {
  readonly tick: number;
  readonly ticks: number;
  readonly exposures: number;
  readonly exposuresTotal: number;
}

/** Runs a plan to its last tick. The command line injects the embedded cluster; a cluster client will be another. */
export type RunPlan = (
  plan: Plan,
  execution: Partial<ExecutionPlan>,
  options?: { readonly onProgress?: (progress: RunProgress) => void; readonly signal?: AbortSignal; readonly fresh?: boolean },
) => Promise<RunOutcome>;
