import { consentRefusal } from "../consent/consent.ts";
import { PopulaceError } from "../error.ts";
import { encode, encodeNumber, isGrid } from "../persona/coding.ts";
import { assign } from "../persona/density.ts";
import type { AssignmentColumns, AssignmentRun } from "../persona/mixture.ts";
import type { Assignment, PersonaMixture } from "../persona/persona.ts";
import { MISSING } from "../persona/trait.ts";
import type { TraitCoding } from "../persona/trait.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { closestName } from "./closest-name.ts";
import { compileRanking, SUPPRESSION_REASON } from "./ranking.ts";
import type { Campaign, PersonaRanking, RankedCampaign, Ranking, RankingOptions, SuppressedCampaign } from "./ranking.ts";
import type { ScoreTable } from "./score-table.ts";

/** A real person who may be contacted. */
export interface Recipient {
  readonly id: string;
  /** Raw values by attribute name; null, an empty text or a left-out name means unknown. */
  readonly attributes: Readonly<Record<string, string | number | boolean | null>>;
  /** One recorded permission or several; read only where a decision asks for consent. May be anything that came from outside. */
  readonly consent?: unknown;
}

export interface DecisionOptions extends RankingOptions {
  /** Suppress everything for recipients no persona fits; otherwise they rank by the closest one, flagged. */
  readonly suppressFitsNone?: boolean;
  /** Ask for consent to this purpose at this time (epoch milliseconds); null = no consent is asked for. */
  readonly consent?: { readonly purpose: string; readonly atMs: number } | null;
  /** Needed in Thompson mode: each recipient draws from the child stream of its id, whatever the order of the calls. */
  readonly random?: RandomStream;
}

/** What to send to one recipient, what not, and why. */
export interface Decision {
  readonly recipient: string;
  /** Id of the closest persona. */
  readonly persona: string;
  /** Posterior probability of that persona, 0 to 1. */
  readonly probability: number;
  /** True when the recipient lies outside what its closest persona describes. */
  readonly fitsNone: boolean;
  readonly ranked: readonly RankedCampaign[];
  readonly suppressed: readonly SuppressedCampaign[];
}

/**
 * Returns the closest persona of a recipient: the largest log share + log density of the attributes that are known, the first of
 * equals, and whether none really fits. Throws `BAD_REQUEST` for attributes the mixture does not have (with the closest name),
 * numbers that are not finite, and values that are none of a binary attribute's two.
 */
export const findClosestPersona = (mixture: PersonaMixture, recipient: Pick<Recipient, "attributes"> & { readonly id?: string }): Assignment => assign(mixture, encodeAttributes(mixture, recipient.attributes, recipient.id));

/**
 * The prioritization of the mission: findClosestPersona(recipient) -> getResponseRate(persona, stimulus) x economic value ->
 * descending sort, equal scores in the caller's order -> top N. Campaigns are checked on each call; for many recipients make one
 * `prioritizer`. Errors as in `compileRanking` and `findClosestPersona`.
 */
export function prioritizeCampaigns(table: ScoreTable, recipient: Recipient, campaigns: readonly Campaign[], options: DecisionOptions = {}): Decision {
  return prioritizer(table, campaigns, options).decide(recipient);
}

/** Campaigns bound to a table and a policy: decides recipient after recipient. */
export interface Prioritizer {
  readonly ranking: Ranking;
  decide(recipient: Recipient): Decision;
  /** The same for a recipient whose codes are known (slot order of the mixture's codings, `MISSING` allowed). */
  decideCodes(recipient: string, codes: ArrayLike<number>, consent?: unknown, start?: number): Decision;
  /**
   * The same for many recipients whose codes are known (rows x traits, row-major) and who bring no consent, column by column; the assignments by
   * `run`, an engine's hold of the table's mixture. Recipients of one persona share one ranking object except in Thompson mode.
   */
  decideRows(recipients: readonly string[], codes: Int16Array, run: AssignmentRun): DecidedRows;
}

/** Decisions of many recipients, column by column. */
export interface DecidedRows extends AssignmentColumns {
  readonly recipients: readonly string[];
  /** The campaigns of one row; in Thompson mode each call draws the same anew. */
  ranking(row: number): PersonaRanking;
  /** One row as `decide` gives it. */
  decision(row: number): Decision;
}

/**
 * Returns the prioritizer of a set of campaigns. Plain and value modes rank each persona once and share the rows among its
 * recipients, so a recipient costs one assignment; Thompson mode costs a draw a stimulus.
 */
