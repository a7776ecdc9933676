/** The bits of an agent's stage byte, and the digest of a block's state (SPEC.md, "State", "State digest"). */
export const STAGE = { step: 0x07, aware: 0x08, ticks: 0x70, tick: 0x10, left: 0x80, initial: 0x70 } as const;

/** Zeros where no digest is taken. Shared, read-only. */
export const NO_STATE_HASH = new Uint8Array(32);

/** The 32 bytes of the state digest; `state`: scenario by scenario `agents` pressure bytes, then `agents` stage bytes. */
export function stateDigest(state: Uint8Array, agents: number, scenarios: number): Uint8Array {
  const sums = new Uint32Array(8);
  const padded = new Uint8Array((agents + 15) & ~15), words = new Uint32Array(padded.buffer);
  for (let plane = 0; plane < 2 * scenarios; plane++) {
    padded.set(state.subarray(plane * agents, (plane + 1) * agents));
    const tag = Math.imul(plane + 1, 0x85ebca6b);
    for (let i = 0; i < words.length; i++) {
      let x = (words[i] + Math.imul(i + 1, 0x9e3779b1) + tag) | 0;
      x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
      x = Math.imul(x ^ (x >>> 15), 0xd35a2d97);
      x ^= x >>> 15;
      const y = Math.imul(x, 0x85ebca6b);
      sums[i & 3] += x;
      sums[4 + (i & 3)] += y ^ (y >>> 16);
    }
  }
  return new Uint8Array(sums.buffer);
}

/** Bytes of a block's state: two an agent and scenario. */
const stateBytes = (agents: number, scenarios: number): number => 2 * agents * scenarios;

/** A block's state before tick 0: pressure 0, no contact ever. */
export function initialState(agents: number, scenarios: number): Uint8Array {
  const state = new Uint8Array(stateBytes(agents, scenarios));
  for (let scenario = 0; scenario < scenarios; scenario++) state.fill(STAGE.initial, (2 * scenario + 1) * agents, (2 * scenario + 2) * agents);
  return state;
}
