import { MEMORY_SHARE, admit, runSize } from "@populace/coordinator";
import { blocksOf, type ExecutionPlan, type Plan } from "@populace/protocol";

/** Longest run that is begun without force, by estimate. */
const RUN_SECONDS_MAX = 2 * 3600;

/** Who will carry a run. */
export interface Carrier {
  /** For messages, "this machine" unless told. */
  readonly name?: string;
  readonly workers: number;
  readonly availableBytes: number;
  readonly exposuresPerSecond: number;
}

/** How a run is executed so that it fits its carrier; TOO_LARGE with the numbers where it does not. `onNote` hears what was chosen and why. */
export function admitted(plan: Plan, execution: Partial<ExecutionPlan>, carrier: Carrier, isForced: boolean, onNote: (note: string) => void): Partial<ExecutionPlan> {
  const { name, workers, availableBytes, exposuresPerSecond } = carrier;
  const size = runSize(plan, Math.min(execution.shards ?? workers * 4, blocksOf(plan).length), workers);
  const machine = { ...(name === undefined ? {} : { name }), memoryBytes: Math.floor(availableBytes * MEMORY_SHARE), exposuresPerSecond, secondsMax: RUN_SECONDS_MAX };
  const admission = admit(size, machine, execution.population, isForced);
  if (admission.note !== "") onNote(admission.note);
  // A run that lives whole is one span without a checkpoint.
  const whole = admission.isWhole && execution.spanTicks === undefined ? { spanTicks: plan.ticks, checkpointTicks: plan.ticks } : {};
  return { ...execution, ...whole, population: admission.population };
}
