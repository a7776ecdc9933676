/**
 * Consent: a recipient's recorded permission for one purpose until a date. Every doubt is a refusal: an absent record, an
 * unreadable date, another purpose and an expired permission all mean "no consent".
 */

/** One recorded permission. */
export interface Consent {
  readonly purpose: string;
  /**
   * Last moment at which the permission holds: an ISO date (`2026-03-31`, to the end of that day in UTC), an ISO time with its
   * zone (`2026-03-31T12:00:00Z`), epoch milliseconds, or `null` for a permission that was explicitly given without an end.
   */
  readonly until: string | number | null;
}

/** Why a contact or a use of data is refused. */
export type ConsentRefusal = "absent" | "malformed" | "other purpose" | "expired";

const DAY_MS = 86_400_000;
const ISO_DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const ISO_TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3})\d*)?)?(Z|[+-]\d{2}:\d{2})$/;

/**
 * Returns why `consent` does not allow `purpose` at `atMs` (epoch milliseconds), or null when it does. `consent` may be
 * anything that came from outside: whatever is not a well-formed record is refused.
 */
export function consentRefusal(consent: unknown, purpose: string, atMs: number): ConsentRefusal | null {
  if (consent === null || consent === undefined) return "absent";
  if (typeof consent !== "object" || !Number.isFinite(atMs) || purpose === "") return "malformed";
  // Own properties only: a polluted prototype must not grant anything.
  if (!Object.hasOwn(consent, "purpose") || !Object.hasOwn(consent, "until")) return "malformed";
  const record = consent as { purpose: unknown; until: unknown };
  if (typeof record.purpose !== "string" || record.purpose === "") return "malformed";
  const untilMs = consentEndMs(record.until);
  if (untilMs === null) return "malformed";
  if (record.purpose !== purpose) return "other purpose";
  return atMs <= untilMs ? null : "expired";
}

/** True when the record allows the purpose at that time; false for anything absent, malformed, foreign or expired. */
export const allows = (consent: unknown, purpose: string, atMs: number): boolean => consentRefusal(consent, purpose, atMs) === null;

/**
 * Reads a consent from two cells of a data file: the purpose and the end. An empty or unreadable end is NOT an unlimited
 * permission but none at all (returns null), as is an empty purpose.
 */
export function readConsent(purposeText: string, untilText: string): Consent | null {
  const purpose = purposeText.trim();
  const text = untilText.trim();
  if (purpose === "" || text === "") return null;
  const until: string | number = /^\d{11,15}$/.test(text) ? Number(text) : text;
  return consentEndMs(until) === null ? null : { purpose, until };
}

/**
 * Last millisecond of a permission: Infinity for null (given without an end), null when the end cannot be read. Dates are
 * checked against the calendar; local times without a zone are refused, because their meaning depends on the machine.
 */
export function consentEndMs(until: unknown): number | null {
  if (until === null) return Number.POSITIVE_INFINITY;
  if (typeof until === "number") return Number.isFinite(until) && until > 0 ? until : null;
  if (typeof until !== "string") return null;
  const date = ISO_DATE.exec(until);
  if (date) {
    const startMs = dayStartMs(Number(date[1]), Number(date[2]), Number(date[3]));
    return startMs === null ? null : startMs + DAY_MS - 1;
  }
  const time = ISO_TIME.exec(until);
  if (!time) return null;
  const startMs = dayStartMs(Number(time[1]), Number(time[2]), Number(time[3]));
  const hour = Number(time[4]), minute = Number(time[5]), second = Number(time[6] ?? 0), milli = Number((time[7] ?? "0").padEnd(3, "0"));
  if (startMs === null || hour > 23 || minute > 59 || second > 59) return null;
  const zone = time[8]!;
  const offsetMinutes = zone === "Z" ? 0 : (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6)));
  if (Math.abs(offsetMinutes) > 14 * 60) return null;
  return startMs + ((hour * 60 + minute - offsetMinutes) * 60 + second) * 1000 + milli;
}

function dayStartMs(year: number, month: number, day: number): number | null {
  const ms = Date.UTC(year, month - 1, day);
  const back = new Date(ms);
  // Date.UTC rolls 31 April over to 1 May: a date that does not come back unchanged does not exist.
  return year >= 1970 && back.getUTCFullYear() === year && back.getUTCMonth() === month - 1 && back.getUTCDate() === day ? ms : null;
}
