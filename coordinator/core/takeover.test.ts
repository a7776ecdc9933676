import { RandomStream } from "@populace/domain";
import { jobPlan, type Heartbeat, type RunRecord } from "@populace/protocol";
import { describe, expect, test } from "vitest";
import type { Link } from "./commit.ts";
import { backendWanted, checkNodes, isFit, mayCompute, unfitBackend } from "./node-fit.ts";
import { decideFailure } from "./node-failure.ts";
import { newerRecord, reconcile } from "./takeover.ts";

const RUN = "run";
const link = (tick: number, term = 1, root = `r${tick}`, prevRoot = tick === 0 ? RUN : `r${tick - 1}`): Link => ({ tick, term, prevRoot, root });
const chain = (ticks: number): Link[] => Array.from({ length: ticks }, (_, tick) => link(tick));
const none = (): boolean => false;

describe("reconciliation of store and COMMIT", () => {
  test("whichever is behind is completed from the other", () => {
    expect(reconcile(RUN, chain(5), none, chain(3))).toMatchObject({ kind: "chain", append: [link(3), link(4)], adopt: [], discardFrom: null, rewrite: false });
    expect(reconcile(RUN, chain(2), none, chain(4))).toMatchObject({ kind: "chain", append: [], adopt: [link(2), link(3)], discardFrom: null, rewrite: false });
    expect(reconcile(RUN, [], none, [])).toMatchObject({ chain: [], append: [], adopt: [] });
  });

  test("a tentative commit gives way to COMMIT, a final one does not: then two commits of one tick stand against each other", () => {
    const mine = [...chain(2), link(2, 1, "other"), link(3, 1, "r3'", "other")];
    expect(reconcile(RUN, mine, (tick) => tick >= 2, chain(3))).toMatchObject({ kind: "chain", discardFrom: 2, adopt: [link(2)], append: [] });
    expect(reconcile(RUN, mine, (tick) => tick >= 3, chain(3))).toEqual({ kind: "conflict", tick: 2, roots: ["other", "r2"] });
    expect(reconcile(RUN, [], none, [...chain(3), link(1, 2, "x")])).toEqual({ kind: "conflict", tick: 1, roots: ["r1", "x"] });
  });

  test("a hole in the log is filled from the store and the log rewritten; without the store, what lies beyond says which roots must come out", () => {
    const holed = [link(0), link(1), link(3), link(4)];
    expect(reconcile(RUN, chain(5), none, holed)).toMatchObject({ rewrite: true, append: chain(5), adopt: [] });
    const lost = reconcile(RUN, chain(2), none, holed);
    expect(lost).toMatchObject({ kind: "chain", chain: chain(2), rewrite: true, append: chain(2) });
    expect([...(lost as Extract<typeof lost, { kind: "chain" }>).expected]).toEqual([[3, "r3"], [4, "r4"]]);
  });

  test("of any losses and repetitions: a chain that both sides then hold, that contradicts nothing final, and that a second look leaves alone", () => {
    for (let seed = 0; seed < 2000; seed += 1) {
      const random = RandomStream.of(seed, "reconcile"), pick = (below: number): number => Math.floor(random.uniform() * below);
      const whole = chain(1 + pick(8));
      const stored = whole.slice(0, pick(whole.length + 1));
      // Tentative: the end of the store, made anew with other roots at times.
      const tentativeFrom = stored.length === 0 ? 0 : pick(stored.length + 1);
      if (pick(2) === 0) for (let tick = tentativeFrom; tick < stored.length; tick += 1) stored[tick] = link(tick, 1, `q${tick}`, tick === tentativeFrom ? stored[tick].prevRoot : `q${tick - 1}`);
      const logged = whole.filter(() => pick(4) > 0).flatMap((one) => (pick(6) === 0 ? [one, { ...one, term: 2 }] : [one]));
      const isTentative = (tick: number): boolean => tick >= tentativeFrom;
      const result = reconcile(RUN, stored, isTentative, logged);
      if (result.kind === "conflict") throw new Error(`seed ${seed}: conflict at tick ${result.tick}`);
      const context = `seed ${seed}`;
      result.chain.forEach((one, tick) => expect([one.tick, one.prevRoot], context).toEqual([tick, tick === 0 ? RUN : result.chain[tick - 1].root]));
      // Final commits within the chain are the chain's; beyond it they are expected.
      for (const one of logged) expect(one.tick < result.chain.length ? result.chain[one.tick].root : result.expected.get(one.tick), context).toBe(one.root);
      const after = stored.filter((one) => result.discardFrom === null || one.tick < result.discardFrom).filter((one) => !result.adopt.some((other) => other.tick === one.tick));
      const store = [...after, ...result.adopt].toSorted((left, right) => left.tick - right.tick);
      const log = result.rewrite ? result.append : [...logged, ...result.append];
      expect(store.map((one) => one.root), context).toEqual(result.chain.map((one) => one.root));
      expect(log.map((one) => one.root), context).toEqual(result.chain.map((one) => one.root));
      expect(reconcile(RUN, store, none, log), context).toMatchObject({ adopt: [], append: [], discardFrom: null, rewrite: false });
    }
  });
});

