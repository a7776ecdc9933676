import type { Input } from "@populace/protocol";
import type { ClusterRecord, CommitSeen, Expected } from "./records.ts";

/** A broken promise of the protocol: which one, and what was seen. */
export interface Violation {
  readonly invariant: string;
  readonly message: string;
}

export interface InvariantOptions {
  /** What each run should come to; runs without an entry are held to the other invariants alone. */
  readonly expected: ReadonlyMap<string, Expected>;
  /** I11: longest time from the last disturbance to the next commit and from there to the outcome. */
  readonly recoveryMs: number;
  /** Whether every expected run must have an outcome by the end. */
  readonly mustFinish: boolean;
}

type Of<K extends ClusterRecord["kind"]> = Extract<ClusterRecord, { kind: K }>;

/** One promise over all records; each is named as in the protocol. */
type Checker = (records: readonly ClusterRecord[], options: InvariantOptions) => Iterable<string>;

const of = <K extends ClusterRecord["kind"]>(records: readonly ClusterRecord[], kind: K): Of<K>[] => records.filter((record): record is Of<K> => record.kind === kind);
const short = (hash: string): string => hash.slice(0, 12);

/** The promises I1 to I13 of the cluster, and that no process dies of an error nobody caught. */
export const INVARIANTS: Readonly<Record<string, Checker>> = {
  /** Commits of a run are t = 0, 1, 2, ... in every copy, and each prevRoot chains. */
  *I1(records) {
    const copies = new Map<string, Map<number, CommitSeen>>();
    for (const record of records) {
      if (record.kind === "forgot") for (const key of copies.keys()) if (key.startsWith(`${record.observer} `)) copies.delete(key);
      if (record.kind !== "commit") continue;
      const { observer, commit } = record, key = `${observer} ${commit.run}`;
      const copy = copies.get(key) ?? new Map<number, CommitSeen>();
      copies.set(key, copy);
      if (copy.has(commit.tick)) continue;
      if (commit.tick > 0 && !copy.has(commit.tick - 1)) yield `${observer}: tick ${commit.tick} of run ${short(commit.run)} is committed, tick ${commit.tick - 1} is not`;
      const before = commit.tick === 0 ? commit.run : copy.get(commit.tick - 1)?.root;
      if (before !== undefined && before !== commit.prevRoot) yield `${observer}: tick ${commit.tick} of run ${short(commit.run)} builds on ${short(commit.prevRoot)}, the tick before has ${short(before)}`;
      copy.set(commit.tick, commit);
    }
  },

  /** One final root per (run, t), ever, across all copies; and what is final lies on its leader's disk. */
  *I2(records) {
    const roots = new Map<string, { readonly root: string; readonly observer: string }>();
    // A commit that a flipped bit made false and that the log forgot comes out right when it is computed again, which I3 holds it to; copies may have it still.
    const hasFlips = records.some(({ kind }) => kind === "flipped"), forgotten = new Set<string>();
    for (const record of records) {
      if (record.kind === "forgot" && hasFlips) {
        for (const [key, { root, observer }] of roots) if (observer === record.observer && roots.delete(key)) forgotten.add(`${key} ${root}`);
      }
      if (record.kind !== "commit") continue;
      const { observer, commit } = record, key = `${commit.run} ${commit.tick}`, first = roots.get(key);
      if (first === undefined) roots.set(key, { root: commit.root, observer });
      else if (first.root !== commit.root && ![first.root, commit.root].some((root) => forgotten.has(`${key} ${root}`))) yield `tick ${commit.tick} of run ${short(commit.run)} has root ${short(commit.root)} in ${observer} and ${short(first.root)} in ${first.observer}`;
    }
    for (const { by, run, tick, isDurable } of of(records, "flushed")) {
      if (!isDurable) yield `tick ${tick} of run ${short(run)} was appended to COMMIT by ${by}, whose own disk would not hold it after a power cut`;
    }
  },

  /** The roots equal those of the same run in one process without faults, given the inputs that were sealed. */
  *I3(records, { expected }) {
    for (const [run, truth] of expected) {
      const roots = truth.roots(sealedInputs(records, run));
      for (const { observer, commit } of of(records, "commit")) {
        if (commit.run === run && commit.root !== roots[commit.tick]) yield `${observer}: tick ${commit.tick} of run ${short(run)} has root ${short(commit.root)}; without faults it is ${short(roots[commit.tick])}`;
      }
      for (const outcome of of(records, "outcome")) {
        if (outcome.run === run && outcome.root !== roots[truth.ticks - 1]) yield `${outcome.observer} was told that run ${short(run)} ended with root ${short(outcome.root)}; without faults it is ${short(roots[truth.ticks - 1])}`;
      }
    }
  },

  /** Every accepted output of (t, block) has one hash. */
  *I4(records, { expected }) {
    const accepted = new Map<string, { readonly hash: string; readonly incarnation: string }>();
    for (const { slot } of of(records, "slot")) {
      const truth = expected.get(slot.run);
      for (let offset = 0; offset < slot.span; offset += 1) {
        for (let index = 0; index < slot.blocks; index += 1) {
          const at = (offset * slot.blocks + index) * 64, block = slot.firstBlock + index, tick = slot.tick + offset;
          const bytes = Buffer.from(slot.hashes.buffer, slot.hashes.byteOffset + at, 64);
          if (truth !== undefined) {
            if (bytes.compare(truth.leaves(tick), block * 64, block * 64 + 64) !== 0) yield `block ${block} at tick ${tick} of run ${short(slot.run)}: ${slot.incarnation} filled its slot with another output than a run without faults has`;
            continue;
          }
          const key = `${slot.run} ${tick} ${block}`, hash = bytes.toString("hex"), first = accepted.get(key);
          if (first === undefined) accepted.set(key, { hash, incarnation: slot.incarnation });
          else if (first.hash !== hash) yield `block ${block} at tick ${tick} of run ${short(slot.run)}: ${slot.incarnation} and ${first.incarnation} filled slots with different outputs`;
        }
      }
    }
  },

  /** Conservation: exposures of the outcome are those of the run without faults, and its integer counts are, each exactly once. */
  *I5(records, { expected }) {
    for (const { observer, run, exposures, counts } of of(records, "outcome")) {
      const truth = expected.get(run);
      if (truth === undefined) continue;
      if (exposures !== truth.exposures) yield `${observer}: run ${short(run)} counts ${exposures} exposures; ${truth.exposures} took place`;
      const wrong = counts.length === truth.counts.length ? counts.findIndex((count, index) => count !== truth.counts[index]) : 0;
      if (wrong >= 0) yield `${observer}: count ${wrong} of run ${short(run)} is ${counts[wrong]}, expected ${truth.counts[wrong]}`;
    }
  },

  /**
   * No COMMIT with a term below one already there. A log that lost its store counts sequences from 1 again, and an append that was on its way meanwhile may
   * hit the one that it expects by accident: nobody's mistake where it repeats a commit that is there.
   */
  *I6(records) {
    const highest = new Map<string, number>(), there = new Set<string>(), reborn = new Set<string>();
    for (const record of records) {
      if (record.kind === "forgot") {
        reborn.add(record.observer);
        for (const key of highest.keys()) if (key.startsWith(`${record.observer} `)) highest.delete(key);
        for (const key of there) if (key.startsWith(`${record.observer} `)) there.delete(key);
      }
      if (record.kind !== "commit") continue;
      const { observer, commit: { run, tick, term, root } } = record, key = `${observer} ${run}`, before = highest.get(key) ?? 0, seen = `${key} ${tick} ${root}`;
      if (term < before && !(reborn.has(observer) && there.has(seen))) yield `${observer}: tick ${tick} of run ${short(run)} was committed with term ${term} after term ${before}`;
      highest.set(key, Math.max(before, term));
      there.add(seen);
    }
  },

  /**
   * Views and terms grow for every observer, and a term belongs to one leadership, whatever the registry forgot (term 1 excepted: who knows of no term
   * cannot tell a registry that forgot the first one from a new one); the inputs of a tick never change once sealed. A registry that lost
   * its store counts revisions from 1 again: its lives are looked at one by one, and a compare-and-set whose writer learnt the revision in an earlier
   * life may hit it by accident. Such a write is nobody's mistake (its term is fenced by nodes and commits: I6); what replaces it is held to it again.
   */
  *I7(records) {
    const terms = new Map<string, Of<"term">>(), views = new Map<string, number>(), sealed = new Map<string, string>(), committed = new Set<string>(), given = new Map<number, string>();
    for (const record of records) {
      if (record.kind === "forgot") {
        views.delete(record.observer);
        terms.delete(record.observer);
        // What was sealed and not committed is nowhere any more, so the tick is sealed anew; what a COMMIT names stays on its leader's disk.
        if (record.observer === "log") for (const key of sealed.keys()) if (!committed.has(key)) sealed.delete(key);
      } else if (record.kind === "term") {
        const { observer, term, nonce = "" } = record, before = terms.get(observer), holder = given.get(term) ?? nonce;
        const isHeld = before !== undefined && record.isStale !== true;
        if (isHeld && term < before.term) yield `${observer} saw term ${term} after term ${before.term}`;
        else if (isHeld && term === before.term && nonce !== "" && nonce !== before.nonce) yield `${observer} saw term ${term} of ${nonce} after ${before.nonce === "" ? "it had been left" : `that of ${before.nonce}`}`;
        else if (nonce !== "" && nonce !== holder && term > 1) yield `term ${term} was given to ${holder} and to ${nonce}`;
        terms.set(observer, record);
        if (nonce !== "") given.set(term, holder);
      } else if (record.kind === "view") {
        const before = views.get(record.observer) ?? 0;
        if (record.view < before && record.isStale !== true) yield `${record.observer} saw view ${record.view} after view ${before}`;
        views.set(record.observer, record.view);
      } else if (record.kind === "input") {
        const key = `${record.input.run} ${record.input.tick}`, before = sealed.get(key);
        // Nobody reads the input of a committed tick: who was deposed may fill its slot again once it was cleared.
        if (committed.has(key)) continue;
        if (before !== undefined && before !== record.inputHash) yield `the inputs of tick ${record.input.tick} of run ${short(record.input.run)} were sealed twice: ${short(before)}, then ${short(record.inputHash)}`;
        sealed.set(key, record.inputHash);
      } else if (record.kind === "commit") {
        committed.add(`${record.commit.run} ${record.commit.tick}`);
        const before = sealed.get(`${record.commit.run} ${record.commit.tick}`);
        if (before !== undefined && before !== record.commit.inputHash) yield `tick ${record.commit.tick} of run ${short(record.commit.run)} was committed with inputs ${short(record.commit.inputHash)}; ${short(before)} were sealed`;
      }
    }
  },

  /** Only announced releases are served, and their numbers never step back for a client. */
  *I8(records) {
    const models = new Map<number, string>(), seen = new Map<string, number>();
    for (const record of records) {
      if (record.kind === "announced") {
        if (models.has(record.release) && models.get(record.release) !== record.model) yield `release ${record.release} was announced for two models`;
        models.set(record.release, record.model);
      } else if (record.kind === "served") {
        if (models.get(record.release) !== record.model) yield `${record.observer} was served release ${record.release} (model ${short(record.model)}), which was not announced so`;
        if (record.release < (seen.get(record.observer) ?? 0)) yield `${record.observer} was served release ${record.release} after ${seen.get(record.observer)}`;
        seen.set(record.observer, Math.max(record.release, seen.get(record.observer) ?? 0));
      }
    }
  },

  /** Every acknowledged outside event is in exactly one committed tick. */
  *I9(records) {
    const ticks = new Map<string, Set<string>>();
    for (const { run, tick, eventIds } of of(records, "ledgered")) {
      if (new Set(eventIds).size !== eventIds.length) yield `tick ${tick} of ledger ${short(run)} holds an event twice`;
      for (const eventId of eventIds) ticks.set(eventId, (ticks.get(eventId) ?? new Set()).add(`${run} ${tick}`));
    }
    for (const { eventId } of of(records, "acknowledged")) {
      const count = ticks.get(eventId)?.size ?? 0;
      if (count !== 1) yield `event ${eventId} was acknowledged and is in ${count} committed ticks`;
    }
  },

  /** What a checkpoint names, and what is restored from one, are the states of the committed tick. */
  *I10(records, { expected }) {
    for (const { observer, commit } of of(records, "commit")) {
      const truth = expected.get(commit.run);
      for (const [block, hash] of commit.checkpoint.entries()) {
        if (truth !== undefined && truth.state(commit.tick, block) !== hash) yield `${observer}: the checkpoint of tick ${commit.tick} of run ${short(commit.run)} names ${short(hash)} for block ${block}; its state is ${short(truth.state(commit.tick, block))}`;
      }
    }
    for (const { by, run, block, tick, stateHash } of of(records, "restored")) {
      const truth = expected.get(run);
      if (truth !== undefined && tick >= 0 && truth.state(tick, block) !== stateHash) yield `${by} restored block ${block} of run ${short(run)} at tick ${tick} from ${short(stateHash)}; its state is ${short(truth.state(tick, block))}`;
    }
  },

  /** After the last disturbance the next commit comes within the stated time, and so does the end. */
  *I11(records, { expected, recoveryMs, mustFinish }) {
    const calmMs = of(records, "calm").at(-1)?.atMs;
    const done = new Set(of(records, "outcome").map(({ run }) => run));
    if (mustFinish) for (const run of expected.keys()) if (!done.has(run)) yield `run ${short(run)} has no outcome`;
    if (calmMs === undefined) return;
    for (const run of expected.keys()) {
      const commits = of(records, "commit").filter(({ observer, commit }) => observer === "log" && commit.run === run);
      const ticks = new Set(commits.filter(({ atMs }) => atMs <= calmMs).map(({ commit }) => commit.tick));
      if (ticks.size >= expected.get(run)!.ticks) continue;
      const next = commits.find(({ atMs }) => atMs > calmMs);
      if (next !== undefined && next.atMs - calmMs > recoveryMs) yield `run ${short(run)} committed nothing for ${Math.round(next.atMs - calmMs)} ms after the last disturbance; ${recoveryMs} ms are allowed`;
    }
  },

  /** Memory, stream bytes and open handles stay bounded. */
  *I12(records) {
    for (const { what, value, bound } of of(records, "usage")) if (value > bound) yield `${what}: ${value}, at most ${bound} are allowed`;
  },

  /** No incarnation fills a slot of a tick that was opened under a view in which it was dead already. */
  *I13(records) {
    const deadSince = new Map<string, number>();
    for (const record of records) {
      if (record.kind === "forgot" && record.observer === "registry") deadSince.clear();
      else if (record.kind === "view" && record.isStale !== true) {
        for (const incarnation of record.dead) if (!deadSince.has(incarnation)) deadSince.set(incarnation, record.view);
        for (const incarnation of record.members) if (deadSince.has(incarnation)) yield `view ${record.view} has ${incarnation} as a member, which was dead in view ${deadSince.get(incarnation)}`;
      } else if (record.kind === "slot") {
        const since = deadSince.get(record.slot.incarnation);
        if (since !== undefined && record.slot.view >= since) yield `${record.slot.incarnation}, dead since view ${since}, filled shard ${record.slot.shard} of tick ${record.slot.tick} under view ${record.slot.view}`;
      }
    }
  },

  /** A node is quarantined only if a bit of its memory had flipped, and no attempt is judge of its own dispute. */
  *liars(records) {
    const flipped = new Set<string>();
    for (const record of records) {
      if (record.kind === "flipped") flipped.add(record.by);
      if (record.kind === "disputed") yield `attempt ${record.attempt} of run ${short(record.run)} goes on with its own dispute`;
      if (record.kind === "quarantined" && !flipped.has(record.incarnation)) yield `${record.incarnation} was quarantined for what it said of run ${short(record.run)}; no bit of its memory had flipped`;
    }
  },

  /** Nobody dies of an error that nobody caught. */
  *uncaught(records) {
    for (const { who, error } of of(records, "died")) yield `${who} died: ${error}`;
  },
};

