import { RandomStream, id } from "@populace/domain";
import type { Persona, Stimulus, Term, Trait, TraitCoding, TraitDistribution } from "@populace/domain";
import { UNLEARNED_EXCHANGE_RATE } from "./exchange.ts";
import type { Model } from "./model.ts";
import type { Schema } from "./schema.ts";

/** What a test says about a model whose truth it knows. */
export interface HandModel {
  readonly codings: readonly TraitCoding[];
  readonly personas: readonly { readonly id: string; readonly share: number; readonly distributions: readonly TraitDistribution[]; readonly correlation?: readonly number[]; readonly shapes?: readonly (readonly number[])[] }[];
  readonly stimuli: readonly Stimulus[];
  readonly steps: readonly string[];
  readonly terms: readonly Term[];
  /** steps x terms. */
  readonly coefficients: readonly (readonly number[])[];
  /** Standard deviation of every coefficient's draws; 0 = certain. */
  readonly sd: number;
  readonly worlds: number;
  readonly leaveLogit?: number;
  readonly evidence?: Model["evidence"];
}

export const contact = (name: string, more: Partial<Stimulus> = {}): Stimulus => ({
  id: id(name), name, contact: true, channel: "email", offer: {}, copy: {}, tags: {}, features: {}, contactCostMinor: 0, ...more,
});

export const coding = (name: string, kind: TraitCoding["kind"], slot: number, levels: readonly string[] = []): TraitCoding => ({
  name, kind, unit: "", transform: kind === "count" ? "log1p" : "identity", levels, center: 0, scale: 1, slot,
});

/** A Model made by hand; the draws are independent normals around the coefficients. */
export function handModel(hand: HandModel): Model {
  const { codings, stimuli, steps, terms, worlds } = hand;
  const p = terms.length;
  const random = RandomStream.of(1, "hand model");
  const personas = hand.personas.map(
    (persona): Persona => ({
      id: id(persona.id), name: persona.id, share: persona.share, shareAlpha: 100,
      traits: persona.distributions.map((distribution, t): Trait => ({ name: codings[t].name, kind: codings[t].kind, unit: "", distribution, shape: persona.shapes?.[t] ?? [], evidence: { prior: 0, simulated: 0, real: 100, external: 0 } })),
      logDensityFloor: -100, correlation: persona.correlation ?? [], lineage: { event: "authored", parents: [], atVersion: 1 },
    }),
  );
  return {
    formatVersion: 1, name: "hand", version: 1,
    schema: { name: "hand", value: null, funnel: steps.map((name) => ({ name, column: name, positive: "1" })) } as unknown as Schema,
    mixture: { codings, personas },
    response: {
      steps: steps.map((name) => ({ name })), stimuli, featureNames: [], features: stimuli.map(() => []), matches: [], terms,
      stepModels: steps.map((step, k) => ({
        step, rows: 1_000, events: 100, mean: Float64Array.from(hand.coefficients[k]), covarianceCholesky: new Float64Array((p * (p + 1)) / 2),
        draws: Float64Array.from({ length: worlds * p }, (_, at) => hand.coefficients[k][at % p] + hand.sd * random.normal()),
        scaleGroup: new Int32Array(p).fill(-1), scaleDraws: new Float64Array(0), scaleGroups: [], method: "laplace",
      })),
      leave: { logitMean: hand.leaveLogit ?? -20, logitSd: 0, draws: new Float64Array(worlds).fill(hand.leaveLogit ?? -20) },
      worlds,
    },
    responseVersion: 1, value: null, evidence: hand.evidence ?? "randomized",
    fit: { rows: 1_000, rejected: 0, missing: {}, otherLevels: {}, noConsent: 0, seen: new Uint8Array(0), absorbed: 0, latest: null, candidates: [], seed: 1 },
    outcomes: Array.from({ length: personas.length * stimuli.length * steps.length }, () => ({ exposures: 0, responses: 0 })),
    periods: [], halfLife: null, landed: [], exchangeRate: UNLEARNED_EXCHANGE_RATE, calibration: null,
    shocks: [],
  };
}
