import { RandomStream } from "@populace/domain";
import { expect, it } from "vitest";
import { isHashTick } from "./plan.ts";
import { initialState, stateDigest } from "./state.ts";

const randomState = (agents: number, scenarios: number): Uint8Array => {
  const random = RandomStream.of(agents, "state");
  return Uint8Array.from({ length: 2 * agents * scenarios }, () => random.integer(256));
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

it("the state digest is that of the specification, read in BigInt", () => {
  for (const [agents, scenarios] of [[1, 1], [16, 1], [17, 3], [300, 2]] as const) {
    const state = randomState(agents, scenarios);
    expect(hex(stateDigest(state, agents, scenarios))).toBe(slowDigest(state, agents, scenarios));
  }
});

it("one flipped bit, two agents changing places, and a byte more all change every part of it that sums their lane", () => {
  const agents = 100, state = randomState(agents, 2), whole = hex(stateDigest(state, agents, 2));
  for (let at = 0; at < state.length; at += 7) {
    const flipped = state.slice();
    flipped[at] ^= 1 << (at & 7);
    const changed = hex(stateDigest(flipped, agents, 2));
    // Both sums of the lane move, each a word of 8 digits.
    const parts = Array.from({ length: 8 }, (_, word) => changed.slice(8 * word, 8 * word + 8) !== whole.slice(8 * word, 8 * word + 8));
    const lane = ((at % agents) >> 2) & 3;
    expect(parts).toEqual(Array.from({ length: 8 }, (_, word) => (word & 3) === lane));
  }
  const swapped = state.slice();
  [swapped[3], swapped[19]] = [state[19], state[3]];
  expect(hex(stateDigest(swapped, agents, 2))).not.toBe(whole);
});

it("is taken every eighth tick, never after the last", () => {
  const ticks = (total: number): number[] => Array.from({ length: total }, (_, tick) => tick).filter((tick) => isHashTick({ ticks: total }, tick));
  expect([ticks(1), ticks(8), ticks(9), ticks(25)]).toEqual([[], [], [7], [7, 15, 23]]);
});

it("before tick 0 nobody is under pressure or was ever contacted", () => {
  expect(hex(initialState(2, 2))).toBe("0000707000007070");
});

function slowDigest(state: Uint8Array, agents: number, scenarios: number): string {
  const mask = 0xffffffffn, sums = new Array<bigint>(8).fill(0n);
  const mix = (value: bigint): bigint => {
    let x = value & mask;
    x = ((x ^ (x >> 16n)) * 0x21f0aaadn) & mask;
    x = ((x ^ (x >> 15n)) * 0xd35a2d97n) & mask;
    return x ^ (x >> 15n);
  };
  for (let plane = 0; plane < 2 * scenarios; plane++) {
    const bytes = new Uint8Array(Math.ceil(agents / 16) * 16);
    bytes.set(state.subarray(plane * agents, (plane + 1) * agents));
    for (let i = 0; i < bytes.length / 4; i++) {
      const word = BigInt(new DataView(bytes.buffer).getUint32(4 * i, true));
      const x = mix(word + BigInt(i + 1) * 0x9e3779b1n + BigInt(plane + 1) * 0x85ebca6bn);
      const y = (x * 0x85ebca6bn) & mask;
      sums[i & 3] = (sums[i & 3]! + x) & mask;
      sums[4 + (i & 3)] = (sums[4 + (i & 3)]! + (y ^ (y >> 16n))) & mask;
    }
  }
  const out = new DataView(new ArrayBuffer(32));
  sums.forEach((sum, at) => out.setUint32(4 * at, Number(sum), true));
  return Buffer.from(out.buffer).toString("hex");
}
