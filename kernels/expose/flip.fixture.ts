// A thread that holds kernels in WebAssembly against the reference: a module with a flipped bit may never come to an end.
import { parentPort } from "node:worker_threads";
import { differences, PARITY_CASES } from "./parity.fixture.ts";
import { exposeWasmFrom } from "./wasm.ts";

parentPort!.on("message", (bytes: Uint8Array) => {
  void found(bytes).then((how) => { parentPort!.postMessage(how); });
});

/** How the module's fault shows, or "" where it does not. */
async function found(bytes: Uint8Array): Promise<string> {
  try {
    const kernel = exposeWasmFrom(bytes);
    for (const parityCase of PARITY_CASES) {
      const [difference] = await differences(kernel, parityCase);
      if (difference !== undefined) return `${parityCase.name}: ${difference}`;
    }
    return "";
  } catch (error) {
    return String(error);
  }
}
