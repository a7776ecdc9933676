import { createBlock, createWorkspace, restoreBlock, stepBlock } from "../expose/reference.ts";
import type { Backend } from "./backend.ts";

/** The plain TypeScript kernel on the calling thread. */
export const referenceBackend: Backend = {
  name: "reference",
  open(plan) {
    const workspace = createWorkspace(plan);
    return {
      createBlock: (block, form, state) => (state === undefined ? createBlock(plan, block, form) : restoreBlock(plan, block, form, state)),
      stepBlock: (target, tick, climate, output) => stepBlock(plan, target, tick, climate, output, workspace),
    };
  },
};
