export { startNode, type NodeOptions, type RunningNode } from "./shell/node-service.ts";
export type { JobAnswer, JobCall, NodeJobs } from "./shell/job-pool.ts";
export { measureExposures } from "./shell/calibration.ts";
export { startWorkersInline, type InlineWork, type WorkerPool } from "./shell/worker-pool.ts";
export { compileBehavior, type BehaviorRun } from "./behavior/compile.ts";
export type { BehaviorDescription } from "./behavior/description.ts";
