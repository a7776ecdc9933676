import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Packr } from "msgpackr";
import { COMMIT, RUN_RECORD, SHARD_OUT, TICK_OPEN, decodePlan, encodePlan, keepDecoded, merkleRoot, planHash, rootOf, runIdOf, runSpecOf, schemaOf, sumsHashOf, toHex, type Plan, type RunRecord, type ShardOut } from "./mod.ts";

const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

const PLAN: Plan = {
  kernelSpec: "expose-2", arithmeticProfile: "nest8-2", seed: [1, 2], worlds: 2, ticks: 3, ordinalsMax: 1, slots: 16, slotKind: new Uint8Array(16).fill(1, 0, 1),
  tableOffset: new Int16Array(16).fill(-1), tableLength: 0, factors: 4, steps: ["open", "click"], stimuli: [{ id: "a", contact: true }, { id: "none", contact: false }],
  personas: [
    { id: "p", key: [3, 4], agents: 100, worldShift: 4, returnThreshold: 5, copula: new Int16Array([16384]), traits: [{ slot: 0, kind: "grid", quantiles: new Int32Array(257).fill(-3), offset: new Int32Array([1, 2]), scale: new Int32Array([-1, 7]) }] },
    { id: "q", key: [5, 6], agents: 70_000, worldShift: 4, returnThreshold: 0, copula: new Int16Array(0), traits: [{ slot: 1, kind: "level", cumulative: new Uint32Array([1, 65536, 2, 65536]), codes: new Int8Array([0, 64]) }] },
  ],
  scenarios: [{ name: "s", schedule: new Int16Array([0, 1, 0, 1, 0, -1]) }], cells: [{ scenario: 0, stimulus: 0 }, { scenario: 0, stimulus: 1 }],
  weights: new Int16Array(2 * 2 * 2 * 16).fill(-7), tables: new Int32Array(0), bias: new Int32Array(16).fill(-9), leaveBias: new Int32Array(8), factorWeights: new Int16Array(64).fill(3), drawBits: new Uint8Array([0, 4, 5, 6]), leaveBits: new Uint8Array([8, 0, 0, 9]), offset: new Int32Array(24),
  pressureWeight: new Int32Array([3, 4]), pressureLeaveWeight: -2, pressureGain: 10, pressureGainResponse: 3, gapTicks: 2,
  influence: { rowStart: new Int32Array([0, 1, 1]), source: new Int32Array([1]), weight: new Int32Array([65536]), shareThreshold: new Uint32Array([1, 0xffff_ffff]), warmthDecay: 5, warmthGain: 6, warmthMax: 7, awareGain: 8, awareMax: 0xffff_ffff, awareWeight: new Int32Array([1, 2]) },
};

