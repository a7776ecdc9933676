import { LIMITS } from "./limits.ts";
import { SUBJECT_TABLE } from "./subjects.ts";

const MB = 1024 * 1024;

/** Slots of the runs under way are one part, the others hold what they fill beyond it and the slots of finished runs. */
const SLOT_PARTS = LIMITS.runsActiveMax + LIMITS.runsWithSlotsMax;

/** What the slots of runs under way may hold, of the bytes that SLOT was made with. */
export const slotBytesMaxOf = (streamBytes: number): number => Math.floor(streamBytes / SLOT_PARTS);

/**
 * The streams of a NATS server, by the subjects of the log they hold: coordinators make them, everyone reads them back and compares. slots keep
 * one body a subject, the first; records any number. At its limit a stream makes writers wait, or drops its oldest entries.
 */
export const STREAM_TABLE = [
  { name: "SLOT", subjects: ["pop.*.*.*.out.*.*"], keeps: "slots", bytesMax: LIMITS.slotStreamBytesMax * SLOT_PARTS, atLimit: "wait" },
  { name: "INPUT", subjects: ["pop.*.*.all.input.*"], keeps: "slots", bytesMax: 256 * MB, atLimit: "wait" },
  { name: "COMMIT", subjects: ["pop.*.*.all.commit"], keeps: "records", bytesMax: 1024 * MB, atLimit: "wait" },
  { name: "EVENT", subjects: ["pop.*.*.all.event"], keeps: "records", bytesMax: 256 * MB, atLimit: "wait" },
  { name: "OPEN", subjects: ["pop.*.*.*.open"], keeps: "records", bytesMax: 64 * MB, atLimit: "drop oldest" },
] as const;

/** Who a process is to the others. */
export const ROLE_NAMES = ["coordinator", "node", "gateway", "client"] as const;
export type Role = (typeof ROLE_NAMES)[number];

/** What a role may do, as filters of subjects and names of streams: what a server's permissions are made of. */
export interface Access {
  /** Bus subjects it publishes, and those it hears. */
  readonly publishes: readonly string[];
  readonly hears: readonly string[];
  /** Log subjects it writes, and streams it reads. */
  readonly writes: readonly string[];
  readonly reads: readonly string[];
  readonly writesRegistry: boolean;
  readonly writesBlobs: boolean;
}

/** The words of the subject table for those who write and read. */
const ROLES: Readonly<Record<string, readonly Role[]>> = {
  leader: ["coordinator"],
  "the leader itself": ["coordinator"],
  candidates: ["coordinator"],
  coordinators: ["coordinator"],
  nodes: ["node"],
  "that node": ["node"],
  gateways: ["gateway"],
  everyone: ROLE_NAMES,
};

/** The access of a role, read off the subject table. */
export function accessOf(role: Role): Access {
  const may = (words: string): boolean => words.split(", ").some((word) => rolesOf(word).includes(role));
  const filterOf = (pattern: string): string => pattern.replaceAll(/<[a-z]+>/g, "*");
  const rows = (port: RegExp, who: "writers" | "readers"): readonly string[] => SUBJECT_TABLE.filter((row) => port.test(row.port) && may(row[who])).map((row) => filterOf(row.pattern));
  const read = rows(/\blog\b/, "readers");
  return {
    publishes: rows(/\bbus\b/, "writers"),
    hears: rows(/\bbus\b/, "readers"),
    writes: rows(/\blog\b/, "writers"),
    reads: STREAM_TABLE.filter((stream) => stream.subjects.some((subject) => read.includes(subject))).map((stream) => stream.name),
    writesRegistry: rows(/^registry$/, "writers").length > 0,
    writesBlobs: role === "coordinator" || role === "node",
  };
}

function rolesOf(word: string): readonly Role[] {
  const roles = ROLES[word];
  if (roles === undefined) throw new RangeError(`the subject table says "${word}", whose roles are not known; the words are ${Object.keys(ROLES).join(", ")}`);
  return roles;
}
