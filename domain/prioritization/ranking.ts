import { closestName } from "./closest-name.ts";
import { PopulaceError } from "../error.ts";
import type { EvidenceLabel } from "../stimulus/response-model.ts";
import type { RandomStream } from "../random/random-stream.ts";
import { drawExpectedValue, expectedValue, NO_COST, statedValue } from "./expected-value.ts";
import type { Cost, ExpectedValue, ValueEstimate } from "./expected-value.ts";
import { getResponseRate } from "./score-table.ts";
import type { ScoreTable } from "./score-table.ts";

/** A campaign as it is offered for ranking. */
export interface Campaign {
  readonly id: string;
  /** Ids of its stimuli; the ranked row names the one best for the persona. */
  readonly stimuli: readonly string[];
  /** What one response is worth, minor currency units, 0 or more; absent = the value model's expectation, else the table's default. */
  readonly economicValueMinor?: number;
  /** Funnel step whose response earns the value; absent = the last. */
  readonly step?: string;
  /** Overrides the stimulus' cost of one contact, minor currency units. */
  readonly contactCostMinor?: number;
  /** What it costs that somebody leaves because of it, minor currency units; absent = nothing. */
  readonly leaveCostMinor?: number;
}

/** How a score is made. */
export const PRIORITIZATION_MODE = {
  /** response rate x economic value, nothing else. */
  plain: "plain",
  /** The same minus costs, that of people leaving among them. */
  value: "value",
  /** One draw from the posterior of `value` a recipient and campaign: explores what is uncertain. */
  thompson: "thompson",
} as const;
export type PrioritizationMode = keyof typeof PRIORITIZATION_MODE;

/** Why a campaign is not shown to a recipient. */
export const SUPPRESSION_REASON = {
  noConsent: "no consent",
  noPersonaFits: "no persona fits",
  unknownStimulus: "unknown stimulus",
  noEconomicValue: "no economic value",
  rateBelowThreshold: "rate below threshold",
  scoreBelowThreshold: "score below threshold",
  negativeValue: "negative value after cost",
} as const;
export type SuppressionReason = (typeof SUPPRESSION_REASON)[keyof typeof SUPPRESSION_REASON];

/** One campaign of a recipient's ranking with the factors of its score. */
export interface RankedCampaign {
  readonly campaign: string;
  /** The stimulus of this campaign that is best for the persona. */
  readonly stimulus: string;
  /** Minor currency units; rate x value in plain mode. */
  readonly score: number;
  /** Response rate per exposure, 0 to 1. */
  readonly rate: number;
  /** Value of one response, minor currency units. */
  readonly value: number;
  /** Expected cost of one contact, minor currency units; 0 in plain mode. */
  readonly cost: number;
  /** 90 % interval of the expected value; in Thompson mode the score is a draw and may lie outside. */
  readonly low: number;
  readonly high: number;
  readonly rateLow: number;
  readonly rateHigh: number;
  readonly label: EvidenceLabel;
  /** Effective sample size of the rate. */
  readonly ess: number;
  /** Rate of leaving per contact, where the campaign charges it. */
  readonly leaveRate?: number;
}

export interface SuppressedCampaign {
  readonly campaign: string;
  readonly reason: SuppressionReason;
  /** The stimulus that would have been chosen, with its rate and score; null when it never came to a score. */
  readonly stimulus: string | null;
  readonly rate: number | null;
  readonly score: number | null;
}

export interface PersonaRanking {
  readonly ranked: readonly RankedCampaign[];
  readonly suppressed: readonly SuppressedCampaign[];
}

export interface RankingOptions {
  readonly mode?: PrioritizationMode;
  /** Most campaigns kept, 1 or more; absent = all. */
  readonly topN?: number;
  /** Campaigns whose rate is below are suppressed, 0 to 1. */
  readonly rateMin?: number;
  /** Campaigns whose score is below are suppressed, minor currency units. */
  readonly scoreMinMinor?: number;
  /** What to do about a stimulus the table does not know: refuse the call (default) or suppress the campaign. */
  readonly unknownStimulus?: "refuse" | "suppress";
}

