import { allows, encodeAttributes, PopulaceError, stimulusIndex, closestName, consentEndMs } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import type { DecisionPolicy } from "./prioritize.ts";
import type { Outcome } from "./schemas.ts";

export interface SortedOutcomes {
  readonly accepted: readonly Outcome[];
  /** Outcomes of people who did not consent: never stored, only counted. */
  readonly withoutConsent: number;
}

/**
 * Checks outcomes against the release: attributes, stimulus, step and time must be known and readable (`BAD_REQUEST`, all or
 * nothing, so that a sender can repeat the whole request); those without consent are left out and counted.
 */
export function sortOutcomes(table: ScoreTable, outcomes: readonly Outcome[], purpose: string | undefined, policy: DecisionPolicy, atMs: number): SortedOutcomes {
  const accepted = outcomes.filter((outcome, index) => {
    const named = `outcome ${index} (${JSON.stringify(outcome.id)})`;
    if (stimulusIndex(table, outcome.stimulus) === -1) {
      const closest = closestName(outcome.stimulus, table.stimuli.map((stimulus) => stimulus.id));
      throw new PopulaceError("BAD_REQUEST", `${named}: stimulus ${JSON.stringify(outcome.stimulus)} is unknown; ${closest === null ? `expected one of ${table.stimuli.map((stimulus) => stimulus.id).slice(0, 12).join(", ")}` : `did you mean ${JSON.stringify(closest)}?`}`, { index, suggestion: closest });
    }
    if (outcome.reached !== null && !table.steps.includes(outcome.reached)) throw new PopulaceError("BAD_REQUEST", `${named}: step ${JSON.stringify(outcome.reached)} is unknown; expected one of ${table.steps.join(", ")} or null`, { index });
    if (consentEndMs(outcome.at) === null) throw new PopulaceError("BAD_REQUEST", `${named}: ${JSON.stringify(outcome.at)} is no time; expected RFC 3339 with zone, such as 2026-03-01T12:00:00Z`, { index });
    encodeAttributes(table.mixture, outcome.attributes, outcome.recipient);
    const asked = policy.requireConsent || purpose !== undefined || outcome.consent !== undefined;
    const consents = Array.isArray(outcome.consent) ? outcome.consent : [outcome.consent];
    return !asked || consents.some((consent) => allows(consent, purpose ?? policy.purpose, atMs));
  });
  return { accepted, withoutConsent: outcomes.length - accepted.length };
}