/** Everything that was promised and not kept, at most `limit` a promise. */
export function violations(seen: readonly ClusterRecord[], options: InvariantOptions, limit = 3): readonly Violation[] {
  const hasFlips = seen.some(({ kind }) => kind === "flipped"), unchecked = hasFlips ? uncheckedRuns(seen) : new Set<string>();
  const records = claimed(hasFlips ? standing(seen).filter((record) => record.kind !== "slot" || !unchecked.has(record.slot.run)) : seen);
  const expected = new Map([...options.expected].filter(([run]) => !unchecked.has(run)));
  return Object.entries(INVARIANTS).flatMap(([invariant, check]) => {
    const found: Violation[] = [];
    for (const message of check(records, invariant === "I11" ? options : { ...options, expected })) {
      found.push({ invariant, message });
      if (found.length >= limit) break;
    }
    return found;
  });
}

/**
 * What still stands where bits of memory flipped: what a node said in an attempt that was given up, or ended frozen, or of ticks that were committed by then (their slots
 * were purged, and nobody reads them), and what was committed before a run began anew, may be false. Nothing else is excused, least of all the outcome of a run of which every block was compared with a second computation.
 */
function standing(records: readonly ClusterRecord[]): readonly ClusterRecord[] {
  const last = new Map<string, Omit<Of<"attempt">, "kind" | "run" | "uncheckedFrom">>();
  for (const { run, attempt, firstAttempt, isFrozen } of of(records, "attempt")) {
    const before = last.get(run) ?? { attempt: 0, firstAttempt: 0, isFrozen: false };
    last.set(run, { attempt: Math.max(before.attempt, attempt), firstAttempt: Math.max(before.firstAttempt, firstAttempt), isFrozen: attempt < before.attempt ? before.isFrozen : isFrozen });
  }
  const isGivenUp = (run: string, attempt: number): boolean => {
    const newest = last.get(run);
    return newest !== undefined && (attempt < newest.attempt || (attempt === newest.attempt && newest.isFrozen));
  };
  const latest = new Map<string, number>(), keyOf = ({ observer, commit }: Of<"commit">): string => `${observer} ${commit.run} ${commit.tick}`;
  for (const record of of(records, "commit")) latest.set(keyOf(record), Math.max(latest.get(keyOf(record)) ?? 0, record.commit.attempt));
  const counts = ({ commit }: Of<"commit">): boolean => commit.attempt >= (last.get(commit.run)?.firstAttempt ?? 0), rootOf = ({ commit }: Of<"commit">): string => `${commit.run} ${commit.tick} ${commit.root}`;
  // A checkpoint that a later attempt took again is nobody's any more.
  const replaced = (record: Of<"commit">): Of<"commit"> => (record.commit.attempt < latest.get(keyOf(record))! || !counts(record) ? { ...record, commit: { ...record.commit, checkpoint: [] } } : record);
  // One from before that is in the chain that counts: its copy may not have heard yet that it was committed anew.
  const roots = new Set(of(records, "commit").filter(counts).map(rootOf)), late = new Set<ClusterRecord>(), committed = new Map<string, number>();
  for (const record of records) {
    if (record.kind === "commit") committed.set(`${record.commit.run} ${record.commit.attempt}`, record.commit.tick);
    if (record.kind === "slot" && record.slot.tick + record.slot.span - 1 <= (committed.get(`${record.slot.run} ${record.slot.attempt}`) ?? -1)) late.add(record);
  }
  return records.map((record) => (record.kind === "commit" ? replaced(record) : record)).filter((record) => {
    if (record.kind === "commit") return counts(record) || roots.has(rootOf(record));
    if (record.kind === "slot") return !isGivenUp(record.slot.run, record.slot.attempt) && !late.has(record);
    if (record.kind === "restored") return !isGivenUp(record.run, record.attempt);
    return true;
  });
}

