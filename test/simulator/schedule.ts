import { between, chanceOf, oneOf } from "./chance.ts";
import type { Chance } from "@populace/io/simulated";
import { SAMPLE_PLANS } from "./truth.ts";

/** What befalls the cluster. Processes are named by index, so that a schedule can lose some of its faults and keep its meaning. */
export type Fault =
  /** Node processes: killed and started again later as another incarnation; frozen; told to leave; joined by another. */
  | { readonly kind: "kill node"; readonly node: number; readonly downMs: number }
  | { readonly kind: "pause node"; readonly node: number; readonly ms: number }
  | { readonly kind: "drain node"; readonly node: number; readonly downMs: number }
  | { readonly kind: "add node" }
  /** Coordinators: killed (the disk keeps what it has), cut from power (what was not flushed may be gone), frozen. */
  | { readonly kind: "kill coordinator"; readonly coordinator: number; readonly downMs: number }
  | { readonly kind: "power cut"; readonly coordinator: number; readonly downMs: number }
  | { readonly kind: "stop coordinator"; readonly coordinator: number; readonly downMs: number }
  | { readonly kind: "pause coordinator"; readonly coordinator: number; readonly ms: number }
  /** An event loop that is blocked for some seconds. */
  | { readonly kind: "blocked loop"; readonly process: string; readonly ms: number }
  | { readonly kind: "clock leap"; readonly process: string; readonly ms: number }
  /** One bit of a node's memory: in the state of a block that it holds, or in what a tick of it came to before that is hashed. */
  | { readonly kind: "state bit flipped"; readonly node: number }
  | { readonly kind: "output bit flipped"; readonly node: number }
  /** Links: one direction or both. */
  | { readonly kind: "partition"; readonly process: string; readonly direction: "from" | "to" | "both"; readonly ms: number }
  | { readonly kind: "loss"; readonly rate: number; readonly ms: number }
  | { readonly kind: "duplication"; readonly rate: number; readonly ms: number }
  | { readonly kind: "delay"; readonly rate: number; readonly delayMs: number; readonly ms: number }
  /** The service in the middle. */
  | { readonly kind: "service down"; readonly ms: number }
  /** The log is at its byte limit for a while. */
  | { readonly kind: "log full"; readonly ms: number }
  | { readonly kind: "log forgets"; readonly entries: number }
  | { readonly kind: "service forgets all" }
  | { readonly kind: "blobs lost"; readonly share: number }
  | { readonly kind: "blob bit flipped" }
  /** Disks of coordinators. */
  | { readonly kind: "full disk"; readonly coordinator: number; readonly ms: number }
  | { readonly kind: "older disk"; readonly coordinator: number; readonly downMs: number }
  | { readonly kind: "lost disk"; readonly coordinator: number; readonly downMs: number }
  /** The gateway: killed or cut from power, frozen, cut from everybody in one direction or both. */
  | { readonly kind: "kill gateway"; readonly isPowerCut: boolean; readonly downMs: number }
  | { readonly kind: "pause gateway"; readonly ms: number }
  | { readonly kind: "cut gateway"; readonly direction: "from" | "to" | "both"; readonly ms: number }
  /** Bytes that are no message, on every subject of the bus. */
  | { readonly kind: "poison" };

export type FaultKind = Fault["kind"];

/** A fault and its moment: when the cluster has committed `tick` (of the run that is furthest behind), `afterMs` later, at the process's port call number `step` from then (0 = at once). */
export interface Strike {
  readonly tick: number;
  readonly afterMs: number;
  readonly step: number;
  readonly fault: Fault;
}

