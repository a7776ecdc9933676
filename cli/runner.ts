import type { RunPlan } from "@populace/studies";
import { addressesOf, securityOf, type ClusterCommandOptions } from "./cluster-options.ts";
import type { EmbeddedRunner } from "./embedded.ts";

/** What runs plans for a command: this machine, or the cluster that was named. */
export async function runnerOf(
  options: ClusterCommandOptions & { readonly store: string; readonly workers?: number; readonly backend?: string; readonly force?: boolean },
  signal: AbortSignal, onNote: (note: string) => void, submission: { readonly label?: string; readonly priority?: number } = {},
): Promise<Pick<EmbeddedRunner, "warmUp" | "close"> & RunPlan> {
  const addresses = addressesOf(options);
  if (addresses === null) {
    const { embeddedRunner } = await import("./embedded.ts");
    return embeddedRunner({
      storeDir: options.store, onNote, force: options.force === true,
      ...(options.workers === undefined ? {} : { workers: options.workers }), ...(options.backend === undefined ? {} : { backend: options.backend }),
    });
  }
  const { clusterRunner } = await import("./cluster-client.ts");
  return clusterRunner({
    addresses, signal, onNote, isForced: options.force === true, ...securityOf(options), ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
    submission: { ...submission, ...(options.backend === undefined ? {} : { backend: options.backend }) },
  });
}
