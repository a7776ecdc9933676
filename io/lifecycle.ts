import { PopulaceError } from "@populace/domain";
import { IO_LIMITS } from "./limits.ts";

/** The orderly end of a process: steps run in reverse order of registration, once. */
export interface Lifecycle {
  /** Aborted with a PopulaceError INTERRUPTED when the stop begins. */
  readonly signal: AbortSignal;
  onStop(name: string, step: () => void | Promise<void>): void;
  /** Runs the steps; a step that throws is reported and does not hinder the others. Resolves with the failures. */
  stop(reason?: string): Promise<readonly { readonly name: string; readonly error: unknown }[]>;
}

/** Starts a lifecycle without steps. Nothing listens to signals of the process: the caller stops it. */
export function createLifecycle(): Lifecycle {
  const controller = new AbortController();
  const steps: { name: string; step: () => void | Promise<void> }[] = [];
  let stopping: Promise<{ name: string; error: unknown }[]> | null = null;
  return {
    signal: controller.signal,
    onStop(name, step) {
      steps.push({ name, step });
    },
    stop(reason = "stopped") {
      stopping ??= (async () => {
        controller.abort(new PopulaceError("INTERRUPTED", `${reason}; what was committed stays, repeat the command to go on`, {}));
        const failures: { name: string; error: unknown }[] = [];
        const deadline = AbortSignal.timeout(IO_LIMITS.stopMs);
        for (const { name, step } of steps.toReversed()) {
          try {
            await Promise.race([step(), new Promise((_, reject) => deadline.addEventListener("abort", () => reject(deadline.reason as Error), { once: true }))]);
          } catch (error) {
            failures.push({ name, error });
          }
        }
        return failures;
      })();
      return stopping;
    },
  };
}

/**
 * Stops the lifecycle at the first SIGINT or SIGTERM; the second one ends the process at once with status 130.
 * Returns a function that takes the handlers away again.
 */
export function stopOnSignals(lifecycle: Lifecycle, onSignal: (signal: string) => void = () => {}): () => void {
  const handler = (signal: NodeJS.Signals): void => {
    if (lifecycle.signal.aborted) process.exit(130);
    onSignal(signal);
    void lifecycle.stop(`interrupted (${signal})`);
  };
  process.on("SIGINT", handler);
  process.on("SIGTERM", handler);
  return () => {
    process.off("SIGINT", handler);
    process.off("SIGTERM", handler);
  };
}
