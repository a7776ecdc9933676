import Type from "typebox";
import type { Static } from "typebox";
import { GATEWAY_LIMITS } from "./limits.ts";

/** What the HTTP interface takes and gives. The schemas check requests, write answers and are the OpenAPI document. */

const closed = { additionalProperties: false } as const;
const Name = Type.String({ minLength: 1, maxLength: GATEWAY_LIMITS.nameMax });
const AttributeValue = Type.Union([Type.String({ maxLength: 1000 }), Type.Number(), Type.Boolean(), Type.Null()]);
const Attributes = Type.Record(Type.String(), AttributeValue, { maxProperties: GATEWAY_LIMITS.attributesMax, description: "Raw values by attribute name; null or left out means unknown." });
const Consent = Type.Object({ purpose: Name, until: Type.Union([Type.String({ maxLength: 64 }), Type.Number(), Type.Null()], { description: "ISO date (to the end of that day, UTC), ISO time with zone, epoch milliseconds, or null for a permission given without an end." }) }, closed);
const Consents = Type.Union([Consent, Type.Array(Consent, { maxItems: 100 }), Type.Literal(false), Type.Null()]);

const RecipientSchema = Type.Object({ id: Name, attributes: Attributes, consent: Type.Optional(Consents) }, closed);
const CampaignSchema = Type.Object(
  {
    id: Name,
    stimuli: Type.Array(Name, { minItems: 1, maxItems: 1000 }),
    economicValueMinor: Type.Optional(Type.Number({ minimum: 0, description: "Worth of one response, minor currency units; absent = the value model's expectation." })),
    step: Type.Optional(Name),
    contactCostMinor: Type.Optional(Type.Number({ minimum: 0 })),
    leaveCostMinor: Type.Optional(Type.Number({ minimum: 0, description: "Cost of one person leaving because of it, minor currency units; modes value and thompson." })),
  },
  closed,
);

export const PrioritizeRequest = Type.Object(
  {
    recipient: Type.Optional(RecipientSchema),
    recipients: Type.Optional(Type.Array(RecipientSchema, { minItems: 1, maxItems: GATEWAY_LIMITS.recipientsMax })),
    campaigns: Type.Optional(Type.Union([Type.Array(CampaignSchema, { maxItems: GATEWAY_LIMITS.campaignsMax }), Type.Array(Name, { maxItems: GATEWAY_LIMITS.campaignsMax })], { description: "Campaigns, or ids of campaigns the gateway holds; absent = all it holds." })),
    topN: Type.Optional(Type.Integer({ minimum: 1 })),
    mode: Type.Optional(Type.Union([Type.Literal("plain"), Type.Literal("value"), Type.Literal("thompson")])),
    rateMin: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    scoreMinMinor: Type.Optional(Type.Number()),
    suppressFitsNone: Type.Optional(Type.Boolean()),
    purpose: Type.Optional(Name),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: "Seed of the draws in mode thompson; absent = 1, so that the same request gets the same answer." })),
  },
  closed,
);
export type PrioritizeRequest = Static<typeof PrioritizeRequest>;

const RankedSchema = Type.Object({
  campaign: Type.String(), stimulus: Type.String(), score: Type.Number(), rate: Type.Number(), value: Type.Number(), cost: Type.Number(), low: Type.Number(), high: Type.Number(),
  rateLow: Type.Number(), rateHigh: Type.Number(), label: Type.String(), ess: Type.Number(), leaveRate: Type.Optional(Type.Number()),
});
const SuppressedSchema = Type.Object({ campaign: Type.String(), reason: Type.String(), stimulus: Type.Union([Type.String(), Type.Null()]), rate: Type.Union([Type.Number(), Type.Null()]), score: Type.Union([Type.Number(), Type.Null()]) });
const DecisionSchema = Type.Object({
  decisionId: Type.String({ description: "SHA-256 of the release, the day, the campaigns held and the body, then the recipient's place among several: the same request to the same release gives the same decision." }),
  recipient: Type.String(), persona: Type.String(), probability: Type.Number(), fitsNone: Type.Boolean(), ranked: Type.Array(RankedSchema), suppressed: Type.Array(SuppressedSchema),
});
const Release = { release: Type.String(), releaseNumber: Type.Integer({ description: "Grows with every release that a cluster announces, roll-backs too; 0 = from the gateway's own store." }), model: Type.String(), version: Type.Integer(), evidence: Type.String() };
export const PrioritizeResponse = Type.Object({ ...Release, mode: Type.String(), currency: Type.String(), minorUnits: Type.Number(), decisions: Type.Array(DecisionSchema) });

