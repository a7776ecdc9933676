import { RandomStream } from "@populace/domain";
import { LIMITS, type Heartbeat } from "@populace/protocol";
import { describe, expect, test } from "vitest";
import { arrived, firstArrival, suspectSilenceMs, verdict, type Arrivals } from "./failure-detector.ts";
import { above, hear, hearEcho, judge, noMembers, type Membership } from "./membership.ts";

const PERIOD = LIMITS.heartbeatMs, LOOK = LIMITS.lookMs;
const beat = (incarnation: string, state: Heartbeat["state"] = "up"): Heartbeat =>
  ({ incarnation, state, workers: 1, backends: ["reference"], backendReason: "", exposuresPerSecond: 0, memoryBytes: 0, exposures: 0, loopLagMs: 0, allowsBehaviors: false, jobs: [], term: 0 });

/** A network and a machine: what delays a beat on its way, how many are lost, and how often and how long the node's event loop stands still. */
interface Weather {
  readonly delayMs: (random: RandomStream) => number;
  readonly lossRate: number;
  readonly stallsPerHour: number;
  readonly stallMs: (random: RandomStream) => number;
}

const exponential = (mean: number) => (random: RandomStream): number => -mean * Math.log(random.uniform());

/** Days of one living node's beats; how often it was probed and how often taken for dead. */
function live(seed: number, days: number, weather: Weather): { readonly probes: number; readonly deaths: number } {
  const random = RandomStream.of(seed, "weather");
  let arrivals: Arrivals = firstArrival(0, PERIOD), probes = 0, deaths = 0, freeMs = 0;
  for (let sentMs = PERIOD; sentMs < days * 86_400_000; sentMs += PERIOD) {
    if (random.uniform() < (weather.stallsPerHour * PERIOD) / 3_600_000) freeMs = sentMs + weather.stallMs(random);
    const leftMs = Math.max(sentMs, freeMs);
    if (random.uniform() < weather.lossRate) continue;
    const heardMs = Math.max(arrivals.lastMs, leftMs + weather.delayMs(random));
    // The observer looks every LOOK; a probe is answered when the node is free, if neither way loses it.
    let suspectMs = Math.ceil((arrivals.lastMs + suspectSilenceMs(arrivals)) / LOOK) * LOOK;
    if (suspectMs < heardMs) {
      probes += 1;
      expect(verdict(arrivals, suspectMs)).toBe("suspect");
      const suspected = { ...arrivals, suspectedMs: suspectMs };
      const answerMs = random.uniform() < 2 * weather.lossRate ? Number.POSITIVE_INFINITY : Math.max(suspectMs + weather.delayMs(random), freeMs) + weather.delayMs(random);
      const wordMs = Math.min(heardMs, answerMs);
      while (suspectMs < wordMs && verdict(suspected, suspectMs) !== "dead") suspectMs += LOOK;
      if (suspectMs < wordMs) deaths += 1;
    }
    arrivals = arrived(arrivals, heardMs);
  }
  return { probes: probes / days, deaths: deaths / days };
}

describe("failure detector", () => {
  test("a node killed at any moment is noticed within 0.9 to 1.5 s", () => {
    const random = RandomStream.of(7, "kills"), noticed: number[] = [];
    for (let kill = 0; kill < 400; kill += 1) {
      let arrivals = firstArrival(0, PERIOD), atMs = 0;
      for (let beats = 20 + Math.floor(40 * random.uniform()); beats > 0; beats -= 1) arrivals = arrived(arrivals, Math.max(arrivals.lastMs, (atMs += PERIOD) + exponential(5)(random)));
      const killedMs = atMs + PERIOD * random.uniform();
      let membership: Arrivals = arrivals;
      for (let nowMs = Math.ceil(killedMs / LOOK) * LOOK; ; nowMs += LOOK) {
        const found = verdict(membership, nowMs);
        if (found === "suspect") membership = { ...membership, suspectedMs: nowMs };
        if (found !== "dead") continue;
        noticed.push(nowMs - killedMs);
        break;
      }
    }
    noticed.sort((left, right) => left - right);
    console.log(`noticed after ${noticed[0].toFixed(0)} to ${noticed.at(-1)!.toFixed(0)} ms, median ${noticed[200].toFixed(0)} ms`);
    expect(noticed[0]).toBeGreaterThan(900);
    expect(noticed.at(-1)).toBeLessThan(1500);
  });

  test.each<readonly [string, Weather, number]>([
    ["a quiet network", { delayMs: exponential(2), lossRate: 0, stallsPerHour: 0, stallMs: () => 0 }, 0],
    ["1 in 100 beats lost, delays of 20 ms", { delayMs: exponential(20), lossRate: 0.01, stallsPerHour: 0, stallMs: () => 0 }, 0],
    ["a crowded machine: delays of 60 ms, the loop stands still for 100 ms, or several times that, 60 times an hour", { delayMs: exponential(60), lossRate: 0, stallsPerHour: 60, stallMs: exponential(100) }, 0.5],
    ["garbage collection of half a second, 20 times an hour", { delayMs: exponential(10), lossRate: 0.001, stallsPerHour: 20, stallMs: () => 500 }, 0],
  ])("false deaths a day, %s", (_, weather, deathsMax) => {
    const { probes, deaths } = live(20_261_128, 3, weather);
    console.log(`${_}: ${probes} probes, ${deaths} deaths a day`);
    expect(deaths).toBeLessThanOrEqual(deathsMax);
    expect(probes).toBeLessThan(2000);
  });

  test("whose gaps were irregular is given more time, up to a ceiling", () => {
    const random = RandomStream.of(3, "irregular");
    let arrivals = firstArrival(0, PERIOD), nowMs = 0;
    expect(suspectSilenceMs(arrivals)).toBe(900);
    for (let gap = 0; gap < 200; gap += 1) arrivals = arrived(arrivals, (nowMs += exponential(500)(random)));
    expect(suspectSilenceMs(arrivals)).toBeGreaterThan(2000);
    for (let gap = 0; gap < 20; gap += 1) arrivals = arrived(arrivals, (nowMs += 60_000));
    expect(suspectSilenceMs(arrivals)).toBe(8000);
  });
});

