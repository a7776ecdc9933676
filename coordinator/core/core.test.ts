import { describe, expect, test } from "vitest";
import { LIMITS, RUN_STATE, type Plan, type RunState } from "@populace/protocol";
import { admit, runSize } from "./admission.ts";
import { decideCommit, decideRefusedAppend, type Link } from "./commit.ts";
import { isSmall, resolveExecution, shardOutBytesPerTick, spanAt } from "./execution.ts";
import { accumulate, exposuresPlanned } from "./ledger.ts";
import { decideLease, decideRefusedRenewal, look, nextLookMs } from "./lease.ts";
import { isSettled, stateAfter, transition } from "./run.ts";
import { shardMap } from "./shard-map.ts";

describe("run", () => {
  test("goes the drawn ways and no other", () => {
    const states = Object.keys(RUN_STATE) as RunState[];
    const legal = new Set<string>();
    for (const from of states) for (const to of states) {
      try {
        legal.add(`${from}>${transition(from, to)}`);
      } catch (error) {
        expect(error).toMatchObject({ code: "INTERNAL" });
      }
    }
    expect(legal.has("submitted>planned") && legal.has("running>done") && legal.has("paused>submitted") && legal.has("running>frozen")).toBe(true);
    expect(["done>running", "frozen>running", "submitted>done", "canceled>done", "paused>running"].filter((step) => legal.has(step))).toEqual([]);
    expect(legal.has("running>planned")).toBe(true);
    expect(legal.size).toBe(28);
    expect(states.filter(isSettled)).toEqual(["paused", "frozen", "done", "failed", "canceled", "removed"]);
  });

  test("ends by what ended it; a coordinator that lost the lead leaves it alone", () => {
    expect([stateAfter("STALE_TERM", false), stateAfter("INTERRUPTED", false), stateAfter("INTERRUPTED", true), stateAfter("DIVERGENCE", false), stateAfter("TOO_LARGE", false)]).toEqual([null, "paused", "canceled", "frozen", "failed"]);
  });
});

describe("shard map", () => {
  test("covers every block once, in order, and no shard exceeds its share by more than a block", () => {
    const seed = 20_261_123;
    let state = seed;
    const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    for (let round = 0; round < 300; round += 1) {
      const costs = Array.from({ length: 1 + Math.floor(next() * 60) }, () => 1 + Math.floor(next() * (round % 3 === 0 ? 1000 : 10)));
      const wanted = 1 + Math.floor(next() * 70);
      const shards = shardMap(costs, wanted);
      const total = costs.reduce((sum, cost) => sum + cost, 0);
      const context = `seed ${seed}, round ${round}: ${costs.join(" ")} into ${wanted}`;
      expect(shards.length, context).toBe(Math.min(wanted, costs.length));
      let first = 0;
      for (const [index, shard] of shards.entries()) {
        expect([shard.index, shard.first], context).toEqual([index, first]);
        expect(shard.count, context).toBeGreaterThan(0);
        const cost = costs.slice(shard.first, shard.first + shard.count).reduce((sum, one) => sum + one, 0);
        expect(cost, context).toBeLessThanOrEqual(total / shards.length + Math.max(...costs));
        first += shard.count;
      }
      expect(first, context).toBe(costs.length);
    }
  });

  test("without a block there is no run", () => {
    expect(() => shardMap([], 3)).toThrow(expect.objectContaining({ code: "BAD_STUDY" }));
  });
});

