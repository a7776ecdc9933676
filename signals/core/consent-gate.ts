import { allows } from "@populace/domain";
import type { Consent } from "@populace/domain";
import type { SignalRecord } from "./record.ts";

/** The recorded consents of a subject; none for a stranger. */
export type ConsentOf = (subject: string) => readonly Consent[];

export interface Gated {
  readonly passed: readonly SignalRecord[];
  /** Records held back; their content goes no further. */
  readonly refused: number;
}

/**
 * Lets through what is about no person, and what is about one who consented to `purpose` at that moment (`atMs`, epoch
 * milliseconds). Deletes and deactivations always pass, stripped of everything but what they ask to forget: a request to be
 * forgotten needs no consent. Fails closed: a lookup that throws is a refusal.
 */
export function consentGate(records: readonly SignalRecord[], purpose: string, atMs: number, consentOf: ConsentOf): Gated {
  const passed: SignalRecord[] = [];
  for (const one of records) {
    if (one.subject === null) passed.push(one);
    else if (one.action === "delete" || one.action === "inactive") passed.push({ ...one, title: null, text: "", url: null, topics: [], value: null, measures: {} });
    else if (consents(one.subject, consentOf).some((consent) => allows(consent, purpose, atMs))) passed.push(one);
  }
  return { passed, refused: records.length - passed.length };
}

function consents(subject: string, consentOf: ConsentOf): readonly Consent[] {
  try {
    return consentOf(subject);
  } catch {
    return [];
  }
}
