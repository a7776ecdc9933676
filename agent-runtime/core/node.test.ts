import { samplePlan } from "@populace/kernels/sample-plan";
import type { Commit, Plan, RunRecord, Shard, TickOpen } from "@populace/protocol";
import { describe, expect, it } from "vitest";
import { climateAt, noCommits, afterCommit } from "./checkpoint.ts";
import { freshNode, type NodeEffect, type NodeEvent, type NodeState, stepNode } from "./node.ts";

const RUN = "aa", ME = "me";
const SHARDS: readonly Shard[] = [{ index: 0, first: 0, count: 1 }, { index: 1, first: 1, count: 1 }];
const plan: Plan = samplePlan(1, { agents: [10, 10], ticks: 9 });
const coupled: Plan = samplePlan(1, { agents: [10, 10], ticks: 9, influence: true });

const open = (tick: number, more: Partial<TickOpen> = {}): TickOpen => ({
  run: RUN, attempt: 1, term: 1, view: 1, tick, span: 1, prevRoot: tick === 0 ? RUN : `root-${tick - 1}`, inputHash: "", checkpoint: false, ...more,
});
const record = (more: Partial<RunRecord> = {}): RunRecord => ({
  run: RUN, attempt: 1, view: 1, state: "running", shards: SHARDS, owners: [ME, ME], reason: "",
  number: 1, label: "", priority: 0, firstAttempt: 1, term: 1, change: 0, wanted: {}, unfit: [], checkedTick: -1, uncheckedFrom: -1, dispute: null, suspectFrom: -1, code: "", tick: -1, root: RUN, exposures: 0, seconds: 0, backends: [],
  spec: { kernelSpec: "expose-2", arithmeticProfile: "nest8-2", planHash: "", seed: [0, 0], agents: 20, ticks: 9 },
  execution: { shards: 2, workers: 1, backend: "reference", population: "stored", spanTicks: 1, checkpointTicks: 0 }, ...more,
});
const commit = (tick: number, more: Partial<Commit> = {}): Commit => ({
  run: RUN, attempt: 1, term: 1, tick, prevRoot: tick === 0 ? RUN : `root-${tick - 1}`, inputHash: "", root: `root-${tick}`, sumsHash: "", checkpoint: [],
  manifest: [], sections: new Float64Array(2 * 2 * 2), tickSums: new Float64Array(0), sums: "", exposures: 0, authors: [], backends: [], seconds: 0, ...more,
});

/** A node and the commits of its log; performs effects by answering them as a faultless shell would. */
class Rig {
  state: NodeState = freshNode(ME);
  readonly effects: NodeEffect[] = [];
  log: Commit[] = [];
  record = record();
  readonly plan: Plan;

  constructor(runPlan: Plan = plan) {
    this.plan = runPlan;
  }

  /** The kinds of effects that the event led to, in order. */
  send(event: NodeEvent, fail?: NodeEffect["kind"]): string[] {
    const kinds: string[] = [], events = [event];
    for (let next = events.shift(); next !== undefined; next = events.shift()) {
      const step = stepNode(this.state, next);
      this.state = step.state;
      for (const effect of step.effects) {
        kinds.push(effect.kind);
        this.effects.push(effect);
        if (effect.kind === fail) events.push({ kind: "failed", run: RUN });
        else if (effect.kind === "load") events.push({ kind: "loaded", open: effect.open, record: this.record, plan: this.plan });
        else if (effect.kind === "readCommits") events.push({ kind: "commits", run: RUN, commits: this.log.filter((entry) => entry.tick > effect.after && entry.tick < effect.before) });
        else if (effect.kind === "restore") events.push({ kind: "restored", run: RUN, shards: effect.shards, tick: effect.tick });
        else if (effect.kind === "compute") events.push({ kind: "filled", run: RUN });
      }
    }
    return kinds;
  }

  tick(tick: number, more: Partial<TickOpen> = {}): string[] {
    return this.send({ kind: "tickOpen", open: open(tick, more) });
  }

  last<K extends NodeEffect["kind"]>(kind: K): Extract<NodeEffect, { kind: K }> {
    return this.effects.findLast((effect): effect is Extract<NodeEffect, { kind: K }> => effect.kind === kind)!;
  }
}

