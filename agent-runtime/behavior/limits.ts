/** Bounds of a behavior, with what happens at them: BEHAVIOR_FAILED, or the process is replaced. */
export const BEHAVIOR_LIMITS = {
  /** Time of one block and tick, 16,384 agents: models of the size we know take 5 to 50 ms. The script is stopped beyond. */
  blockMs: 10_000,
  /** What the process is given on top before it is ended from outside. */
  graceMs: 20_000,
  /** Heap of the process, MiB: the behavior's own objects. Columns and messages lie outside it. */
  heapMiB: 256,
  /** Times a run may lose a process to something outside (a signal, the machine's memory) before it fails. */
  lossesMax: 3,
  /** One block of so many is computed a second time in a fresh process; so are all blocks of the first tick that a process computes. */
  doubleOneOf: 100,
} as const;
/** Agents of a block: large enough that a message to its process costs little beside it, small enough that 100,000 agents keep several busy. */
export const BLOCK_AGENTS_OF_BEHAVIORS = 16_384;