describe("plan", () => {
  test("comes back from its bytes field by field, at any alignment of the source", () => {
    const bytes = encodePlan(PLAN);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(decodePlan(bytes)).toEqual(PLAN);
    expect(decodePlan(shifted.subarray(3))).toEqual(PLAN);
  });

  test("has the same bytes whatever was written before it", () => {
    const before = encodePlan(PLAN);
    encodePlan({ ...PLAN, steps: ["opened at last", "clicked"], weights: new Int16Array(PLAN.weights.length + 5).fill(-1) });
    expect(encodePlan(PLAN)).toEqual(before);
  });

  test("has a hash that a change of any field changes", () => {
    const base = planHash(PLAN, sha256);
    expect(planHash(structuredClone(PLAN), sha256)).toBe(base);
    const changed: Plan[] = [
      { ...PLAN, seed: [1, 3] }, { ...PLAN, ticks: 4 }, { ...PLAN, gapTicks: 3 }, { ...PLAN, factors: 8 }, { ...PLAN, arithmeticProfile: "nest16-2" }, { ...PLAN, drawBits: PLAN.leaveBits }, { ...PLAN, influence: null }, { ...PLAN, weights: PLAN.weights.map((weight, index) => (index === 5 ? weight + 1 : weight)) },
      { ...PLAN, steps: ["open", "clicks"] }, { ...PLAN, scenarios: [{ ...PLAN.scenarios[0], name: "t" }] }, { ...PLAN, personas: PLAN.personas.toReversed() },
    ];
    expect(new Set([base, ...changed.map((plan) => planHash(plan, sha256))]).size).toBe(changed.length + 1);
  });

  test("cut short, padded or of another kernel is refused by name", () => {
    const bytes = encodePlan(PLAN);
    expect(() => decodePlan(bytes.subarray(0, bytes.length - 9))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    expect(() => decodePlan(new Uint8Array([...bytes, 0]))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    expect(() => decodePlan(encodePlan({ ...PLAN, arithmeticProfile: "other" as never }))).toThrow(expect.objectContaining({ code: "BAD_STUDY" }));
    expect(() => encodePlan({ ...PLAN, gapTicks: 1.5 })).toThrow(expect.objectContaining({ code: "ARITHMETIC_RANGE" }));
  });

  test("gives a run id that knows the plan, seed, agents and ticks and nothing of the execution", () => {
    const spec = runSpecOf(PLAN, planHash(PLAN, sha256));
    expect(spec).toMatchObject({ agents: 70_100, ticks: 3, seed: [1, 2] });
    const ids = [spec, { ...spec, planHash: spec.planHash.replace(/^./, "f") + "0" }, { ...spec, seed: [2, 1] as const }, { ...spec, agents: 1 }, { ...spec, ticks: 1 }].map((one) => runIdOf(one, sha256));
    expect(new Set(ids).size).toBe(5);
  });
});

describe("roots", () => {
  test("a Merkle root of three leaves equals the tree written out by hand", () => {
    const leaves = Uint8Array.from({ length: 192 }, (_, index) => index);
    const leaf = (index: number): Buffer => createHash("sha256").update(Buffer.concat([Buffer.from([0]), leaves.subarray(index * 64, index * 64 + 64)])).digest();
    const inner = (left: Buffer, right: Buffer): Buffer => createHash("sha256").update(Buffer.concat([Buffer.from([1]), left, right])).digest();
    expect(toHex(merkleRoot(leaves, sha256))).toBe(inner(inner(leaf(0), leaf(1)), leaf(2)).toString("hex"));
  });

  test("sums above 2^32 enter as 64-bit little-endian integers", () => {
    const sums = [0, 1, 0xffff_ffff, 2 ** 32, 2 ** 53 - 1];
    const words = Buffer.alloc(sums.length * 8);
    sums.forEach((sum, index) => words.writeBigUInt64LE(BigInt(sum), index * 8));
    expect(sumsHashOf(Float64Array.from(sums), sha256)).toBe(createHash("sha256").update(words).digest("hex"));
  });

  test("every part changes the root", () => {
    const hex = (digit: string): string => digit.repeat(64);
    const leaves = new Uint8Array(64);
    const roots = [
      rootOf(hex("0"), 0, hex("1"), leaves, hex("2"), sha256), rootOf(hex("a"), 0, hex("1"), leaves, hex("2"), sha256), rootOf(hex("0"), 1, hex("1"), leaves, hex("2"), sha256),
      rootOf(hex("0"), 0, hex("b"), leaves, hex("2"), sha256), rootOf(hex("0"), 0, hex("1"), leaves.map((_, index) => (index === 63 ? 1 : 0)), hex("2"), sha256), rootOf(hex("0"), 0, hex("1"), leaves, hex("c"), sha256),
    ];
    expect(new Set(roots).size).toBe(roots.length);
  });
});

describe("messages", () => {
  test("come back with typed arrays, from any alignment", () => {
    const out = { run: "r", attempt: 1, tick: 0, span: 2, shard: 0, view: 1, incarnation: "n", backend: "reference", states: new Uint8Array(32).fill(5), hashes: new Uint8Array(128).fill(9), personas: [0, 1] as const, counts: new Uint32Array([1, 2, 0xffff_ffff]), sections: new Uint32Array(0), mail: new Uint32Array([7, 1, 2, 3, 4]) };
    const bytes = SHARD_OUT.encode(out);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(SHARD_OUT.decode(shifted.subarray(1))).toEqual(out);
    const commit = { run: "r", attempt: 1, term: 3, tick: 7, prevRoot: "aa", inputHash: "bb", root: "cc", sumsHash: "dd", checkpoint: ["ee"], sections: new Float64Array([1, 2 ** 40]), manifest: ["e"], tickSums: new Float64Array([3]), sums: "", exposures: 3, authors: ["n reference"], backends: ["reference"], seconds: 0.5 };
    expect(COMMIT.decode(COMMIT.encode(commit))).toEqual(commit);
  });

  test("are read alike by the short way and, from a map in another order, by msgpackr; cut short anywhere they are CORRUPT", () => {
    const hex = "0af9".repeat(16);
    const record: RunRecord = {
      run: hex, spec: { kernelSpec: "expose-2", arithmeticProfile: "nest8-2", planHash: hex, seed: [1, 2 ** 32 - 1], agents: 70_000, ticks: 3 }, number: 255, label: "\u00e9t\u00e9 \u{1f600}".repeat(9), priority: -40_000, attempt: 256,
      firstAttempt: 65_536, term: 2 ** 40, change: 127, view: 128, state: "running", wanted: { shards: 3 }, execution: { shards: 3, workers: 1, backend: "auto", population: "stored", spanTicks: 1, checkpointTicks: 0 },
      shards: Array.from({ length: 20 }, (_, index) => ({ index, first: index * 300, count: 1 })), owners: ["n".repeat(300), ""], unfit: [], checkedTick: -1, uncheckedFrom: -1, dispute: null, code: "", reason: "\ufeff x".repeat(20_000), tick: -1, root: hex, exposures: 2 ** 53 - 1, seconds: 0.1, backends: ["reference"], suspectFrom: -1,
    };
    const out: ShardOut = { run: hex, attempt: 1, tick: 0, span: 2, shard: 0, view: 1, incarnation: "n", backend: "reference", states: new Uint8Array(0), hashes: new Uint8Array(300).fill(9), personas: [0, -200], counts: new Uint32Array(20_000).fill(7), sections: new Uint32Array(1), mail: new Uint32Array(0) };
    const packr = new Packr({ useRecords: false, int64AsType: "number" });
    for (const [codec, message] of [[RUN_RECORD, record], [SHARD_OUT, out]] as const) {
      const bytes = codec.encode(message as never);
      expect(codec.decode(bytes)).toEqual(message);
      expect(codec.read(bytes)).toEqual(message);
      expect(Buffer.from(packr.pack(packr.unpack(bytes))).equals(bytes)).toBe(true);
      const { schema, ...fields } = packr.unpack(bytes) as Record<string, unknown>;
      expect(codec.decode(packr.pack(Object.fromEntries([["schema", schema], ...Object.entries(fields).toReversed()])))).toEqual(message);
      for (let length = 0; length < bytes.length; length += 1 + Math.floor(length / 50)) {
        expect(() => codec.decode(bytes.subarray(0, length))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
        expect(codec.read(bytes.subarray(0, length))).toBe(null);
      }
    }
    expect(COMMIT.read(TICK_OPEN.encode({ run: "r", attempt: 1, term: 1, view: 1, tick: 0, span: 1, prevRoot: "", inputHash: "", checkpoint: false }))).toBe(null);
    expect([schemaOf(SHARD_OUT.encode(out)), schemaOf(new Uint8Array(0)), schemaOf(new Uint8Array(40).fill(0xde))]).toEqual(["ShardOut/3", "", ""]);
  });

  test("of another schema, with a missing field, or plain noise are CORRUPT", () => {
    const open = { run: "r", attempt: 1, term: 1, view: 1, tick: 0, span: 1, prevRoot: "", inputHash: "", checkpoint: false };
    expect(() => COMMIT.decode(TICK_OPEN.encode(open))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    expect(() => TICK_OPEN.decode(new Uint8Array([0xc1, 1, 2]))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    expect(() => TICK_OPEN.encode({ ...open, tick: -1 })).toThrow(expect.objectContaining({ code: "CORRUPT" }));
  });

  test("that are kept come back as one object from one array, and are held to their schema as before", () => {
    const open = { run: "r", attempt: 1, term: 1, view: 1, tick: 0, span: 1, prevRoot: "", inputHash: "", checkpoint: false };
    const bytes = TICK_OPEN.encode(open);
    expect(TICK_OPEN.decode(bytes)).not.toBe(TICK_OPEN.decode(bytes));
    keepDecoded();
    expect(TICK_OPEN.decode(bytes)).toBe(TICK_OPEN.decode(bytes));
    expect(TICK_OPEN.decode(bytes)).toEqual(open);
    expect(TICK_OPEN.decode(new Uint8Array(bytes))).not.toBe(TICK_OPEN.decode(bytes));
    expect(() => COMMIT.decode(bytes)).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    expect(COMMIT.read(bytes)).toBe(null);
  });
});

test("hexadecimal digits are Node's, of any number of bytes", () => {
  for (const length of [0, 1, 32, 1024, 1025, 5000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 37) & 255);
    expect(toHex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
  }
});