test("a chain may begin with a base: where the store has it, else with the newest that reaches furthest; what lies below needs nobody", () => {
  const isBase = ({ tick }: Link): boolean => tick > 0 && tick % 4 === 0, from = (first: number, ticks: number): Link[] => chain(ticks).slice(first);
  const put = (stored: readonly Link[], logged: readonly Link[]) => reconcile(RUN, stored, none, logged, isBase);
  // The log lost what its base stands for, and the store has all: nothing is to do. The same the other way round.
  expect(put(chain(10), from(8, 10))).toMatchObject({ adopt: [], append: [], rewrite: false, isRebased: false, discardFrom: null });
  expect(put(from(8, 10), from(4, 10))).toMatchObject({ chain: from(8, 10), adopt: [], append: [], rewrite: false, isRebased: false });
  // A store that the log cannot be reached from begins anew with the base; an empty one too.
  expect(put(chain(5), from(8, 10))).toMatchObject({ chain: from(8, 10), adopt: from(8, 10), append: [], rewrite: false, isRebased: true });
  expect(put([], from(4, 10))).toMatchObject({ chain: from(8, 10), isRebased: true, rewrite: false });
  // A log that was lost, or that ends below the store's base, is written from there.
  expect(put(from(8, 10), [])).toMatchObject({ append: from(8, 10), rewrite: false, isRebased: false });
  expect(put(from(8, 10), from(4, 6))).toMatchObject({ append: from(8, 10), rewrite: true, isRebased: false });
  expect(put(from(8, 10), from(4, 8))).toMatchObject({ append: from(8, 10), rewrite: false });
  // Where nothing is a base, the same log is a loss.
  expect(reconcile(RUN, [], none, from(8, 10))).toMatchObject({ chain: [], rewrite: true });
});

test("of two records the one with the higher term is newer, then the one changed later", () => {
  const record = (term: number, change: number): RunRecord => ({ term, change }) as RunRecord;
  const old = record(3, 9), late = record(4, 2);
  expect(newerRecord(old, late)).toBe(late);
  expect(newerRecord(late, record(4, 1))).toBe(late);
  expect(newerRecord(null, old)).toBe(old);
  expect(newerRecord(null, null)).toBeNull();
});

test("a node's failure: divergence freezes, what is missing is looked for, what may heal is tried again, then others compute, then the run fails", () => {
  expect(decideFailure("DIVERGENCE", 1, true)).toBe("freeze");
  expect([1, 2, 3].map((failures) => decideFailure("CORRUPT", failures, true))).toEqual(["repair", "repair", "unfit"]);
  expect([1, 2, 3].map((failures) => decideFailure("UNAVAILABLE", failures, false))).toEqual(["retry", "retry", "retry"]);
  expect([1, 2, 3].map((failures) => decideFailure("STORE_FAILED", failures, true))).toEqual(["retry", "retry", "elsewhere"]);
  expect(decideFailure("BACKEND_MISSING", 1, true)).toBe("unfit");
  expect(decideFailure("of another version", 1, false)).toBe("fail");
  // What is wrong with the data of a job is wrong everywhere; a part that is gone may come again.
  expect([decideFailure("BAD_DATA", 1, true), decideFailure("BAD_DATA", 1, true, true)]).toEqual(["unfit", "fail"]);
  expect([decideFailure("NOT_FOUND", 1, true, true), decideFailure("INTERNAL", 1, true, true), decideFailure("DIVERGENCE", 1, true, true)]).toEqual(["repair", "unfit", "freeze"]);
});

test("a job goes to nodes that know its function in this version, and to none whose output of it was contradicted", () => {
  const plan = jobPlan({ function: "fit", version: "2", parameters: "", inputs: [] });
  const node = (...jobs: string[]): Heartbeat => ({ allowsBehaviors: true, jobs, backends: ["wasm", "reference"], incarnation: "a" }) as unknown as Heartbeat;
  expect([node("fit 2", "cluster 1"), node("fit 1"), node()].map((each) => mayCompute(plan, each))).toEqual([true, false, false]);
  expect(() => checkNodes(plan, [node("fit 1")])).toThrow(expect.objectContaining({ code: "INCOMPATIBLE", message: expect.stringContaining("fit 2") }));
  expect(() => checkNodes(plan, [])).not.toThrow();
  const wanted = backendWanted(plan, { wanted: {} });
  expect([isFit({ unfit: [] }, node("fit 2"), wanted), isFit({ unfit: [unfitBackend("a", wanted)] }, node("fit 2"), wanted), isFit({ unfit: [unfitBackend("a", "wasm")] }, node("fit 2"), wanted)]).toEqual([true, false, true]);
});

test("a node may compute a run while it has a backend that was not contradicted; the reference is not another one", () => {
  const node = (...backends: string[]) => ({ incarnation: "a", backends });
  const fit = (backends: string[], unfit: string[], wanted = "auto"): boolean => isFit({ unfit }, node(...backends), wanted);
  expect(fit(["wasm", "reference"], [])).toBe(true);
  expect(fit([], [])).toBe(true);
  expect(fit(["webgpu", "wasm", "reference"], ["a"])).toBe(false);
  expect(fit(["webgpu", "wasm", "reference"], [unfitBackend("a", "webgpu")])).toBe(true);
  expect(fit(["webgpu", "wasm", "reference"], [unfitBackend("a", "webgpu")], "webgpu")).toBe(false);
  expect(fit(["webgpu", "wasm", "reference"], [unfitBackend("a", "webgpu"), unfitBackend("a", "wasm")])).toBe(false);
  expect(fit(["wasm", "reference"], [unfitBackend("a", "wasm"), unfitBackend("b", "webgpu")])).toBe(false);
  expect(fit(["wasm", "reference"], [unfitBackend("ab", "wasm")])).toBe(true);
});