/** One seed's world: what runs, on how many machines, and what befalls them. */
export interface Schedule {
  readonly seed: number;
  readonly coordinators: number;
  readonly nodes: number;
  readonly workers: number;
  readonly plans: readonly number[];
  readonly shards: number;
  readonly spanTicks: number;
  readonly checkpointTicks: number;
  /** Whether there is a gateway, with releases, clients and a ledger. */
  readonly hasGateway: boolean;
  readonly population: "stored" | "procedural";
  /** Computing time of a shard's span, ms. */
  readonly computeMs: number;
  readonly strikes: readonly Strike[];
  /** Whether the owner of a run removes it when it is done, and submits it once more. */
  readonly removals?: boolean;
}

/** Kinds that are drawn. Bits flipped in a node's memory come on top, in some seeds: only double runs find those, and there every block is computed twice. */
export const FAULT_KINDS: readonly FaultKind[] = [
  "kill node", "pause node", "drain node", "add node", "kill coordinator", "stop coordinator", "power cut", "pause coordinator", "blocked loop", "clock leap", "partition", "loss", "duplication", "delay",
  "service down", "log full", "log forgets", "service forgets all", "blobs lost", "blob bit flipped", "full disk", "older disk", "lost disk", "kill gateway", "pause gateway", "cut gateway", "poison",
];

/** Share of the seeds in which bits of nodes' memory flip. */
const FLIPS_SHARE = 0.12;
const FLIPS_MAX = 3;
const FLIP_KINDS = ["state bit flipped", "output bit flipped"] as const;

export interface ScheduleOptions {
  /** Kinds that may be drawn. */
  readonly kinds: readonly FaultKind[];
  /** Whether bits of nodes' memory flip in every seed, or in none; default: in FLIPS_SHARE of them. */
  readonly flips?: boolean;
  /** Whether runs are removed when they are done, and submitted once more; default: they are not. */
  readonly removals?: boolean;
}

/** Least of a seed: fewer faults, or of fewer kinds, would pass for coverage. */
export const FAULTS_MIN = 5;
export const KINDS_MIN = 3;
const FAULTS_MAX = 9;
/** Faults that cost a copy of the truth: of these a seed has those that hit one side only, for "all copies lost at once" is not claimed. */
const COSTS_SERVICE: ReadonlySet<FaultKind> = new Set(["log forgets", "service forgets all", "blobs lost", "blob bit flipped"]);
const OF_GATEWAY: ReadonlySet<FaultKind> = new Set(["kill gateway", "pause gateway", "cut gateway"]);
const COSTS_DISK: ReadonlySet<FaultKind> = new Set(["older disk", "lost disk", "power cut"]);

/** Where inputs come from outside, a log that forgets a sealed one has lost it: the runs that have such inputs keep them elsewhere. */
export const KINDS_WITH_LIVE_INPUTS: readonly FaultKind[] = FAULT_KINDS.filter((kind) => !COSTS_SERVICE.has(kind));

