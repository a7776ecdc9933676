// A node's worker thread that loses its GPU whenever it works on a span of the second half of a run, or on a run that is one span; and whose GPU has no
// room for plans of three ticks.
import { parentPort } from "node:worker_threads";
import type { Plan } from "@populace/protocol";
import { Gpu } from "../../kernels/backends/gpu.ts";

const { batch, buffer } = Gpu.prototype;
let isLosing = false, hasRoom = true;
parentPort!.on("message", (message: { readonly kind: string; readonly plan?: Plan; readonly tick?: number; readonly next?: unknown }) => {
  if (message.kind === "open") hasRoom = message.plan!.ticks !== 3;
  if (message.kind === "compute") isLosing = message.tick! >= 5 || message.next !== null;
});
Gpu.prototype.batch = function (this: Gpu, label) {
  const made = batch.call(this, label);
  if (isLosing) this.destroy();
  return made;
};
Gpu.prototype.buffer = function (this: Gpu, label, bytes) {
  return buffer.call(this, label, hasRoom ? bytes : this.limits.storageBytesMax + bytes);
};

await import("../../agent-runtime/shell/worker.ts");