const CAMPAIGNS_MAX = 10_000;
const STIMULI_PER_CAMPAIGN_MAX = 1_000;

/** A checked campaign with its stimuli resolved: what ranking a persona needs and nothing that needs checking again. */
interface Candidate {
  readonly campaign: Campaign;
  readonly stimuli: readonly number[];
  readonly step: number;
}

/** Campaigns bound to a score table: ranks personas, each once; recipients of one persona share the rows. */
export interface Ranking {
  readonly table: ScoreTable;
  readonly options: RankingOptions;
  /** The ranking of a persona, computed at its first use. Plain and value modes. */
  forPersona(persona: number): PersonaRanking;
  /** The ranking of one recipient of a persona in Thompson mode: a fresh draw from the stream. */
  draw(persona: number, random: RandomStream): PersonaRanking;
  /** Every campaign suppressed for one reason. */
  suppressAll(reason: SuppressionReason): PersonaRanking;
}

/**
 * Checks campaigns and options against a score table and returns their ranking.
 *
 * Order: descending score; equal scores keep the caller's order. Within a campaign the stimulus of the largest score, the first
 * of equal ones. Throws `BAD_REQUEST` for doubled ids, numbers that are not finite or negative, steps and (unless suppressed)
 * stimuli the table does not know, with the closest name; `TOO_LARGE` beyond 10,000 campaigns of 1,000 stimuli.
 * Cost: personas used x stimuli named, then nothing but slices.
 */
export function compileRanking(table: ScoreTable, campaigns: readonly Campaign[], options: RankingOptions = {}): Ranking {
  checkOptions(options);
  const candidates = checkCampaigns(table, campaigns, options);
  const cache: (PersonaRanking | undefined)[] = [];
  const suppressedAll = new Map<SuppressionReason, PersonaRanking>();
  return {
    table,
    options,
    forPersona(persona) {
      if (options.mode === "thompson") throw new PopulaceError("INTERNAL", "a Thompson ranking is drawn a recipient: call draw(persona, random)");
      return (cache[persona] ??= rank(table, candidates, persona, options, null));
    },
    draw: (persona, random) => rank(table, candidates, persona, options, random),
    suppressAll(reason) {
      let all = suppressedAll.get(reason);
      if (!all) {
        all = { ranked: [], suppressed: candidates.map(({ campaign }) => suppressed(campaign.id, reason)) };
        suppressedAll.set(reason, all);
      }
      return all;
    },
  };
}

function rank(table: ScoreTable, candidates: readonly Candidate[], persona: number, options: RankingOptions, random: RandomStream | null): PersonaRanking {
  const ranked: RankedCampaign[] = [];
  const dropped: SuppressedCampaign[] = [];
  for (const candidate of candidates) {
    const row = bestRow(table, candidate, persona, options.mode ?? "plain", random);
    if (typeof row === "string") dropped.push(suppressed(candidate.campaign.id, row));
    else {
      const reason = refusal(row, options);
      if (reason === null) ranked.push(row);
      else dropped.push({ campaign: row.campaign, reason, stimulus: row.stimulus, rate: row.rate, score: row.score });
    }
  }
  // Array.prototype.sort is stable, so equal scores keep the caller's order.
  ranked.sort((a, b) => b.score - a.score);
  return { ranked: options.topN === undefined ? ranked : ranked.slice(0, options.topN), suppressed: dropped };
}