const Text = Type.String({ maxLength: 10_000 });
const NewStimulus = Type.Object(
  {
    id: Name,
    name: Type.Optional(Name),
    contact: Type.Optional(Type.Boolean()),
    channel: Type.Optional(Type.String({ maxLength: GATEWAY_LIMITS.nameMax })),
    offer: Type.Optional(Type.Object({ priceCut: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })), valueMinor: Type.Optional(Type.Integer({ minimum: 0 })), costMinor: Type.Optional(Type.Integer({ minimum: 0 })) }, closed)),
    copy: Type.Optional(Type.Object({ subject: Type.Optional(Text), body: Type.Optional(Text) }, closed)),
    tags: Type.Optional(Type.Record(Type.String(), Name, { maxProperties: 100 })),
    features: Type.Optional(Type.Record(Type.String(), Type.Number(), { maxProperties: 100 })),
    contactCostMinor: Type.Optional(Type.Number({ minimum: 0 })),
  },
  { ...closed, description: "A stimulus the model has never seen, by its features." },
);
export const SimulateRequest = Type.Object(
  {
    stimulus: Type.Union([Name, NewStimulus], { description: "Id or name of a stimulus of the model, or a new one." }),
    agents: Type.Optional(Type.Integer({ minimum: 1, maximum: GATEWAY_LIMITS.whatIfAgentsMax, description: "Simulated individuals; default a million. Intervals do not depend on it." })),
    personas: Type.Optional(Type.Array(Name, { minItems: 1, maxItems: 1000, description: "Personas by id or name; absent = all." })),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  },
  closed,
);
export type SimulateRequest = Static<typeof SimulateRequest>;
export const SimulateResponse = Type.Object({
  ...Release, stimulus: Type.String(), agents: Type.Integer(), exposures: Type.Integer(), backend: Type.String(), milliseconds: Type.Number({ description: "From the request's arrival to its answer." }),
  rates: Type.Array(Type.Object({
    persona: Type.String({ description: 'Id of a persona; "*" is everybody.' }), step: Type.String(), mean: Type.Number(), low: Type.Number(), high: Type.Number(),
    ess: Type.Union([Type.Number(), Type.Null()], { description: "Effective sample size over worlds; null without any uncertainty." }), label: Type.String(), responses: Type.Integer(), exposures: Type.Integer(),
  })),
});

export const OutcomeSchema = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: GATEWAY_LIMITS.nameMax, description: "Chosen by the sender; the same id counts once." }),
    recipient: Name,
    attributes: Attributes,
    stimulus: Name,
    reached: Type.Union([Name, Type.Null()], { description: "Furthest funnel step reached, null = none." }),
    valueMinor: Type.Optional(Type.Number({ minimum: 0 })),
    at: Type.String({ maxLength: 40, description: "RFC 3339 time with zone." }),
    consent: Type.Optional(Consents),
  },
  closed,
);
export type Outcome = Static<typeof OutcomeSchema>;
export const OutcomesRequest = Type.Object({ outcomes: Type.Array(OutcomeSchema, { minItems: 1, maxItems: GATEWAY_LIMITS.outcomesMax }), purpose: Type.Optional(Name) }, closed);
const Refused = Type.Array(Type.Object({ id: Type.String(), reason: Type.String() }), { description: "Outcomes that cannot be counted, with the reason: dead letters. The others were taken." });
export const OutcomesResponse = Type.Object({ accepted: Type.Integer(), doubled: Type.Integer(), withoutConsent: Type.Integer(), refused: Refused });
export const DeadLettersResponse = Type.Object({ refused: Refused });

export const ErrorResponse = Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String(), details: Type.Object({}, { additionalProperties: true }) }) });

const RateSchema = Type.Object({ stimulus: Type.String(), step: Type.String(), mean: Type.Number(), low: Type.Number(), high: Type.Number(), ess: Type.Number(), label: Type.String() });
export const PersonasResponse = Type.Object({
  ...Release,
  personas: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), share: Type.Number(), lineage: Type.Object({ event: Type.String(), parents: Type.Array(Type.String()), atVersion: Type.Integer() }), rates: Type.Array(RateSchema) })),
});
export const ModelResponse = Type.Object({
  ...Release, steps: Type.Array(Type.String()), currency: Type.String(), stimuli: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), contact: Type.Boolean(), channel: Type.String() })),
  attributes: Type.Array(Type.Object({ name: Type.String(), kind: Type.String(), unit: Type.String(), levels: Type.Array(Type.String()) })), campaigns: Type.Array(Type.String()), consentPurpose: Type.Union([Type.String(), Type.Null()]),
});