/**
 * Without a ledger that was parted: who holds its only copy and is away for longer than a TTL, while the transport forgets, finds another chain when it is
 * back, and the ledger freezes. That it does not is not claimed.
 */
function claimed(records: readonly ClusterRecord[]): readonly ClusterRecord[] {
  const parted = new Set(of(records, "parted").map(({ run }) => run));
  if (parted.size === 0) return records;
  return records.filter((record) => {
    if (record.kind === "commit") return !parted.has(record.commit.run);
    if (record.kind === "input") return !parted.has(record.input.run);
    return record.kind === "ledgered" || record.kind === "flushed" ? !parted.has(record.run) : record.kind !== "acknowledged";
  });
}

/** Runs that a bit may have falsified unseen: some of their blocks were computed once only, as their record says in the end. */
function uncheckedRuns(records: readonly ClusterRecord[]): ReadonlySet<string> {
  const last = new Map(of(records, "attempt").map((record) => [record.run, record]));
  return new Set([...last.values()].filter(({ uncheckedFrom }) => uncheckedFrom >= 0).map(({ run }) => run));
}

/** The input that each tick was sealed with: the one its first commit names where a service forgot another (I7 holds the rest to be one), else the first. */
function sealedInputs(records: readonly ClusterRecord[], run: string): ReadonlyMap<number, Input> {
  const named = new Map<number, string>(), inputs = new Map<number, Input>();
  for (const { commit } of of(records, "commit")) if (commit.run === run && !named.has(commit.tick)) named.set(commit.tick, commit.inputHash);
  for (const { input, inputHash } of of(records, "input")) if (input.run === run && (!inputs.has(input.tick) || named.get(input.tick) === inputHash)) inputs.set(input.tick, input);
  return inputs;
}