describe("membership", () => {
  /** Beats and looks from `fromMs` to `toMs`; `silent` nodes say nothing, and the observer's own beat comes back unless it is `deaf`. */
  function pass(membership: Membership, fromMs: number, toMs: number, names: readonly string[], isDeaf = false): { membership: Membership; probes: string[] } {
    const probes: string[] = [];
    for (let nowMs = fromMs; nowMs < toMs; nowMs += LOOK) {
      if (nowMs % PERIOD < LOOK && !isDeaf) {
        for (const name of names) membership = hear(membership, beat(name), nowMs);
        membership = hearEcho(membership, nowMs);
      }
      const step = judge(membership, nowMs);
      membership = step.membership;
      probes.push(...step.probes);
    }
    return { membership, probes };
  }

  test("a first heartbeat joins, silence after a probe kills, the dead stay dead, the view only grows", () => {
    let { membership, probes } = pass(noMembers(4, 0), 0, 2000, ["a", "b"]);
    expect([membership.view, [...membership.members.keys()], probes]).toEqual([6, ["a", "b"], []]);
    ({ membership, probes } = pass(membership, 2000, 4000, ["a"]));
    expect([membership.view, [...membership.members.keys()], [...membership.dead], probes]).toEqual([7, ["a"], ["b"], ["b"]]);
    expect(hear(membership, beat("b"), 4000)).toBe(membership);
    membership = hear(membership, beat("a", "draining"), 4000);
    expect([membership.view, membership.members.size]).toEqual([8, 1]);
    membership = hear(membership, beat("a", "leaving"), 4100);
    expect([membership.view, membership.members.size]).toEqual([9, 0]);
    // A stranger's goodbye may overtake what it said before.
    membership = hear(membership, beat("c", "leaving"), 4100);
    expect(hear(membership, beat("c"), 4150)).toBe(membership);
  });

  test("a membership above the view of another leader buries whom that one buried, under a higher view", () => {
    const { membership } = pass(noMembers(4, 0), 0, 2000, ["a", "b"]);
    const next = above(membership, { view: 9, dead: ["b", "c"] });
    expect([next.view, [...next.members.keys()], [...next.dead]]).toEqual([10, ["a"], ["b", "c"]]);
    expect(hear(next, beat("b"), 2100)).toBe(next);
    expect(above(next, { view: 8, dead: ["c"] })).toBe(next);
  });

  test("a suspect that answers its probe lives", () => {
    let { membership } = pass(noMembers(0, 0), 0, 2000, ["a"]);
    let probed = 0;
    for (let nowMs = 2000; nowMs < 20_000; nowMs += LOOK) {
      if (nowMs % PERIOD < LOOK) membership = hearEcho(membership, nowMs);
      const step = judge(membership, nowMs);
      membership = step.membership;
      if (step.probes.length > 0) membership = hear(membership, beat("a"), nowMs + 40);
      probed += step.probes.length;
    }
    expect(probed).toBeGreaterThan(5);
    expect(membership.members.size).toBe(1);
  });

  test("an observer that was blocked for 10 s declares nobody dead, and hears of a death soon afterwards", () => {
    const { membership } = pass(noMembers(0, 0), 0, 2000, ["a", "b"]);
    let step = judge(membership, 12_000);
    expect([step.membership.members.size, step.probes]).toEqual([2, []]);
    // The timers ran before the messages that waited.
    step = judge(step.membership, 12_100);
    expect([step.membership.members.size, step.probes]).toEqual([2, []]);
    const after = pass(step.membership, 12_200, 14_000, ["a"]).membership;
    expect([...after.dead]).toEqual(["b"]);
  });

  test("an observer that hears not even itself declares nobody dead, however long, and gives time to reconnect", () => {
    const { membership } = pass(noMembers(0, 0), 0, 2000, ["a", "b"]);
    const deaf = pass(membership, 2000, 600_000, ["a", "b"], true).membership;
    expect(deaf.members.size).toBe(2);
    const back = pass(deaf, 600_000, 604_500, []).membership;
    expect(back.members.size).toBe(2);
    const found = pass(back, 604_500, 610_000, ["a"]).membership;
    expect([[...found.members.keys()], [...found.dead]]).toEqual([["a"], ["b"]]);
  });

  test("keeps the newest thousand dead", () => {
    let membership = noMembers(0, 0);
    for (let node = 0; node < 1100; node += 1) membership = hear(hear(membership, beat(`n${node}`), 0), beat(`n${node}`, "leaving"), 0);
    expect([membership.dead.size, membership.dead.has("n1099"), membership.dead.has("n99"), membership.view]).toEqual([1000, true, false, 2200]);
  });
});