export function prioritizer(table: ScoreTable, campaigns: readonly Campaign[], options: DecisionOptions = {}): Prioritizer {
  const { mixture } = table;
  const { random, consent: asked = null, suppressFitsNone = false } = options;
  if (options.mode === "thompson" && random === undefined) throw new PopulaceError("BAD_REQUEST", "mode thompson needs a seed; expected a random stream", { mode: "thompson" });
  const ranking = compileRanking(table, campaigns, options);

  const rankingOf = (recipient: string, persona: number, fitsNone: boolean, consent: unknown): PersonaRanking => {
    if (asked !== null && !anyAllows(consent, asked.purpose, asked.atMs)) return ranking.suppressAll(SUPPRESSION_REASON.noConsent);
    if (suppressFitsNone && fitsNone) return ranking.suppressAll(SUPPRESSION_REASON.noPersonaFits);
    return options.mode === "thompson" ? ranking.draw(persona, random!.child(recipient)) : ranking.forPersona(persona);
  };
  const decideCodes = (recipient: string, codes: ArrayLike<number>, consent?: unknown, start = 0): Decision => {
    const assignment = assign(mixture, codes, start);
    const { ranked, suppressed } = rankingOf(recipient, assignment.persona, assignment.fitsNone, consent);
    return { recipient, persona: mixture.personas[assignment.persona].id, probability: assignment.probability, fitsNone: assignment.fitsNone, ranked, suppressed };
  };
  const decideRows = (recipients: readonly string[], codes: Int16Array, run: AssignmentRun): DecidedRows => {
    const rows = recipients.length, traits = mixture.codings.length;
    if (codes.length !== rows * traits) throw new PopulaceError("BAD_REQUEST", `${codes.length} codes for ${rows} recipients of ${traits} traits; expected ${rows * traits}`, { codes: codes.length, rows, traits });
    const persona = new Int32Array(rows), probability = new Float64Array(rows), fitsNone = new Uint8Array(rows);
    run.assign(codes, { persona, probability, fitsNone });
    const rankingAt = (row: number): PersonaRanking => rankingOf(recipients[row], persona[row], fitsNone[row] === 1, undefined);
    return {
      recipients, persona, probability, fitsNone,
      ranking: rankingAt,
      decision(row) {
        const { ranked, suppressed } = rankingAt(row);
        return { recipient: recipients[row], persona: mixture.personas[persona[row]].id, probability: probability[row], fitsNone: fitsNone[row] === 1, ranked, suppressed };
      },
    };
  };
  return { ranking, decideCodes, decideRows, decide: (recipient) => decideCodes(recipient.id, encodeAttributes(mixture, recipient.attributes, recipient.id), recipient.consent) };
}

/** Most permissions of one recipient that are looked at. */
const CONSENTS_MAX = 100;

function anyAllows(consent: unknown, purpose: string, atMs: number): boolean {
  if (!Array.isArray(consent)) return consentRefusal(consent, purpose, atMs) === null;
  return consent.slice(0, CONSENTS_MAX).some((one) => consentRefusal(one, purpose, atMs) === null);
}

const indexByName = new WeakMap<PersonaMixture, Map<string, number>>();

/** Codes of raw attributes in the order of the mixture's codings; what is left out is `MISSING`. Errors as `findClosestPersona`. */
export function encodeAttributes(mixture: PersonaMixture, attributes: Recipient["attributes"], recipient?: string): Int16Array {
  let names = indexByName.get(mixture);
  if (names === undefined) {
    names = new Map(mixture.codings.map((coding, index) => [coding.name, index]));
    indexByName.set(mixture, names);
  }
  const codes = new Int16Array(mixture.codings.length).fill(MISSING);
  for (const name of Object.keys(attributes)) {
    const index = names.get(name);
    if (index === undefined) {
      const closest = closestName(name, [...names.keys()]);
      const expected = closest === null ? `expected one of ${[...names.keys()].slice(0, 20).join(", ")}` : `did you mean ${JSON.stringify(closest)}?`;
      throw new PopulaceError("BAD_REQUEST", `${ofRecipient(recipient)}attribute ${JSON.stringify(name.slice(0, 80))} is unknown; ${expected}`, { attribute: name.slice(0, 80), suggestion: closest });
    }
    codes[index] = encodeValue(mixture.codings[index], attributes[name], recipient);
  }
  return codes;
}

function encodeValue(coding: TraitCoding, value: unknown, recipient: string | undefined): number {
  if (value === null || value === undefined || value === "") return MISSING;
  if (isGrid(coding)) {
    const number = typeof value === "number" ? value : typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
    const code = Number.isFinite(number) ? encodeNumber(coding, number) : MISSING;
    // The value itself is personal data and stays out of the message.
    if (code === MISSING) throw new PopulaceError("BAD_REQUEST", `${ofRecipient(recipient)}attribute ${JSON.stringify(coding.name)} is no number of its scale; expected a finite ${coding.kind} value${coding.unit === "" ? "" : ` in ${coding.unit}`}, or null when unknown`, { attribute: coding.name });
    return code;
  }
  const text = typeof value === "boolean" && coding.kind === "binary" ? coding.levels[value ? 1 : 0] : String(value as string | number | boolean);
  const code = encode(coding, text);
  if (code === MISSING && text.trim() !== "") throw new PopulaceError("BAD_REQUEST", `${ofRecipient(recipient)}attribute ${JSON.stringify(coding.name)} has a value that is none of its two; expected ${coding.levels.map((level) => JSON.stringify(level)).join(" or ")}, or null when unknown`, { attribute: coding.name });
  return code;
}

const ofRecipient = (id: string | undefined): string => (id === undefined ? "" : `recipient ${JSON.stringify(String(id).slice(0, 80))}: `);
