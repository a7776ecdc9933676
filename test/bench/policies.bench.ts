import { createHash } from "node:crypto";
import { BANDIT_NAMES, RandomStream, bandit, indexOfLargest, playBandit } from "@populace/domain";
import type { BanditName, BanditProblem } from "@populace/domain";
import { contactPolicy, readStudy } from "@populace/studies";
import type { ContactPolicyName, Model } from "@populace/studies";
import { contact, handModel } from "../../studies/hand-model.fixture.ts";
import { localRun } from "../../studies/local-run.fixture.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { pythonPeer } from "./peers/python.ts";

/** Policies in generated worlds whose truth is known: regret of bandits beside those of packages, and contacts that look ahead beside those that do not. */
export const bench: Bench = {
  name: "policies",
  async run({ tiny }) {
    return [...(await bandits(tiny)), ...(await contacts(tiny)), ...(await histories(tiny))];
  },
};

interface Size {
  readonly worlds: number;
  readonly features: number;
  readonly personas: number;
  readonly rounds: number;
  readonly batch: number;
}

const combinations = (features: number): readonly (readonly number[])[] => Array.from({ length: 2 ** features }, (_, arm) => Array.from({ length: features }, (_unused, feature) => (arm >> feature) & 1));

/** Rates by persona and arm: every feature has an effect that personas share (sd 0.5) and one of their own (0.3), and every cell its own (`own`), in logits around 7 %. */
function ratesOf(seed: number, { features, personas }: Size, own: number): readonly (readonly number[])[] {
  const random = RandomStream.of(seed, "factorial world"), shared = combinations(features)[0]!.map(() => 0.5 * random.normal());
  return Array.from({ length: personas }, () => {
    const effects = shared.map((effect) => effect + 0.3 * random.normal());
    return combinations(features).map((z) => 1 / (1 + Math.exp(2.6 - own * random.normal() - z.reduce((sum, by, feature) => sum + by * effects[feature]!, 0))));
  });
}

/** What a package calls the nearest to ours. */
const PEERS: Partial<Record<BanditName, { readonly of: string; readonly policy: string; readonly args: object }>> = {
  thompson: { of: "mabwiser", policy: "ThompsonSampling", args: { of: "mabwiser", policy: "ThompsonSampling" } },
  "epsilon-greedy": { of: "mabwiser", policy: "EpsilonGreedy", args: { of: "mabwiser", policy: "EpsilonGreedy" } },
  "linear-thompson": { of: "mabwiser", policy: "LinTS, one regression an arm", args: { of: "mabwiser", policy: "LinTS" } },
  "lin-ucb": { of: "mabwiser", policy: "LinUCB, one regression an arm", args: { of: "mabwiser", policy: "LinUCB" } },
  "logistic-thompson": { of: "vowpalwabbit", policy: "--squarecb with persona x arm and persona x feature", args: { of: "vowpalwabbit", flags: "--squarecb" } },
};

