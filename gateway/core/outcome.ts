import { allows, closestName, consentEndMs, encodeAttributes, findClosestPersona, PopulaceError, stimulusIndex } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { eventText, LIMITS } from "@populace/protocol";
import type { DecisionPolicy } from "./prioritize.ts";
import type { Outcome } from "./schemas.ts";

/** An outcome that cannot be counted, under its sender's id, and why. */
export interface DeadLetter {
  readonly id: string;
  readonly reason: string;
}

export interface SortedOutcomes {
  readonly accepted: readonly Outcome[];
  /** Outcomes of people who did not consent: never stored, only counted. */
  readonly withoutConsent: number;
  readonly refused: readonly DeadLetter[];
}

/**
 * Checks outcomes against the release: attributes, stimulus, step and time must be known and readable, and the time neither still to come nor more than
 * `horizonDays` days ago (infinite = never too old). Those that are not are refused one by one, with the reason, and the others taken; those without
 * consent are left out and counted. `BAD_REQUEST` when none of several can be counted.
 */
export function sortOutcomes(table: ScoreTable, outcomes: readonly Outcome[], purpose: string | undefined, policy: DecisionPolicy, atMs: number, horizonDays: number): SortedOutcomes {
  const refused: (DeadLetter & { readonly details: Readonly<Record<string, unknown>> })[] = [];
  const known = outcomes.filter((outcome, index) => {
    try {
      check(table, outcome, index, atMs, horizonDays);
      return true;
    } catch (error) {
      if (!(error instanceof PopulaceError)) throw error;
      refused.push({ id: outcome.id, reason: error.message, details: error.details });
      return false;
    }
  });
  // Nothing is kept, so that the sender can repeat the whole request.
  if (known.length === 0 && refused.length > 0) throw new PopulaceError("BAD_REQUEST", refused[0].reason, refused[0].details);
  const accepted = known.filter((outcome) => {
    const asked = policy.requireConsent || purpose !== undefined || outcome.consent !== undefined;
    const consents = Array.isArray(outcome.consent) ? outcome.consent : [outcome.consent];
    return !asked || consents.some((consent) => allows(consent, purpose ?? policy.purpose, atMs));
  });
  return { accepted, withoutConsent: known.length - accepted.length, refused: refused.map(({ id, reason }) => ({ id, reason })) };
}

function check(table: ScoreTable, outcome: Outcome, index: number, nowMs: number, horizonDays: number): void {
  const named = `outcome ${index} (${JSON.stringify(outcome.id)})`;
  if (stimulusIndex(table, outcome.stimulus) === -1) {
    const closest = closestName(outcome.stimulus, table.stimuli.map((stimulus) => stimulus.id));
    throw new PopulaceError("BAD_REQUEST", `${named}: stimulus ${JSON.stringify(outcome.stimulus)} is unknown; ${closest === null ? `expected one of ${table.stimuli.map((stimulus) => stimulus.id).slice(0, 12).join(", ")}` : `did you mean ${JSON.stringify(closest)}?`}`, { index, suggestion: closest });
  }
  if (outcome.reached !== null && !table.steps.includes(outcome.reached)) throw new PopulaceError("BAD_REQUEST", `${named}: step ${JSON.stringify(outcome.reached)} is unknown; expected one of ${table.steps.join(", ")} or null`, { index });
  if (consentEndMs(outcome.at) === null) throw new PopulaceError("BAD_REQUEST", `${named}: ${JSON.stringify(outcome.at)} is no time; expected RFC 3339 with zone, such as 2026-03-01T12:00:00Z`, { index });
  if (Date.parse(outcome.at) > nowMs + LIMITS.outcomeAheadMs) {
    throw new PopulaceError("BAD_REQUEST", `${named}: field at: ${outcome.at} is still to come, by more than the ${LIMITS.outcomeAheadMs / 60_000} minutes that clocks may differ (here it is ${new Date(nowMs).toISOString()}); expected when it happened`, { index, field: "at" });
  }
  const oldest = dayOf(nowMs) - horizonDays;
  if (dayOf(Date.parse(outcome.at)) < oldest) {
    throw new PopulaceError("BAD_REQUEST", `${named}: field at: ${outcome.at} is older than the ${horizonDays} days for which the ledger knows what it has counted; expected ${new Date(oldest * DAY_MS).toISOString().slice(0, 10)} or later`, { index, field: "at" });
  }
  encodeAttributes(table.mixture, outcome.attributes, outcome.recipient);
}

const DAY_MS = 86_400_000;
/** Days since 1970 (UTC). */
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS);

/** An outcome that was checked, as the event of a ledger: which cell it falls into, and nothing else about anybody. `id` is the hashed one. */
export function outcomeEvent(table: ScoreTable, outcome: Outcome, id: string): string {
  const { persona } = findClosestPersona(table.mixture, { id: outcome.recipient, attributes: outcome.attributes });
  return eventText({ id, persona, stimulus: stimulusIndex(table, outcome.stimulus), reached: outcome.reached === null ? 0 : table.steps.indexOf(outcome.reached) + 1, day: Math.max(0, dayOf(Date.parse(outcome.at))) });
}
