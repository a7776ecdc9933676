import { closestName, PopulaceError, prioritizer, RandomStream } from "@populace/domain";
import type { Campaign, Decision, DecisionOptions, Prioritizer, Recipient, ScoreTable } from "@populace/domain";
import { GATEWAY_LIMITS } from "./limits.ts";
import type { PrioritizeRequest } from "./schemas.ts";

/** What the gateway was started with. */
export interface DecisionPolicy {
  /** Campaigns held here, so that requests may name them by id. */
  readonly campaigns: readonly Campaign[];
  /** Purpose a contact needs consent for when the request names none. */
  readonly purpose: string;
  /** True: every recipient needs a consent. False: only those who bring one, or when the request names a purpose. */
  readonly requireConsent: boolean;
}

/** Answers prioritize requests from one score table; bound campaigns are kept for the next request. */
export interface Decider {
  readonly table: ScoreTable;
  decide(request: PrioritizeRequest, atMs: number): readonly Decision[];
}

/** Returns the decider of a table. Errors of `decide`: `BAD_REQUEST` with what was expected, `NOT_FOUND` for a campaign not held. */
export function decider(table: ScoreTable, policy: DecisionPolicy): Decider {
  const held = new Map(policy.campaigns.map((campaign) => [campaign.id, campaign]));
  // Held campaigns repeat from request to request; campaigns in a body are bound once and forgotten.
  const bound = new Map<string, Prioritizer>();

  const bind = (request: PrioritizeRequest, consent: DecisionOptions["consent"]): Prioritizer => {
    const { campaigns, topN, mode, rateMin, scoreMinMinor, suppressFitsNone, seed = 1 } = request;
    const options: DecisionOptions = {
      ...(mode === undefined ? {} : { mode }), ...(topN === undefined ? {} : { topN }), ...(rateMin === undefined ? {} : { rateMin }), ...(scoreMinMinor === undefined ? {} : { scoreMinMinor }),
      ...(suppressFitsNone === undefined ? {} : { suppressFitsNone }), consent: consent ?? null, ...(mode === "thompson" ? { random: RandomStream.of(seed, "gateway thompson") } : {}),
    };
    if (campaigns !== undefined && campaigns.length > 0 && typeof campaigns[0] !== "string") return prioritizer(table, campaigns as readonly Campaign[], options);
    const ids = campaigns as readonly string[] | undefined;
    // Consent is judged at a moment, so a prioritizer that asks for it is not kept.
    const key = consent === null || consent === undefined ? JSON.stringify([ids, topN, mode, rateMin, scoreMinMinor, suppressFitsNone, seed]) : null;
    const kept = key === null ? undefined : bound.get(key);
    if (kept !== undefined) return kept;
    // A campaign held since before this release may name stimuli it no longer has: suppressed, not an error of this caller.
    const made = prioritizer(table, ids === undefined ? policy.campaigns : ids.map((id) => heldCampaign(held, id)), { ...options, unknownStimulus: "suppress" });
    if (key !== null) {
      if (bound.size >= GATEWAY_LIMITS.prioritizersMax) bound.delete(bound.keys().next().value!);
      bound.set(key, made);
    }
    return made;
  };

  return {
    table,
    decide(request, atMs) {
      if ((request.recipient === undefined) === (request.recipients === undefined)) throw new PopulaceError("BAD_REQUEST", "the request names neither or both of recipient and recipients; expected exactly one of them", {});
      if (request.campaigns === undefined && policy.campaigns.length === 0) throw new PopulaceError("BAD_REQUEST", "the request names no campaigns and the gateway holds none; expected campaigns: [{id, stimuli, economicValueMinor}]", {});
      const recipients = (request.recipients ?? [request.recipient!]) as readonly Recipient[];
      const purpose = request.purpose ?? policy.purpose;
      const always = policy.requireConsent || request.purpose !== undefined;
      let asking: Prioritizer | null = null, open: Prioritizer | null = null;
      return recipients.map((recipient) => {
        if (always || recipient.consent !== undefined) return (asking ??= bind(request, { purpose, atMs })).decide(recipient);
        return (open ??= bind(request, null)).decide(recipient);
      });
    },
  };
}

function heldCampaign(held: ReadonlyMap<string, Campaign>, id: string): Campaign {
  const campaign = held.get(id);
  if (campaign !== undefined) return campaign;
  const closest = closestName(id, [...held.keys()]);
  throw new PopulaceError("NOT_FOUND", `campaign ${JSON.stringify(id)} is not held here; ${closest === null ? "send it whole: {id, stimuli, economicValueMinor}" : `did you mean ${JSON.stringify(closest)}?`}`, { campaign: id, suggestion: closest });
}
