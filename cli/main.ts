import { constants, enableCompileCache, getCompileCacheDir } from "node:module";

// Some 400 modules: read, stripped of types and compiled anew they take half a second of every command and every worker thread. Node keeps the
// result in the folder for temporary files; worker threads and processes we start find it through their environment.
if (enableCompileCache().status === constants.compileCacheStatus.ENABLED) process.env["NODE_COMPILE_CACHE"] = getCompileCacheDir();
const { runPopulace } = await import("./program.ts");

// A reader such as `head` may close the pipe early; that is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const interruption = new AbortController();
/** One Ctrl-C reaches a process group through several hands; repeats this close together are the same one. */
const SAME_INTERRUPT_MS = 300;
let firstInterruptMs: number | null = null;
const interrupt = (): void => {
  const nowMs = performance.now();
  if (firstInterruptMs !== null) {
    if (nowMs - firstInterruptMs > SAME_INTERRUPT_MS) process.exit(130);
    return;
  }
  firstInterruptMs = nowMs;
  process.stderr.write("\nstopping after the work in hand; Ctrl-C again exits at once\n");
  interruption.abort();
};
process.on("SIGINT", interrupt);
process.on("SIGTERM", interrupt);

process.exitCode = await runPopulace(process.argv.slice(2), interruption.signal);
// Worker threads and stores are closed by now; a stray handle must not keep a finished command alive.
if (process.stdout.writableLength === 0) process.exit();
process.stdout.once("drain", () => process.exit());
