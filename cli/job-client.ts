import { open } from "node:fs/promises";
import { PopulaceError } from "@populace/domain";
import { sha256, sha256Hex } from "@populace/io";
import { LIMITS, rootOfJob } from "@populace/protocol";
import type { Run } from "@populace/protocol/control";
import { dataFileSize, jobOf, runFunction, type FunctionCall } from "@populace/studies";
import { endedError, type ClusterClient } from "./cluster-client.ts";
import { withCluster, type ClusterCommandOptions } from "./cluster-options.ts";
import type { CommandContext } from "./command.ts";
import { paint } from "./output.ts";

/** Who waits for a job, and what they hear of it. */
interface Waiting {
  readonly signal: AbortSignal;
  readonly onSent?: (bytes: number, bytesTotal: number) => void;
  readonly onRun?: (run: Run) => void;
}

/** Submissions of one job: its parts may be cleared away between being sent and being named, and a refusal names only some. */
const SUBMISSIONS_MAX = 20;

/** The output of a function: computed on the cluster that the options name, else here, with the same bits. */
export async function callOn(context: CommandContext, cluster: ClusterCommandOptions, call: FunctionCall): Promise<Uint8Array> {
  if (cluster.cluster === undefined) {
    const reading = context.progress("reading", "B");
    return runFunction(call, { onReading: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal), blocking: (compute) => { reading.stop(); return context.blocking(compute); }, signal: context.signal }).finally(() => reading.stop());
  }
  const sending = context.progress("sending", "B");
  let said = "";
  return withCluster(context, cluster, (client) => runJobOn(client, call, {
    signal: context.signal, onSent: (sent, total) => sending.update(sent, total),
    onRun({ run, state }) {
      sending.stop();
      if (state !== said) context.say(paint("dim", `${call.function} ${run.slice(0, 12)} on the cluster: ${state}`));
      said = state;
    },
  })).finally(() => sending.stop());
}

/**
 * Runs a job on a cluster, or reads back what an earlier submission came to. Its files go there in parts, only those that are not there. The output
 * is proven by the run's root. Rejects with the code and the message of the function where it threw; TOO_LARGE for a file above the bound;
 * INTERRUPTED when the run was ended, or when the signal ended the waiting: the run then goes on.
 */
async function runJobOn(cluster: ClusterClient, call: FunctionCall, { signal, onSent, onRun }: Waiting): Promise<Uint8Array> {
  const limit = LIMITS.jobPartBytes * LIMITS.jobPartsMax;
  let bytesTotal = 0;
  const parts: Record<string, string[]> = {};
  for (const [name, file] of Object.entries(call.files)) {
    const bytes = dataFileSize(file);
    bytesTotal += bytes;
    if (bytesTotal > limit) throw new PopulaceError("TOO_LARGE", `${file}: ${bytes} bytes; a cluster takes files of at most ${limit} in all: do without --cluster, or name a random part of it`, { file, bytes, limit });
    const addresses: string[] = parts[name] = [];
    await eachPart(file, async (part) => void addresses.push(sha256Hex(part)));
  }
  const plan = jobOf(call, parts);
  let run = await submitted();
  try {
    for await (run of cluster.watch(run.run)) onRun?.(run);
  } catch (error) {
    if (!signal.aborted) throw error;
    const short = run.run.slice(0, 12);
    throw new PopulaceError("INTERRUPTED", `job ${short} goes on in the cluster; "populace runs watch ${short}" follows it, "populace runs cancel ${short}" ends it`, { run: run.run });
  }
  if (run.state === "failed") throw new PopulaceError(endedError(run).code, run.reason, { run: run.run });
  if (run.state !== "done") throw endedError(run);
  const output = await cluster.file("Output", { run: run.run });
  if (rootOfJob(run.run, output, sha256) !== run.root) throw new PopulaceError("CORRUPT", `the output of job ${run.run.slice(0, 12)} does not match its root; ask again`, { run: run.run });
  return output;

  async function submitted(): Promise<Run> {
    for (let submissions = 1; ; submissions += 1) {
      try {
        return await cluster.submit(plan, {}, { label: plan.job.function });
      } catch (error) {
        const missing = error instanceof PopulaceError && error.code === "NOT_FOUND" ? error.details["missing"] : undefined;
        if (!Array.isArray(missing) || submissions >= SUBMISSIONS_MAX) throw error;
        await send(new Set(missing as readonly string[]));
      }
    }
  }

  /** From the first one that is missing on: what a refusal does not name may be missing too. */
  async function send(missing: ReadonlySet<string>): Promise<void> {
    let sent = 0, isBehind = false;
    for (const [name, file] of Object.entries(call.files)) {
      await eachPart(file, async (part) => {
        const hash = sha256Hex(part);
        isBehind ||= missing.has(hash);
        if (isBehind) {
          if (!parts[name].includes(hash)) throw new PopulaceError("BAD_DATA", `${file} was changed while it was sent; repeat the command`, { file });
          await cluster.call("Put", { bytes: part });
        }
        onSent?.(sent += part.length, bytesTotal);
      });
    }
  }
}

async function eachPart(path: string, use: (part: Uint8Array) => Promise<void>): Promise<void> {
  const file = await open(path);
  try {
    for (;;) {
      const part = new Uint8Array(LIMITS.jobPartBytes);
      let length = 0;
      for (let read = 1; read > 0 && length < part.length; length += read) read = (await file.read(part, length, part.length - length)).bytesRead;
      if (length === 0) return;
      await use(part.subarray(0, length));
    }
  } finally {
    await file.close();
  }
}