function bestRow(table: ScoreTable, candidate: Candidate, persona: number, mode: PrioritizationMode, random: RandomStream | null): RankedCampaign | SuppressionReason {
  if (candidate.stimuli.length === 0) return SUPPRESSION_REASON.unknownStimulus;
  const { campaign, step } = candidate;
  let best: RankedCampaign | null = null;
  for (const stimulus of candidate.stimuli) {
    const value = valueOf(table, campaign, persona, stimulus, step);
    if (value === null) continue;
    const rate = getResponseRate(table, persona, stimulus, step);
    const cost = mode === "plain" ? NO_COST : costOf(table, campaign, persona, stimulus);
    const expected: ExpectedValue = expectedValue(rate, value, cost);
    const score = random === null ? expected.score : drawExpectedValue(rate, value, cost, random);
    if (best !== null && score <= best.score) continue;
    best = {
      campaign: campaign.id, stimulus: table.stimuli[stimulus].id, score, rate: rate.mean, value: value.meanMinor,
      cost: cost.contactMinor + rate.mean * cost.responseMinor + (cost.leaving === undefined ? 0 : cost.leaving.rate.mean * cost.leaving.minor), low: expected.low, high: expected.high,
      rateLow: rate.low, rateHigh: rate.high, label: rate.label, ess: rate.ess, ...(cost.leaving === undefined ? {} : { leaveRate: cost.leaving.rate.mean }),
    };
  }
  return best ?? SUPPRESSION_REASON.noEconomicValue;
}

/** The caller's number, else the value model's expectation (it speaks of the last step only), else the table's default. */
function valueOf(table: ScoreTable, campaign: Campaign, persona: number, stimulus: number, step: number): ValueEstimate | null {
  if (campaign.economicValueMinor !== undefined) return statedValue(campaign.economicValueMinor);
  if (step !== table.steps.length - 1) return null;
  if (table.values !== null) return table.values[persona * table.stimuli.length + stimulus];
  return table.defaultValueMinor === null ? null : statedValue(table.defaultValueMinor);
}

function costOf(table: ScoreTable, campaign: Campaign, persona: number, stimulus: number): Cost {
  const { contactCostMinor, offerCostMinor } = table.stimuli[stimulus], minor = campaign.leaveCostMinor ?? 0;
  const rate = minor > 0 ? table.leaving?.[persona * table.stimuli.length + stimulus] ?? null : null;
  return { contactMinor: campaign.contactCostMinor ?? contactCostMinor, responseMinor: offerCostMinor, ...(rate === null ? {} : { leaving: { rate, minor } }) };
}

function refusal(row: RankedCampaign, options: RankingOptions): SuppressionReason | null {
  if (options.rateMin !== undefined && row.rate < options.rateMin) return SUPPRESSION_REASON.rateBelowThreshold;
  // The expectation decides, not a draw: exploring is no reason to send at an expected loss.
  if ((options.mode ?? "plain") !== "plain" && row.rate * row.value - row.cost < 0) return SUPPRESSION_REASON.negativeValue;
  if (options.scoreMinMinor !== undefined && row.score < options.scoreMinMinor) return SUPPRESSION_REASON.scoreBelowThreshold;
  return null;
}

const suppressed = (campaign: string, reason: SuppressionReason): SuppressedCampaign => ({ campaign, reason, stimulus: null, rate: null, score: null });

function checkOptions(options: RankingOptions): void {
  const { mode, topN, rateMin, scoreMinMinor } = options;
  if (mode !== undefined && !Object.hasOwn(PRIORITIZATION_MODE, mode)) refuse(`mode ${JSON.stringify(mode)} is unknown; expected plain, value or thompson`, { mode });
  if (topN !== undefined && !(Number.isSafeInteger(topN) && topN >= 1)) refuse(`top N is ${topN}; expected an integer of 1 or more`, { topN });
  if (rateMin !== undefined && !(rateMin >= 0 && rateMin <= 1)) refuse(`the rate threshold is ${rateMin}; expected 0 to 1`, { rateMin });
  if (scoreMinMinor !== undefined && !Number.isFinite(scoreMinMinor)) refuse(`the score threshold is ${scoreMinMinor}; expected a finite number of minor units`, { scoreMinMinor });
}

