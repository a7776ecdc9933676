import type { Heartbeat } from "@populace/protocol";

/** Nodes of a tenant as heartbeats tell: the first heartbeat of an incarnation is its join. Thin: silence alone marks one dead. */
export interface Membership {
  /** Grows with every join, leave and death. */
  readonly view: number;
  readonly members: ReadonlyMap<string, Member>;
  /** Incarnations that were declared dead or left; they never come back under that name. */
  readonly dead: ReadonlySet<string>;
}

export interface Member {
  readonly heartbeat: Heartbeat;
  readonly lastHeardMs: number;
}

export const noMembers = (view: number): Membership => ({ view, members: new Map(), dead: new Set() });

/** After one heartbeat. An incarnation marked dead stays dead. */
export function hear(membership: Membership, heartbeat: Heartbeat, nowMs: number): Membership {
  const { incarnation } = heartbeat;
  if (membership.dead.has(incarnation)) return membership;
  if (heartbeat.state === "leaving") return membership.members.has(incarnation) ? bury(membership, [incarnation]) : membership;
  const members = new Map(membership.members).set(incarnation, { heartbeat, lastHeardMs: nowMs });
  return { ...membership, view: membership.members.has(incarnation) ? membership.view : membership.view + 1, members };
}

/** Marks those dead who have been silent too long. */
export function reap(membership: Membership, nowMs: number, silenceMs: number): Membership {
  const silent = [...membership.members].filter(([, member]) => nowMs - member.lastHeardMs > silenceMs).map(([incarnation]) => incarnation);
  return silent.length === 0 ? membership : bury(membership, silent);
}

/** The observer itself was blocked: nobody's silence counts before this moment. */
export const forgive = (membership: Membership, nowMs: number): Membership => ({
  ...membership,
  members: new Map([...membership.members].map(([incarnation, member]) => [incarnation, { ...member, lastHeardMs: nowMs }])),
});

function bury(membership: Membership, incarnations: readonly string[]): Membership {
  const members = new Map(membership.members);
  for (const incarnation of incarnations) members.delete(incarnation);
  return { view: membership.view + 1, members, dead: new Set([...membership.dead, ...incarnations]) };
}
