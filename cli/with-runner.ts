import type { EmbeddedRunner } from "./embedded.ts";
import type { Progress } from "./progress.ts";

/** Does the work, then clears the bar and closes the cluster of one process, also when the work failed or was interrupted. */
export async function withRunner<T>(runner: Pick<EmbeddedRunner, "close">, bar: Progress, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    bar.stop();
    await runner.close();
  }
}
