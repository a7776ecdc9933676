export { startCoordinator, type Coordinator, type CoordinatorOptions, type SubmitOptions } from "./shell/service.ts";
export { runReader, type RunReader, type RunSummary } from "./shell/run-reader.ts";
export { admit, runSize, MEMORY_SHARE, type Admission, type Machine, type RunSize } from "./core/admission.ts";
