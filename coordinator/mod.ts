export { startCoordinator, type Coordinator, type CoordinatorOptions, type RunSummary, type SubmitOptions } from "./shell/service.ts";
export { admit, runSize, MEMORY_SHARE, type Admission, type Machine, type RunSize } from "./core/admission.ts";
export { EXPOSURES_PER_SECOND_ASSUMED } from "./core/execution.ts";