async function bandits(tiny: boolean): Promise<BenchRow[]> {
  const size: Size = tiny ? { worlds: 2, features: 2, personas: 2, rounds: 3, batch: 40 } : { worlds: 20, features: 4, personas: 4, rounds: 10, batch: 200 };
  const python = await pythonPeer({ tiny }), rows: BenchRow[] = [], arms = combinations(size.features);
  for (const own of [0, 0.4]) {
    const worlds = Array.from({ length: size.worlds }, (_, seed) => ratesOf(seed + 1, size, own));
    const problem: BanditProblem = { value: worlds[0]!.map(() => arms.map(() => 1)), cost: arms.map(() => 0), features: arms };
    for (const name of BANDIT_NAMES) {
      const plays = worlds.map((rates, seed) => playBandit(
        bandit(name, problem, indexOfLargest(arms.map((_, arm) => rates.reduce((sum, row) => sum + row[arm]!, 0)))), problem, rates, { rounds: size.rounds, batch: size.batch, choices: size.batch }, RandomStream.of(seed + 1, name)));
      const regret = plays.map((play) => play.regret.at(-1)!), given = PEERS[name];
      const peer = given === undefined ? null : await python.start<readonly number[]>({
        script: "bandits.py", of: given.of, args: { ...given.args, rounds: size.rounds, batch: size.batch },
        arrays: { rates: { data: Float64Array.from(worlds.flat(2)), shape: [size.worlds, size.personas, arms.length] }, features: { data: Float64Array.from(arms.flat()), shape: [arms.length, size.features] } },
      });
      const theirs = peer?.round === null || peer === null ? null : (await peer.round()).result;
      peer?.close();
      const ours = mean(regret), oracle = mean(worlds.map((rates) => mean(rates.map((row) => Math.max(...row)))));
      rows.push({
        what: `bandits, ${arms.length} arms x ${size.personas} personas${own > 0 ? ", every cell with an effect of its own" : ""}: regret of ${name} after ${size.rounds} rounds of ${size.batch} a persona, ${size.worlds} worlds (se ${standardError(regret).toFixed(1)}${theirs === null ? "" : `, peer's ${standardError(theirs).toFixed(1)}`}; recommends ${(mean(plays.map((play) => play.recommended)) / oracle * 100).toFixed(1)} % of the oracle's value)`,
        ours, peer: theirs === null ? null : mean(theirs), peerName: given === undefined ? "none" : `${peer!.name}: ${given.policy}`, ratio: theirs === null ? null : mean(theirs) / ours, unit: "responses lost", floor: null, target: null, hash: hashOf(regret),
      });
    }
  }
  return rows;
}

const PRESSURE = { perContact: 70, logitPerUnit: 0.012, leaveLogitPerUnit: 0.02 };

/** Two stimuli and three personas with rates of 2 to 16 %, worn down by contacts. */
function wearingModel(seed: number): Model {
  const random = RandomStream.of(seed, "wearing world"), personas = 3, stimuli = 2;
  const logits = Array.from({ length: personas * stimuli }, () => -1.7 - 2.2 * random.uniform());
  return handModel({
    codings: [], steps: ["buy"], sd: 0.1, worlds: 32, leaveLogit: -4.5, personas: Array.from({ length: personas }, (_, p) => ({ id: `p${p}`, share: 1 / personas, distributions: [] })), stimuli: [contact("plain"), contact("gift", { contactCostMinor: 1 })],
    terms: logits.map((_, at) => ({ kind: "persona-stimulus" as const, persona: Math.floor(at / stimuli), stimulus: at % stimuli })), coefficients: [logits],
  });
}

async function contacts(tiny: boolean): Promise<BenchRow[]> {
  const seeds = Array.from({ length: tiny ? 2 : 20 }, (_, seed) => seed + 1), values = new Map<ContactPolicyName, number[]>(), lived = new Map<string, number[]>();
  for (const seed of seeds) {
    const model = wearingModel(seed);
    const result = await contactPolicy(model, readStudy({ seed, ticks: tiny ? 6 : 20, agents: tiny ? 60 : 3_000, pressure: PRESSURE, contactPolicy: { leaveCostMinor: 60 } }, model), localRun, { replicates: tiny ? 1 : 5 });
    for (const { name, value } of result.policies) values.set(name, [...(values.get(name) ?? []), value]);
    for (const { name, value } of result.agents) lived.set(name, [...(lived.get(name) ?? []), value]);
  }
  const of = (name: ContactPolicyName): readonly number[] => values.get(name)!, sequential = of("sequential"), hash = hashOf([...values.values()].flat());
  const less = (a: readonly number[], b: readonly number[]): readonly number[] => a.map((value, at) => value - b[at]!);
  const gained = less(sequential, of("myopic")), gap = less(of("oracle"), of("myopic"));
  const row = (what: string, ours: number, peer: number | null, peerName: string, unit: string, floor: string | null): BenchRow => ({ what: `contacts under pressure, ${seeds.length} worlds: ${what}`, ours, peer, peerName, ratio: peer === null ? null : ours / peer, unit, floor, target: null, hash });
  return [
    row(`share of the gap between myopic and oracle that looking ahead closes (gap ${(mean(gap) / mean(of("oracle")) * 100).toFixed(1)} % of the oracle's value; at random ${mean(of("random")).toFixed(2)} an agent, se ${standardError(of("random")).toFixed(2)})`, mean(gained) / mean(gap), null, "none", "share", ">= .80 where myopic loses >= 10 %"),
    ...(["myopic", "best-fixed", "oracle"] as const).map((name) => row(`value per agent of the sequential policy beside ${name} (se of the difference ${standardError(less(sequential, of(name))).toFixed(3)})`, mean(sequential), mean(of(name)), name, "minor units", name === "best-fixed" ? "above, or within 1 %" : null)),
    row(`lived by agents, beside best-fixed (se of the difference ${standardError(less(lived.get("sequential")!, lived.get("best-fixed")!)).toFixed(3)})`, mean(lived.get("sequential")!), mean(lived.get("best-fixed")!), "best-fixed", "minor units", null),
  ];
}

/** Parts of everybody whom others contact at these ticks, too, and what is known of them: an equal share each. */
const HISTORIES: Readonly<Record<string, readonly (readonly number[])[]>> = {
  "none, one or three contacts just before": [[], [0], [0, 0, 0]],
  "never, every six or every three ticks": [[], [2, 8, 14], [0, 3, 6, 9, 12, 15, 18]],
};

/** A schedule of its own for each history, beside the best one that tells none apart (by coordinate ascent over single choices and swaps, in closed form). */
async function histories(tiny: boolean): Promise<BenchRow[]> {
  const seeds = Array.from({ length: tiny ? 1 : 10 }, (_, seed) => seed + 1), ticks = tiny ? 6 : 20, rows: BenchRow[] = [];
  for (const [what, parts] of Object.entries(HISTORIES)) {
    const own: number[] = [], one: number[] = [], lived: number[] = [], outside = parts.map((at) => at.filter((tick) => tick < ticks));
    for (const seed of seeds) {
      const random = RandomStream.of(seed, "histories world"), logits = [-1.7 - 2.2 * random.uniform(), -1.7 - 2.2 * random.uniform()];
      const model = handModel({
        codings: [], steps: ["buy"], sd: 0, worlds: 2, leaveLogit: -4.5, personas: [{ id: "p", share: 1, distributions: [] }], stimuli: [contact("plain"), contact("gift", { contactCostMinor: 1 })],
        terms: logits.map((_, stimulus) => ({ kind: "persona-stimulus" as const, persona: 0, stimulus })), coefficients: [logits],
      });
      const study = readStudy({ seed, ticks, agents: tiny ? 60 : 30_000, pressure: PRESSURE, contactPolicy: { leaveCostMinor: 60 }, histories: Object.fromEntries(outside.map((contactsAt, part) => [`h${part}`, { share: 1 / parts.length, contactsAt }])) }, model);
      const result = await contactPolicy(model, study, localRun, { replicates: 1 });
      own.push(result.policies.find(({ name }) => name === "sequential")!.value);
      lived.push(result.agents.find(({ name }) => name === "sequential")!.value);
      const valueOf = (schedule: Int8Array): number => mean(outside.map((at) => scheduleValue(logits, schedule, at)));
      one.push(Math.max(...[3, 4, 6, ticks + 1].map((every) => ascended(valueOf, Int8Array.from({ length: ticks }, (_, tick) => (tick % every === every - 1 ? (logits[0]! > logits[1]! ? 0 : 1) : -1))))));
    }
    const gain = own.map((value, at) => value - one[at]!);
    rows.push({
      what: `contacts where others contact people, too (${what}), ${seeds.length} worlds: value per agent of a schedule for each history beside the best one for all (se of the difference ${standardError(gain).toFixed(2)}; lived by agents ${mean(lived).toFixed(2)})`,
      ours: mean(own), peer: mean(one), peerName: "one schedule", ratio: mean(own) / mean(one), unit: "minor units", floor: "above", target: null, hash: hashOf([...own, ...one]),
    });
  }
  return rows;
}

/** Value per person of a schedule in closed form. */
function scheduleValue(logits: readonly number[], schedule: Int8Array, outside: readonly number[]): number {
  const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
  let there = 1, pressure = 0, value = 0;
  schedule.forEach((stimulus, tick) => {
    pressure = Math.min(255, pressure - ((pressure + 15) >>> 4) + PRESSURE.perContact * outside.filter((at) => at === tick).length);
    if (stimulus < 0) return;
    const rate = logistic(logits[stimulus]! - PRESSURE.logitPerUnit * pressure), leaves = (1 - rate) * logistic(-4.5 + PRESSURE.leaveLogitPerUnit * pressure);
    value += there * (100 * rate - stimulus - 60 * leaves);
    there *= 1 - leaves;
    pressure = Math.min(255, pressure + PRESSURE.perContact);
  });
  return value;
}

/** Value of a schedule that no single choice and no swap of two ticks betters; `schedule` becomes it. */
function ascended(valueOf: (schedule: Int8Array) => number, schedule: Int8Array): number {
  let value = valueOf(schedule);
  for (let improved = true; improved;) {
    improved = false;
    const tried = (change: () => void, undo: () => void): void => {
      change();
      const next = valueOf(schedule);
      if (next > value + 1e-12) [value, improved] = [next, true];
      else undo();
    };
    schedule.forEach((_, a) => {
      for (const choice of [-1, 0, 1]) {
        const before = schedule[a]!;
        if (choice !== before) tried(() => { schedule[a] = choice; }, () => { schedule[a] = before; });
      }
      for (let b = a + 1; b < schedule.length; b++) {
        const [x, y] = [schedule[a]!, schedule[b]!];
        if (x !== y) tried(() => { [schedule[a], schedule[b]] = [y, x]; }, () => { [schedule[a], schedule[b]] = [x, y]; });
      }
    });
  }
  return value;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
/** Of the mean. */
function standardError(values: readonly number[]): number {
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / Math.max(1, values.length - 1) / values.length);
}
const hashOf = (values: readonly number[]): string => createHash("sha256").update(Float64Array.from(values)).digest("hex");
