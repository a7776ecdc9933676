export { startCoordinator, type Coordinator, type CoordinatorOptions, type SubmitOptions } from "./shell/service.ts";
export { runReader, type RunReader } from "./shell/run-reader.ts";
export { createTurns, type Turns } from "./shell/turns.ts";
export { boundsFor, type ScheduleBounds, type ScheduledRun } from "./core/schedule.ts";
export type { CoordinatorMetrics, Counters } from "./shell/metrics.ts";
export type { Membership, Member } from "./core/membership.ts";
export { admit, runSize, MEMORY_SHARE, type Admission, type Machine, type RunSize } from "./core/admission.ts";
export { backup, restore, type ArchiveSummary } from "./shell/archive.ts";
export { announceRelease, releasesOf } from "./shell/releases.ts";