describe("node core", () => {
  it("loads a run it does not know, makes its shards, computes; then only reads commits and computes", () => {
    const rig = new Rig();
    expect(rig.tick(0)).toEqual(["load", "restore", "compute"]);
    rig.log.push(commit(0));
    expect(rig.tick(1)).toEqual(["readCommits", "compute"]);
    expect(rig.last("compute").shards).toEqual(SHARDS);
  });

  it("waits for the commit before the tick, and ignores a tick that it computed and that is committed", () => {
    const rig = new Rig();
    rig.tick(0);
    expect(rig.tick(1)).toEqual(["readCommits"]);
    rig.log.push(commit(0), commit(1));
    expect(rig.tick(1)).toEqual(["readCommits", "compute"]);
    expect(rig.tick(2)).toEqual(["readCommits", "compute"]);
    expect(rig.tick(1)).toEqual([]);
  });

  it("recomputes committed ticks that its attempt has not seen, so that the leader can compare their roots", () => {
    const rig = new Rig();
    rig.log.push(commit(0), commit(1), commit(2));
    expect(rig.tick(1)).toEqual(["load", "readCommits", "restore", "compute"]);
    expect(rig.tick(2)).toEqual(["readCommits", "compute"]);
  });

  it("refills its slots when a TickOpen is repeated and computes again when its span changed", () => {
    const rig = new Rig();
    rig.tick(0);
    expect(rig.tick(0)).toEqual(["refill"]);
    expect(rig.tick(0, { span: 2 })).toEqual(["restore", "compute"]);
  });

  it("refuses a lower term than the highest it has seen, in any run", () => {
    const rig = new Rig();
    rig.tick(0, { term: 5 });
    expect(rig.tick(0, { run: "bb", term: 4 })).toEqual(["refuse"]);
    expect(rig.last("refuse").code).toBe("STALE_TERM");
    expect(rig.state.term).toBe(5);
  });

  it("takes the shards of a new term's record though the last view of the old one was above it", () => {
    const rig = new Rig();
    rig.record = record({ view: 15, owners: ["other", "other"] });
    rig.tick(0, { view: 15 });
    rig.record = record({ term: 2, view: 11, owners: [ME, ME] });
    expect(rig.tick(0, { term: 2, view: 11 })).toEqual(["load", "restore", "compute"]);
  });

  it("tells a new leader that opens a tick it has gone by, and ignores a late repetition of its own leader's (simulator seed 101411)", () => {
    const rig = new Rig();
    rig.tick(0);
    rig.log.push(commit(0), commit(1, { checkpoint: ["s0", "s1"] }));
    rig.tick(1);
    rig.tick(2);
    expect(rig.tick(1)).toEqual([]);
    rig.record = record({ term: 2 });
    expect(rig.tick(2, { term: 2 })).toEqual(["load", "refill"]);
    expect(rig.tick(1, { term: 2 })).toEqual(["report"]);
    expect(rig.last("report").code).toBe("NOT_FOUND");
    rig.record = record({ term: 2, attempt: 2 });
    expect(rig.tick(0, { term: 2, attempt: 2 })).toEqual(["load", "drop", "restore", "compute"]);
  });

  it("reads the commits anew for a new leader that opens a tick they go by, where it had no part in the run (simulator seed 3002147)", () => {
    const rig = new Rig();
    rig.record = record({ owners: ["other", "other"] });
    rig.tick(0);
    rig.log.push(commit(0), commit(1, { checkpoint: ["s0", "s1"] }));
    expect(rig.tick(2)).toEqual(["readCommits"]);
    rig.log = [];
    rig.record = record({ term: 2, view: 2 });
    expect(rig.tick(0, { term: 2, view: 2 })).toEqual(["load", "restore", "compute"]);
  });

  it("refuses a TickOpen that builds on another root, and reads everything anew", () => {
    const rig = new Rig();
    rig.tick(0);
    rig.log.push(commit(0));
    expect(rig.tick(1, { prevRoot: "other" })).toEqual(["readCommits", "refuse", "drop"]);
    expect(rig.last("refuse").code).toBe("STALE_ROOT");
    expect(rig.tick(1)).toEqual(["load", "readCommits", "restore", "compute"]);
  });

  it("forgets everything and reads anew when the commits do not chain", () => {
    const rig = new Rig();
    rig.tick(0);
    rig.log.push(commit(0, { prevRoot: "other" }));
    expect(rig.tick(1)).toEqual(["readCommits", "drop"]);
    rig.log = [commit(0)];
    expect(rig.tick(1)).toEqual(["load", "readCommits", "restore", "compute"]);
  });

  it("restores from the newest checkpoint and replays only the ticks after it", () => {
    const rig = new Rig();
    rig.log.push(commit(0), commit(1, { checkpoint: ["s0", "s1"] }), commit(2), commit(3));
    expect(rig.tick(4)).toEqual(["load", "readCommits", "restore", "compute"]);
    const effect = rig.last("restore");
    expect(effect.checkpoint).toEqual({ tick: 1, states: ["s0", "s1"] });
    expect(effect.climates.length).toBe(2);
  });

  it("takes shards over and gives shards away when the view changes", () => {
    const rig = new Rig();
    rig.record = record({ owners: [ME, "other"] });
    rig.tick(0);
    expect(rig.last("compute").shards).toEqual([SHARDS[0]]);
    rig.log.push(commit(0));
    rig.record = record({ view: 2, owners: ["other", ME] });
    expect(rig.tick(1, { view: 2 })).toEqual(["load", "release", "readCommits", "restore", "compute"]);
    expect(rig.last("release").shards).toEqual([SHARDS[0]]);
    expect(rig.last("restore").shards).toEqual([SHARDS[1]]);
    expect(rig.last("compute").shards).toEqual([SHARDS[1]]);
  });

  it("waits while the record is older than the TickOpen, and idles without shards", () => {
    const rig = new Rig();
    expect(rig.tick(0, { view: 2 })).toEqual(["load"]);
    rig.record = record({ view: 2, owners: ["a", "b"] });
    expect(rig.tick(0, { view: 2 })).toEqual(["load"]);
    expect(rig.tick(0, { view: 2 })).toEqual([]);
  });

  it("drops the old attempt's state when a new attempt opens, and ignores the old attempt's TickOpens", () => {
    const rig = new Rig();
    rig.tick(0);
    rig.record = record({ attempt: 2 });
    expect(rig.tick(0, { attempt: 2 })).toEqual(["load", "drop", "restore", "compute"]);
    expect(rig.tick(0)).toEqual([]);
  });

  it("drops a run that is stopped, ignores the late TickOpens of that attempt, and takes the next attempt", () => {
    const rig = new Rig();
    rig.tick(0);
    expect(rig.send({ kind: "stop", stop: { run: RUN, attempt: 1, term: 1, reason: "" } })).toEqual(["drop"]);
    expect(rig.state.runs.size).toBe(0);
    expect(rig.tick(0)).toEqual([]);
    rig.record = record({ attempt: 2 });
    expect(rig.tick(0, { attempt: 2 })).toEqual(["load", "restore", "compute"]);
    for (let i = 0; i < 1500; i++) rig.send({ kind: "stop", stop: { run: `other-${i}`, attempt: 1, term: 1, reason: "" } });
    expect(rig.state.stopped.size).toBe(1000);
  });

  it("takes a stopped attempt again where a leader of a later term opens it: the records of the stop were lost (simulator seed 3004627)", () => {
    const rig = new Rig();
    rig.tick(0);
    rig.send({ kind: "stop", stop: { run: RUN, attempt: 2, term: 1, reason: "" } });
    expect(rig.tick(0)).toEqual([]);
    rig.record = record({ term: 2 });
    expect(rig.tick(0, { term: 2 })).toEqual(["load", "restore", "compute"]);
    rig.send({ kind: "stop", stop: { run: RUN, attempt: 1, term: 2, reason: "" } });
    expect(rig.tick(0, { term: 2 })).toEqual([]);
    rig.record = record({ term: 2, attempt: 2 });
    expect(rig.tick(0, { term: 2, attempt: 2 })).toEqual(["load", "restore", "compute"]);
  });

  it("refuses a lower term than that of a stop, so that its leader hears of it and numbers above it", () => {
    const rig = new Rig();
    rig.tick(0);
    rig.send({ kind: "stop", stop: { run: RUN, attempt: 1, term: 9, reason: "" } });
    expect(rig.tick(0)).toEqual(["refuse"]);
    expect(rig.state.term).toBe(9);
    rig.record = record({ term: 10 });
    expect(rig.tick(0, { term: 10 })).toEqual(["load", "restore", "compute"]);
  });

  it("drops a run that is halted, and begins again where a leader opens it: the stop may never have been written", () => {
    const rig = new Rig();
    const halt = { run: RUN, attempt: 1, term: 2, reason: "" };
    rig.tick(0);
    expect(rig.send({ kind: "halt", stop: { ...halt, attempt: 0 } })).toEqual([]);
    expect(rig.send({ kind: "halt", stop: { ...halt, term: 0 } })).toEqual([]);
    expect(rig.send({ kind: "halt", stop: halt })).toEqual(["drop"]);
    expect(rig.tick(0)).toEqual(["load", "restore", "compute"]);
    expect(rig.send({ kind: "stop", stop: halt })).toEqual(["drop"]);
    expect(rig.send({ kind: "halt", stop: halt })).toEqual([]);
    expect(rig.tick(0, { term: 2 })).toEqual([]);
  });

  it("drops a run that failed and can begin again", () => {
    const rig = new Rig();
    expect(rig.send({ kind: "tickOpen", open: open(0) }, "compute")).toEqual(["load", "restore", "compute", "drop"]);
    expect(rig.tick(0)).toEqual(["load", "restore", "compute"]);
  });

  it("refuses a span under influence, and gives each tick the climate its commits make", () => {
    const rig = new Rig(coupled);
    expect(rig.tick(0, { span: 2 })).toEqual(["load", "refuse"]);
    expect(rig.tick(0)).toEqual(["restore", "compute"]);
    const sections = Float64Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? 9 : 0));
    rig.log.push(commit(0, { sections }), commit(1, { sections: new Float64Array(8) }));
    rig.tick(2);
    expect(rig.last("restore").climates.length).toBe(2);
    const view = [commit(0, { sections }), commit(1, { sections: new Float64Array(8) })].reduce((seen, next) => afterCommit(coupled, seen, next)!, noCommits(coupled, RUN));
    expect(rig.last("compute").climate).toEqual(climateAt(coupled, view, 2));
    expect(rig.last("restore").climates[1].warmth.some((value) => value > 0)).toBe(true);
  });
});
