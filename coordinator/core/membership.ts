import { LIMITS, type Heartbeat } from "@populace/protocol";
import { arrived, excused, firstArrival, verdict, type Arrivals } from "./failure-detector.ts";

/** Nodes of a tenant as heartbeats tell: the first heartbeat of an incarnation is its join, silence its death. */
export interface Membership {
  /** Grows with every join, drain, leave and death, and whenever shards change owners. */
  readonly view: number;
  readonly members: ReadonlyMap<string, Member>;
  /** Incarnations that were declared dead or left, the newest DEAD_MAX; they never come back under that name. */
  readonly dead: ReadonlySet<string>;
  readonly observer: Observer;
}

/** What the observer knows of itself: it may be blocked, or its bus may be dead, and neither is a node's fault. */
export interface Observer {
  readonly lastLookMs: number;
  /** When it last heard its own beat, which takes the way that the nodes' beats take. */
  readonly lastEchoMs: number;
}

export interface Member {
  readonly heartbeat: Heartbeat;
  readonly arrivals: Arrivals;
}

/** A node that has been dead for so many deaths has long read it, or its process is gone. */
const DEAD_MAX = 1000;

/** Without its own beat for so long the observer's bus is dead: three beats and a half. */
const ECHO_SILENCE_MS = 3.5 * LIMITS.heartbeatMs;
/** How long nodes have to find the bus again after it was dead: clients try every two seconds, with some jitter. */
const RECONNECT_MS = 5000;

/** Nobody yet, under a view that is above all before it; `dead` are those of the view before. */
export const noMembers = (view: number, nowMs: number, dead: readonly string[] = []): Membership => ({ view, members: new Map(), dead: new Set(dead), observer: { lastLookMs: nowMs, lastEchoMs: nowMs } });

/** Above a view that another leader wrote, too late to be known when this one began: who was dead there is dead. */
export function above(membership: Membership, written: { readonly view: number; readonly dead: readonly string[] }): Membership {
  const unknown = written.dead.filter((incarnation) => !membership.dead.has(incarnation));
  const next = unknown.length === 0 ? membership : bury(membership, unknown);
  return written.view < next.view ? next : { ...next, view: written.view + 1 };
}

/** After one heartbeat. An incarnation marked dead stays dead. */
export function hear(membership: Membership, heartbeat: Heartbeat, nowMs: number): Membership {
  const { incarnation } = heartbeat;
  if (membership.dead.has(incarnation)) return membership;
  const before = membership.members.get(incarnation);
  // Of a stranger too: what it said before may come after its goodbye.
  if (heartbeat.state === "leaving") return bury(membership, [incarnation]);
  const arrivals = before === undefined ? firstArrival(nowMs, LIMITS.heartbeatMs) : arrived(before.arrivals, nowMs);
  const isNews = before?.heartbeat.state !== heartbeat.state;
  return { ...membership, view: membership.view + (isNews ? 1 : 0), members: new Map(membership.members).set(incarnation, { heartbeat, arrivals }) };
}

/** After the observer's own beat came back to it. If its bus was dead, the nodes have some time to find it again. */
export function hearEcho(membership: Membership, nowMs: number): Membership {
  const wasDeaf = nowMs - membership.observer.lastEchoMs > ECHO_SILENCE_MS;
  return { ...(wasDeaf ? excuse(membership, RECONNECT_MS) : membership), observer: { ...membership.observer, lastEchoMs: nowMs } };
}

/**
 * A look at everybody, every LIMITS.lookMs: marks those dead who stayed silent after their probe, and names those who are to be probed now. Time in
 * which the observer was blocked or heard not even itself counts against nobody.
 */
export function judge(before: Membership, nowMs: number): { readonly membership: Membership; readonly probes: readonly string[] } {
  const sinceLookMs = nowMs - before.observer.lastLookMs;
  const isBlocked = sinceLookMs > 2 * LIMITS.lookMs;
  const observer = { lastLookMs: nowMs, lastEchoMs: before.observer.lastEchoMs + (isBlocked ? sinceLookMs : 0) };
  const isDeaf = nowMs - observer.lastEchoMs > ECHO_SILENCE_MS;
  const membership = { ...(isDeaf || isBlocked ? excuse(before, sinceLookMs) : before), observer };
  const verdicts = [...membership.members].map(([incarnation, member]) => ({ incarnation, member, verdict: verdict(member.arrivals, nowMs) }));
  const dead = verdicts.filter((one) => one.verdict === "dead").map((one) => one.incarnation);
  const suspects = verdicts.filter((one) => one.verdict === "suspect");
  const members = new Map(membership.members);
  for (const { incarnation, member } of suspects) members.set(incarnation, { ...member, arrivals: { ...member.arrivals, suspectedMs: nowMs } });
  const marked = suspects.length === 0 ? membership : { ...membership, members };
  return { membership: dead.length === 0 ? marked : bury(marked, dead), probes: suspects.map((one) => one.incarnation) };
}

/** The next view of the same members: shards change owners. */
export const nextView = (membership: Membership): Membership => ({ ...membership, view: membership.view + 1 });

/** Whether the node keeps its shards only until the next barrier and is given none. */
export const isDraining = (member: Member): boolean => member.heartbeat.state === "draining";

const excuse = (membership: Membership, ms: number): Membership => ({
  ...membership,
  members: new Map([...membership.members].map(([incarnation, member]) => [incarnation, { ...member, arrivals: excused(member.arrivals, ms) }])),
});

function bury(membership: Membership, incarnations: readonly string[]): Membership {
  const members = new Map(membership.members);
  for (const incarnation of incarnations) members.delete(incarnation);
  return { ...membership, view: membership.view + 1, members, dead: new Set([...membership.dead, ...incarnations].slice(-DEAD_MAX)) };
}