/** The schedule of a seed. */
export function scheduleOf(seed: number, { kinds, flips, removals }: ScheduleOptions): Schedule {
  if (kinds.length < KINDS_MIN) throw new Error(`a schedule needs ${KINDS_MIN} kinds of faults`);
  const chance = chanceOf(seed, "schedule");
  const spared = chance() < 0.5 ? COSTS_SERVICE : COSTS_DISK;
  const hasGateway = chance() < 0.4;
  const allowed = kinds.filter((kind) => !spared.has(kind) && (hasGateway || !OF_GATEWAY.has(kind)));
  const coordinators = between(chance, 2, 3), nodes = between(chance, 3, 5);
  const plans = chance() < 0.2 ? [between(chance, 0, SAMPLE_PLANS / 2 - 1) * 2, between(chance, 0, SAMPLE_PLANS / 2 - 1) * 2 + 1] : [between(chance, 0, SAMPLE_PLANS - 1)];
  const count = between(chance, FAULTS_MIN, FAULTS_MAX);
  const drawn = Array.from({ length: KINDS_MIN }, () => oneOf(chance, allowed));
  const strikes: Strike[] = [];
  while (strikes.length < count || new Set(strikes.map(({ fault }) => fault.kind)).size < KINDS_MIN) {
    // A few kinds a seed, often repeated: two pauses of the same leader find more than one of everything.
    const kind = chance() < 0.5 ? oneOf(chance, drawn) : oneOf(chance, allowed);
    strikes.push({ tick: between(chance, -1, 17), afterMs: chance() < 0.5 ? 0 : Math.round(chance() * chance() * 2000), step: between(chance, 0, 12), fault: faultOf(kind, chance, coordinators, nodes) });
  }
  // A chance of their own: the other faults of a seed are the same with them and without.
  const flipChance = chanceOf(seed, "flips");
  if (flipChance() < (flips === undefined ? FLIPS_SHARE : Number(flips))) {
    for (let flipped = between(flipChance, 1, FLIPS_MAX); flipped > 0; flipped -= 1) {
      strikes.push({ tick: between(flipChance, -1, 17), afterMs: Math.round(flipChance() * flipChance() * 500), step: 0, fault: { kind: oneOf(flipChance, FLIP_KINDS), node: between(flipChance, 0, nodes - 1) } });
    }
  }
  return {
    seed, coordinators, nodes, plans, hasGateway, strikes: strikes.toSorted((left, right) => left.tick - right.tick),
    workers: between(chance, 1, 2),
    shards: between(chance, 2, 6),
    spanTicks: oneOf(chance, [1, 2, 3, 5]),
    checkpointTicks: oneOf(chance, [2, 3, 4, 7, 1000]),
    population: oneOf(chance, ["stored", "procedural"] as const),
    computeMs: oneOf(chance, [1, 5, 20, 80]),
    ...(removals === true ? { removals } : {}),
  };
}

function faultOf(kind: FaultKind, chance: Chance, coordinators: number, nodes: number): Fault {
  const node = between(chance, 0, nodes - 1), coordinator = between(chance, 0, coordinators - 1);
  const process = chance() < 0.5 ? `node-${node}` : `coordinator-${coordinator}`;
  // Mostly below the leases and silences that would be noticed, sometimes far beyond.
  const ms = Math.round(chance() < 0.6 ? 50 + chance() * 1500 : 2000 + chance() * chance() * 8000);
  const downMs = Math.round(chance() < 0.5 ? chance() * 500 : chance() * 5000);
  switch (kind) {
    case "kill node": case "drain node": return { kind, node, downMs };
    case "pause node": return { kind, node, ms: chance() < 0.1 ? 30_000 : ms };
    case "state bit flipped": case "output bit flipped": return { kind, node };
    case "add node": case "service forgets all": case "blob bit flipped": case "poison": return { kind };
    case "kill coordinator": case "stop coordinator": case "power cut": case "older disk": case "lost disk": return { kind, coordinator, downMs };
    case "pause coordinator": return { kind, coordinator, ms: chance() < 0.1 ? 30_000 : ms };
    case "kill gateway": return { kind, isPowerCut: chance() < 0.5, downMs };
    case "pause gateway": return { kind, ms };
    case "cut gateway": return { kind, direction: oneOf(chance, ["from", "to", "both"] as const), ms };
    case "full disk": return { kind, coordinator, ms };
    case "blocked loop": return { kind, process, ms: 10_000 };
    case "clock leap": return { kind, process, ms: 3_600_000 };
    case "partition": return { kind, process, direction: oneOf(chance, ["from", "to", "both"] as const), ms };
    case "loss": return { kind, rate: oneOf(chance, [0.02, 0.1, 0.3]), ms };
    case "duplication": return { kind, rate: oneOf(chance, [0.1, 0.5]), ms };
    case "delay": return { kind, rate: oneOf(chance, [0.05, 0.3]), delayMs: oneOf(chance, [100, 2000, 10_000, 60_000]), ms };
    case "service down": case "log full": return { kind, ms };
    case "log forgets": return { kind, entries: oneOf(chance, [1, 2, 5, 20, 100]) };
    case "blobs lost": return { kind, share: oneOf(chance, [0.2, 1]) };
  }
}
