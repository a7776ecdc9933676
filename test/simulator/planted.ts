/**
 * Bugs that the simulator must find. None of them is a switch in the product: they are edits of its source, made while the module is loaded into a
 * process that was started for it, and an edit that no longer fits its file fails loudly.
 */
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { dirname, relative } from "node:path";

interface Edit {
  readonly file: string;
  readonly find: string;
  readonly put: string;
}

/** What is sealed for a tick depends on who seals it and when, as it will where events come from outside. No bug by itself. */
const LIVE_INPUTS: Edit = { file: "coordinator/shell/drive-run.ts", find: "eventIds: [] }", put: "eventIds: [`event-${term}-${Math.floor(clock.monotonicMs())}`] }" };

/** Edits by the name of the bug. "live inputs" is the control of "reopened without its sealed input", and no bug. */
export const PLANTED: Readonly<Record<string, readonly Edit[]>> = {
  "no fencing": [
    { file: "coordinator/core/commit.ts", find: "if (storedTerm > commit.term) return", put: "if (storedTerm < 0) return" },
    { file: "coordinator/core/commit.ts", find: "link.term > mine.term", put: "link.term < 0" },
    { file: "agent-runtime/core/node.ts", find: "open.term < state.term", put: "open.term < 0" },
    { file: "coordinator/shell/leadership.ts", find: "if (!isAlone && clock.monotonicMs() >= validUntilMs)", put: "if (validUntilMs < 0)" },
    { file: "coordinator/shell/leadership.ts", find: "lost.signal.throwIfAborted();", put: "" },
  ],
  "late slot": [{ file: "coordinator/core/barrier.ts", find: "out.tick !== barrier.tick || ", put: "" }],
  "duplicate counted": [{ file: "coordinator/core/barrier.ts", find: " || barrier.outs[out.shard] !== null", put: "" }],
  "no flush": [{ file: "coordinator/shell/drive-run.ts", find: "if (fresh.length === 0) return;\n      await store.flushed();", put: "if (fresh.length === 0) return;" }],
  "acknowledged before the flush": [{ file: "gateway/shell/outbox.ts", find: "await store.flushed();\n  return added;", put: "return added;" }],
  "no double run": [{ file: "agent-runtime/shell/second-computation.ts", find: "if (Buffer.compare(theirs, ours) === 0 && !isStateDue) continue;", put: "if (compared > 0) continue;" }],
  "live inputs": [LIVE_INPUTS],
  "reopened without its sealed input": [LIVE_INPUTS, { file: "coordinator/shell/drive-run.ts", find: "result.filled ? input : INPUT.decode(result.stored)", put: "input" }],
};

/** Has the modules that are loaded from here on carry the bug; call it before anything imports them. Throws for a name that is none. */
export function plant(name: string): void {
  const edits = PLANTED[name];
  if (edits === undefined) throw new Error(`"${name}" is no planted bug; there are: ${Object.keys(PLANTED).join(", ")}`);
  const root = dirname(dirname(import.meta.dirname));
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.startsWith("file:")) return loaded;
      const mine = edits.filter(({ file }) => file === relative(root, fileURLToPath(url)));
      if (mine.length === 0) return loaded;
      let source = typeof loaded.source === "string" ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
      for (const { file, find, put } of mine) {
        if (source.split(find).length !== 2) throw new Error(`planted bug "${name}": ${file} does not hold "${find}" exactly once; bring the edit up to date`);
        source = source.replace(find, put);
      }
      return { ...loaded, source };
    },
  });
}