describe("commit", () => {
  const commit = { tick: 5, term: 3, prevRoot: "r4", root: "r5" };
  test("is made iff the last tick is the one before, the chain holds and no higher term has written", () => {
    expect(decideCommit({ tick: 4, root: "r4" }, 3, null, commit)).toEqual({ kind: "commit" });
    expect(decideCommit({ tick: 4, root: "r4" }, 4, null, commit)).toEqual({ kind: "stale-term", storedTerm: 4 });
    expect(decideCommit({ tick: 3, root: "r3" }, 3, null, commit)).toEqual({ kind: "out-of-order", expectedTick: 4 });
    expect(decideCommit({ tick: 4, root: "other" }, 3, null, commit)).toEqual({ kind: "divergence", committedRoot: "other" });
    expect(decideCommit({ tick: 7, root: "r7" }, 3, "r5", commit)).toEqual({ kind: "known" });
    expect(decideCommit({ tick: 7, root: "r7" }, 3, "other", commit)).toEqual({ kind: "divergence", committedRoot: "other" });
    expect(decideCommit({ tick: 7, root: "r7" }, 9, "r5", commit)).toMatchObject({ kind: "stale-term" });
  });

  test("refused by the log: own retry, an earlier leader's late span, higher term, lost records, a hole, two roots", () => {
    const mine = { tick: 5, term: 3, prevRoot: "r4", root: "r5" };
    const at = (tick: number, term = 3, root = `r${tick}`): Link => ({ tick, term, prevRoot: `r${tick - 1}`, root });
    expect(decideRefusedAppend(at(5), [], mine)).toBe("done");
    expect(decideRefusedAppend(at(7, 2), [at(5, 2), at(6, 2), at(7, 2)], mine)).toBe("done");
    expect(decideRefusedAppend(at(6, 4), [at(5), at(6, 4)], mine)).toBe("step-down");
    expect(decideRefusedAppend(at(3), [], mine)).toBe("append-missing");
    expect(decideRefusedAppend(null, [], mine)).toBe("append-missing");
    expect(decideRefusedAppend(at(7), [at(6), at(7)], mine)).toBe("rewrite");
    expect(decideRefusedAppend(at(5, 3, "other"), [], mine)).toBe("divergence");
  });
});

describe("lease", () => {
  const record = { holder: "a", nonce: "n", term: 7, address: "" };
  test("a rival waits a whole TTL of its own sight, then numbers above everything seen", () => {
    expect(decideLease({ record, revision: 4, unchangedSinceMs: 1000, looks: 8 }, 2500, 2000, 3, false, "b")).toEqual({ kind: "wait", ms: 500 });
    expect(decideLease({ record, revision: 4, unchangedSinceMs: 1000, looks: 10 }, 3000, 2000, 3, false, "b")).toEqual({ kind: "claim", term: 8 });
    expect(decideLease({ record, revision: 4, unchangedSinceMs: 1000, looks: 1 }, 1000, 2000, 12, true, "b")).toEqual({ kind: "claim", term: 13 });
    // Nobody has led yet.
    expect(decideLease({ record: null, revision: 0, unchangedSinceMs: 0, looks: 4 }, 100, 2000, 0, false, "b")).toEqual({ kind: "wait", ms: 400 });
    expect(decideLease({ record: null, revision: 0, unchangedSinceMs: 0, looks: 4 }, 500, 2000, 0, false, "b")).toEqual({ kind: "claim", term: 1 });
    // It slept between two looks, and heard nobody.
    expect(decideLease({ record: null, revision: 0, unchangedSinceMs: 0, looks: 2 }, 800, 2000, 0, false, "b")).toEqual({ kind: "wait", ms: nextLookMs({ record: null, revision: 0, unchangedSinceMs: 0, looks: 2 }, 2000) });
  });

  test("where the registry lost its store, no two candidates claim the same term, though they know of the same one", () => {
    const terms = Array.from({ length: 100 }, (_, index) => {
      const decision = decideLease({ record: null, revision: 0, unchangedSinceMs: 0, looks: 4 }, 500, 2000, 12, false, `nonce ${index}`);
      return decision.kind === "claim" ? decision.term : 0;
    });
    expect(new Set(terms).size).toBe(terms.length);
    expect(Math.min(...terms)).toBeGreaterThan(12);
    expect(decideLease({ record: null, revision: 0, unchangedSinceMs: 0, looks: 4 }, 0, 2000, 12, true, "nonce 7")).toEqual({ kind: "claim", term: terms[7] });
  });

  test("another leadership at a revision that was seen before is news (simulator seed 3105935)", () => {
    const sight = look(null, record, 1, 100);
    expect(look(sight, { ...record }, 1, 900)).toEqual({ ...sight, looks: 2 });
    expect(look(sight, record, 2, 900)).toEqual({ record, revision: 2, unchangedSinceMs: 900, looks: 1 });
    for (const other of [{ ...record, term: 8 }, { ...record, nonce: "o" }, null]) expect(look(sight, other, 1, 900)).toEqual({ record: other, revision: 1, unchangedSinceMs: 900, looks: 1 });
  });

  test("a refused renewal is the holder's own one, answered late, or the end of its lead", () => {
    expect(decideRefusedRenewal(record, "n", 7)).toBe("mine");
    expect(decideRefusedRenewal(record, "n", 6)).toBe("lost");
    expect(decideRefusedRenewal(record, "other", 7)).toBe("lost");
    expect(decideRefusedRenewal(null, "n", 7)).toBe("lost");
  });
});