function checkCampaigns(table: ScoreTable, campaigns: readonly Campaign[], options: RankingOptions): Candidate[] {
  if (campaigns.length > CAMPAIGNS_MAX) throw new PopulaceError("TOO_LARGE", `${campaigns.length} campaigns in one call; at most ${CAMPAIGNS_MAX}`, { campaigns: campaigns.length });
  const byId = stimuliById(table);
  const seen = new Set<string>();
  return campaigns.map((campaign, index) => {
    const { id, stimuli, economicValueMinor, contactCostMinor, leaveCostMinor } = campaign;
    // Only refusals need the name: a body of fifty good campaigns must not pay for fifty messages.
    const named = (): string => `campaign ${index} (${JSON.stringify(id)})`;
    if (typeof id !== "string" || id === "") refuse(`campaign ${index} has no id; expected a text`, { index });
    if (seen.has(id)) refuse(`${named()} occurs twice; ids must differ`, { index, campaign: id });
    seen.add(id);
    if (!Array.isArray(stimuli) || stimuli.length === 0) refuse(`${named()} names no stimulus; expected at least one of ${list(table.stimuli.map((known) => known.id))}`, { campaign: id });
    if (stimuli.length > STIMULI_PER_CAMPAIGN_MAX) throw new PopulaceError("TOO_LARGE", `${named()} names ${stimuli.length} stimuli; at most ${STIMULI_PER_CAMPAIGN_MAX}`, { campaign: id });
    if (economicValueMinor !== undefined && !(Number.isFinite(economicValueMinor) && economicValueMinor >= 0)) refuse(`${named()}: economicValueMinor is ${economicValueMinor}; expected a finite number of minor units, 0 or more`, { campaign: id });
    if (contactCostMinor !== undefined && !(Number.isFinite(contactCostMinor) && contactCostMinor >= 0)) refuse(`${named()}: contactCostMinor is ${contactCostMinor}; expected a finite number of minor units, 0 or more`, { campaign: id });
    if (leaveCostMinor !== undefined && !(Number.isFinite(leaveCostMinor) && leaveCostMinor >= 0)) refuse(`${named()}: leaveCostMinor is ${leaveCostMinor}; expected a finite number of minor units, 0 or more`, { campaign: id });
    if (leaveCostMinor !== undefined && table.leaving === undefined) refuse(`${named()}: leaveCostMinor charges people who leave, and ${table.model} knows of none; name the column that says who left (\`leave\`) or state prior.leaveRate in the schema`, { campaign: id });
    const step = campaign.step === undefined ? table.steps.length - 1 : table.steps.indexOf(campaign.step);
    if (step === -1) refuse(`${named()}: step ${JSON.stringify(campaign.step)} is unknown; expected one of ${list(table.steps)}`, { campaign: id, step: campaign.step });
    const known: number[] = [];
    for (const stimulus of stimuli) {
      const found = byId.get(stimulus);
      if (found !== undefined) known.push(found);
      else if (options.unknownStimulus !== "suppress") {
        const closest = closestName(String(stimulus), [...byId.keys()]);
        refuse(`${named()}: stimulus ${JSON.stringify(stimulus)} is unknown to ${table.model}; ${closest === null ? `expected one of ${list([...byId.keys()])}` : `did you mean ${JSON.stringify(closest)}?`}`, { campaign: id, stimulus, suggestion: closest });
      }
    }
    return { campaign, stimuli: known, step };
  });
}

const indices = new WeakMap<ScoreTable, Map<string, number>>();

/** Stimulus ids of a table, indexed once for each table object. */
function stimuliById(table: ScoreTable): Map<string, number> {
  let known = indices.get(table);
  if (known === undefined) {
    known = new Map(table.stimuli.map((stimulus, index) => [stimulus.id, index]));
    indices.set(table, known);
  }
  return known;
}

const list = (names: readonly string[]): string => names.slice(0, 12).join(", ") + (names.length > 12 ? ", ..." : "");

function refuse(message: string, details: Readonly<Record<string, unknown>>): never {
  throw new PopulaceError("BAD_REQUEST", message, details);
}
