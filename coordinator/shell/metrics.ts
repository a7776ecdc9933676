import type { RunState } from "@populace/protocol";

/** What a coordinator counts since it started, and what it sees now; base units. */
export interface CoordinatorMetrics {
  readonly role: "standby" | "leader";
  readonly term: number;
  readonly view: number;
  readonly members: number;
  readonly runs: Readonly<Record<RunState, number>>;
  /** Runs that another computation contradicts, and whether the release that production serves rests on one. */
  readonly suspectRuns: number;
  readonly isReleaseSuspect: boolean;
  readonly counters: Readonly<Counters>;
}

export interface Counters {
  ticksCommitted: number;
  exposuresCommitted: number;
  /** Time from a whole barrier to its acknowledged COMMIT, in seconds: sum, and number of spans. */
  commitSeconds: number;
  commits: number;
  /** Times this process began to lead. */
  terms: number;
  /** Attempts begun anew after a loss: of slots, of a checkpoint. */
  attemptsRestarted: number;
  /** Records appended to COMMIT again because it had lost them, and logs rewritten because they had holes. */
  commitsRepaired: number;
  logsRewritten: number;
  /** Tentative commits discarded because COMMIT contradicted them. */
  commitsDiscarded: number;
  /** Commits adopted from COMMIT that the own store lacked, as a leader. */
  commitsAdopted: number;
  checkpointsLost: number;
  /** Failures that nodes reported, and nodes that others were asked instead of. */
  nodeFailures: number;
  nodesUnfit: number;
  divergences: number;
  /** Ticks that waited because the slots between two checkpoints neared their limit. */
  opensDelayed: number;
  /** Shards that moved: at a barrier as planned, and after the loss of a node. */
  shardsMoved: number;
  shardsRescued: number;
  /** Checks of shards' drawn blocks on a second node, and those that nobody answered. */
  doubleRuns: number;
  doubleRunsGivenUp: number;
  /** Ticks of ledgers, and real outcomes in them. */
  ledgerTicks: number;
  ledgerCheckpoints: number;
  outcomesCounted: number;
  outcomesRefused: number;
  /** Late shards that were given to a second node as well. */
  speculations: number;
}

/** All zero. */
export const noCounts = (): Counters => ({
  ticksCommitted: 0, exposuresCommitted: 0, commitSeconds: 0, commits: 0, terms: 0, attemptsRestarted: 0, commitsRepaired: 0, logsRewritten: 0,
  commitsDiscarded: 0, commitsAdopted: 0, checkpointsLost: 0, nodeFailures: 0, nodesUnfit: 0, divergences: 0, opensDelayed: 0,
  shardsMoved: 0, shardsRescued: 0, doubleRuns: 0, doubleRunsGivenUp: 0, ledgerTicks: 0, ledgerCheckpoints: 0, outcomesCounted: 0, outcomesRefused: 0, speculations: 0,
});