const PLAN = {
  worlds: 4, ticks: 10, ordinalsMax: 2, slots: 16, factors: 0, arithmeticProfile: "nest8-2", steps: ["a", "b"], influence: null,
  weights: [], factorWeights: [], tables: [], bias: [], leaveBias: [], offset: [], cells: [{ scenario: 0, stimulus: 0 }, { scenario: 1, stimulus: 1 }],
  personas: [{ agents: 1_000_000 }, { agents: 500_000 }],
  scenarios: [{ name: "x", schedule: new Int16Array(40).fill(0) }, { name: "y", schedule: new Int16Array(40).fill(-1).fill(1, 0, 2) }],
} as unknown as Plan;

describe("execution", () => {
  test("counts the exposures that the schedule plans", () => {
    const planned = exposuresPlanned(PLAN);
    expect(planned[0]).toBe(2 * 1_500_000 + 1_500_000);
    expect(planned[1]).toBe(2 * 1_500_000);
  });

  test("spans end at checkpoints and at the end; the last tick has no checkpoint", () => {
    const execution = resolveExecution(PLAN, { spanTicks: 4, checkpointTicks: 6 }, { workers: 2, exposuresPerSecond: 0, slotBytesMax: LIMITS.slotStreamBytesMax });
    const spans: string[] = [];
    for (let tick = 0; tick < 10; ) {
      const { span, checkpoint } = spanAt(execution, tick, 10);
      spans.push(`${tick}+${span}${checkpoint ? "c" : ""}`);
      tick += span;
    }
    expect(spans).toEqual(["0+4", "4+2c", "6+4"]);
    expect(spanAt({ ...execution, checkpointTicks: 5 }, 5, 10)).toEqual({ span: 4, checkpoint: false });
    expect(spanAt({ ...execution, checkpointTicks: 0 }, 8, 10)).toEqual({ span: 2, checkpoint: false });
  });

  test("a coupled run has spans of one tick; shards never outnumber blocks", () => {
    const execution = resolveExecution({ ...PLAN, influence: {} as never }, { spanTicks: 9, shards: 1000 }, { workers: 2, exposuresPerSecond: 1e9, slotBytesMax: LIMITS.slotStreamBytesMax });
    expect(execution.spanTicks).toBe(1);
    expect(execution.shards).toBe(Math.ceil(1_000_000 / 65_536) + Math.ceil(500_000 / 65_536));
  });

  test("where slots have little room, the slots of one span fit it and checkpoints come as often as they fill it; a large room changes nothing", () => {
    const plan: Plan = { ...PLAN, worlds: 512 }, wanted = { shards: 16, spanTicks: 4 };
    const roomy = resolveExecution(plan, wanted, { workers: 2, exposuresPerSecond: 1e9, slotBytesMax: LIMITS.slotStreamBytesMax });
    expect(roomy.shards).toBe(16);
    const slotBytesMax = 1024 * 1024;
    const tight = resolveExecution(plan, wanted, { workers: 2, exposuresPerSecond: 1e9, slotBytesMax });
    const slotBytes = Math.min(LIMITS.slotBytesMax, tight.spanTicks * shardOutBytesPerTick(plan, tight.shards));
    expect(tight.shards).toBeGreaterThan(1);
    expect(tight.shards * slotBytes).toBeLessThanOrEqual(slotBytesMax);
    expect(roomy.shards * Math.min(LIMITS.slotBytesMax, roomy.spanTicks * shardOutBytesPerTick(plan, roomy.shards))).toBeGreaterThan(slotBytesMax);
    expect(tight.checkpointTicks).toBeLessThan(roomy.checkpointTicks);
  });

  test("a run of little work is one shard, unless told otherwise; one of much, or of large outputs, is many", () => {
    const cluster = { workers: 8, exposuresPerSecond: 1e9, slotBytesMax: LIMITS.slotStreamBytesMax }, small: Plan = { ...PLAN, personas: PLAN.personas.map((persona) => ({ ...persona, agents: 70_000 })) };
    expect(exposuresPlanned(PLAN).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(4e6);
    expect(isSmall(small)).toBe(true);
    expect(resolveExecution(small, {}, cluster).shards).toBe(1);
    expect(resolveExecution(small, { shards: 3 }, cluster).shards).toBe(3);
    expect(resolveExecution(PLAN, {}, cluster).shards).toBeGreaterThan(1);
    expect(isSmall({ ...small, worlds: 16_384, cells: Array.from({ length: 200 }, () => small.cells[0]) })).toBe(false);
  });

  test("sums that leave the exact integers are refused", () => {
    expect(() => accumulate(Float64Array.of(2 ** 53 - 1), Float64Array.of(1))).toThrow(expect.objectContaining({ code: "ARITHMETIC_RANGE" }));
  });
});

describe("admission", () => {
  const machine = { memoryBytes: 2 ** 30, exposuresPerSecond: 1e9, secondsMax: 3600 };
  const huge = (agents: number): Plan => ({ ...PLAN, personas: [{ ...PLAN.personas[0], agents }], scenarios: [{ name: "x", schedule: new Int16Array(20).fill(0) }] });
  const refusalOf = (work: () => unknown): { code: string; message: string; details: Record<string, unknown> } => {
    try {
      work();
    } catch (error) {
      return error as never;
    }
    throw new Error("nothing was refused");
  };

  test("a stored billion is refused with bytes an agent, what there is, and the procedural alternative; what it names as the limit is admitted", () => {
    const size = runSize(huge(1e9), 8, 2);
    expect([size.stateBytes, size.codeBytes]).toEqual([2e9, 32e9]);
    const refusal = refusalOf(() => admit(size, machine, "stored", true));
    expect(refusal).toMatchObject({ code: "TOO_LARGE", message: expect.stringMatching(/1,000,000,000 agents need 29\.8 GiB of codes and logits and 1\.9 GiB of state, 34 bytes an agent.*this machine allows 1\.0 GiB.*with --population procedural nothing is held/) });
    const limit = refusal.details["agentsLimit"] as number;
    expect(limit).toBeGreaterThan(2e7);
    expect(admit(runSize(huge(limit), 8, 2), machine, "stored", true)).toMatchObject({ population: "stored", isWhole: false });
  });

  test("a billion agents who do not meet live whole and need next to nothing", () => {
    const admission = admit(runSize(huge(1e9), 8, 2), machine, undefined, false);
    expect(admission).toMatchObject({ population: "procedural", isWhole: true, note: "" });
    expect(admission.bytes).toBeLessThan(300e6);
    // Too long for a whole, too large to be held: whole all the same, and it says what that means.
    expect(admit(runSize(huge(1e9), 8, 2), { ...machine, exposuresPerSecond: 1e7 }, undefined, true)).toMatchObject({ isWhole: true, note: expect.stringContaining("an interruption begins anew") });
  });

  test("agents who meet are held, and refused where their state does not fit", () => {
    const coupled = { ...huge(1e9), influence: {} as never };
    const refusal = refusalOf(() => admit(runSize(coupled, 8, 2), machine, "procedural", true));
    expect(refusal).toMatchObject({ code: "TOO_LARGE", message: expect.stringContaining("must be held") });
    const smaller = { ...huge(refusal.details["agentsLimit"] as number), influence: {} as never };
    expect(admit(runSize(smaller, 8, 2), machine, "procedural", true)).toMatchObject({ population: "procedural", isWhole: false });
  });

  test("codes that do not fit turn into a procedural population and say so; those that fit stay; the factor form has none", () => {
    const coupled: Plan = { ...PLAN, influence: {} as never };
    const size = runSize(coupled, 8, 2);
    expect(admit(size, machine, undefined, false)).toMatchObject({ population: "stored", note: "" });
    const tight = { ...machine, memoryBytes: 20e6 };
    expect(admit(size, tight, undefined, false)).toMatchObject({ population: "procedural", note: expect.stringContaining("procedural") });
    expect(admit(size, tight, "procedural", false).note).toBe("");
    expect(runSize({ ...coupled, factors: 4 }, 8, 2).codeBytes).toBe(0);
    expect(runSize({ ...coupled, arithmeticProfile: "nest16-2" }, 8, 2).codeBytes).toBe(size.codeBytes + 16 * size.agents);
  });

  test("a run beyond the time bound is begun only when forced; beyond the agent counter never", () => {
    const size = { ...runSize(PLAN, 8, 2), exposures: 1e14 };
    expect(() => admit(size, machine, undefined, false)).toThrow(expect.objectContaining({ code: "TOO_LARGE", message: expect.stringContaining("27.8 hours") }));
    expect(admit(size, machine, undefined, true).secondsEstimated).toBe(1e5);
    expect(() => admit({ ...size, agents: 2 ** 32 }, { ...machine, memoryBytes: 1e15 }, "procedural", true)).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });
});
