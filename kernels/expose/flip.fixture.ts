// A thread that holds kernels in WebAssembly against the reference: a module with a flipped bit may never come to an end.
import { parentPort } from "node:worker_threads";
import { meanFieldReference } from "../mean-field/reference.ts";
import { meanFieldWasmFrom } from "../mean-field/wasm.ts";
import { differences, PARITY_CASES } from "./parity.fixture.ts";
import { samplePlan } from "./sample-plan.ts";
import { exposeWasmFrom } from "./wasm.ts";

/** A module with a fault, or without, and which kernel's it is. */
export interface Flipped {
  readonly kernel: keyof typeof DIFFERENCES;
  readonly bytes: Uint8Array;
}

/** What differs from the reference, kernel by kernel; "" where nothing does. */
const DIFFERENCES = {
  async expose(bytes: Uint8Array): Promise<string> {
    for (const parityCase of PARITY_CASES) {
      const [difference] = await differences(exposeWasmFrom(bytes), parityCase);
      if (difference !== undefined) return `${parityCase.name}: ${difference}`;
    }
    return "";
  },
  async "mean-field"(bytes: Uint8Array): Promise<string> {
    for (const { name, seed, options } of PARITY_CASES) {
      if ("ties" in options) continue;
      const plan = samplePlan(seed, options), histogramOf = { persona: 0, world: plan.worlds - 1, stimulus: plan.stimuli.length - 1, step: plan.steps.length - 1, firstAgent: 1000, agents: 333 };
      const [found, expected] = await Promise.all([meanFieldWasmFrom(bytes), meanFieldReference].map(async (kernel) => {
        const session = await kernel.open(plan);
        return JSON.stringify([[...await session.rates(300)], [...await session.histogram(histogramOf)]]);
      }));
      if (found !== expected) return name;
    }
    return "";
  },
};

parentPort!.on("message", ({ kernel, bytes }: Flipped) => {
  void DIFFERENCES[kernel](bytes).catch(String).then((how) => { parentPort!.postMessage(how); });
});
