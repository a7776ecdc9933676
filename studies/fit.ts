import { LEAVE, PopulaceError, RandomStream, fitLogNormalValue, fitMixture, matchesOf, missingFill, stimulusFeatures, termPriors, termsOf } from "@populace/domain";
import type { PersonaMixture, ResponseLayout, ResponseModel, TermPriors, TraitCoding, ValueModel } from "@populace/domain";
import { mixtureEngine } from "@populace/kernels";
import type { Dataset } from "./dataset.ts";
import type { Model } from "./model.ts";
import type { Schema } from "./schema.ts";
import { logitOf, normalOf } from "./stated-interval.ts";
import { fitCheck } from "./calibration.ts";
import { codingsOf, encodeDataset } from "./codings.ts";
import { UNLEARNED_EXCHANGE_RATE } from "./exchange.ts";
import { latestPeriod } from "./forgetting.ts";
import { fitLeave, statedLeave } from "./leave-fit.ts";
import { effectiveWeights, fitSteps, likelihoodWeights, populationWeights, samplingShift } from "./response-fit.ts";
import type { ResponseRows } from "./response-fit.ts";
import { rowRates } from "./row-rates.ts";

export interface FitOptions {
  /** Number of personas; default "auto". */
  readonly personas?: number | "auto";
  /** Posterior draws; default 200. */
  readonly worlds?: number;
  readonly seed?: number;
  readonly onProgress?: (progress: { readonly stage: string; readonly share: number }) => void;
}

export interface FittedModel {
  readonly model: Model;
  /** What a careful reader should know: attributes left out, one stimulus only, ... */
  readonly notes: readonly string[];
}

/** Rows below which a fit says nothing. */
const FIT_ROWS_MIN = 30;

/**
 * The default priors with what the schema's author states in their place: the base rate moves the intercept, an odds ratio the
 * term it names. `shift` is what sampling by outcome adds to the intercept.
 */
export function statedPriors(schema: Schema, step: number, layout: ResponseLayout, mixture: PersonaMixture, shift = 0): TermPriors {
  const priors = termPriors(layout.terms, mixture.codings);
  const { prior, funnel } = schema;
  if (prior === null) return priors;
  const { name } = funnel[step];
  const [scaleGroup, priorMean, priorSd] = [Int32Array.from(priors.scaleGroup), Float64Array.from(priors.priorMean), Float64Array.from(priors.priorSd)];
  const fill = missingFill(mixture);
  let ofTraits = 0;
  for (const effect of prior.effects) {
    if (effect.step !== name) continue;
    layout.terms.forEach((term, at) => {
      const isStimulus = term.kind === "stimulus" && layout.stimuli[term.stimulus].id === effect.on;
      const isTrait = term.kind === "trait" && effect.on === (term.level < 0 ? mixture.codings[term.trait].name : `${mixture.codings[term.trait].name}=${mixture.codings[term.trait].levels[term.level]}`);
      if (!isStimulus && !isTrait) return;
      const stated = normalOf(effect.oddsRatio, Math.log);
      scaleGroup[at] = -1;
      priorMean[at] = stated.mean;
      priorSd[at] = stated.sd;
      if (term.kind !== "trait") return;
      const average = mixture.personas.reduce((sum, persona, k) => {
        const value = fill(k, term.trait);
        return sum + persona.share * (typeof value === "number" ? value : value[term.level]);
      }, 0);
      ofTraits += priorMean[at] * average;
    });
  }
  const base = Object.hasOwn(prior.baseRates, name) ? prior.baseRates[name] : null;
  if (base !== null) {
    const intercept = layout.terms.findIndex((term) => term.kind === "intercept");
    // The base rate is the whole population's, so what its average traits add is taken off.
    const stated = normalOf(base, logitOf);
    priorMean[intercept] = stated.mean - ofTraits + shift;
    priorSd[intercept] = stated.sd;
  }
  return { ...priors, scaleGroup, priorMean, priorSd };
}

/**
 * Fits personas and the response of every funnel step to a dataset and returns the model. Deterministic for a seed.
 * DEGENERATE_DATA, with the numbers, when there are too few rows or a step has only one kind of outcome.
 * Cost: seconds for tens of thousands of rows; about linear in rows x columns squared.
 */
export function fitModel(schema: Schema, dataset: Dataset, options: FitOptions = {}): Model {
  return fitWithNotes(schema, dataset, options).model;
}

/** The same with notes for the reader. */
export function fitWithNotes(schema: Schema, dataset: Dataset, options: FitOptions = {}): FittedModel {
  const { seed = 1, worlds = 200, personas = "auto" } = options;
  if (dataset.rows < FIT_ROWS_MIN) {
    throw new PopulaceError("DEGENERATE_DATA", `${dataset.path}: ${dataset.rows} rows; a fit needs at least ${FIT_ROWS_MIN}. With fewer, state what you believe under \`prior\` of the schema`, { rows: dataset.rows });
  }
  const report = (stage: string, share: number): void => options.onProgress?.({ stage, share });
  const { codings, notes } = codingsOf(dataset);
  const encoded = encodeDataset(dataset, codings);
  const { mixture, assignment, candidates } = fitMixture(
    { codings, codes: encoded.codes, weight: populationWeights(dataset) },
    { personas, random: RandomStream.of(seed, "personas"), engine: mixtureEngine, onProgress: (share) => report("personas", share) },
  );
  const persona = codings.length === 0 ? new Int32Array(dataset.rows) : assignment;
  const filled = { ...schema, stimulus: dataset.schema.stimulus };
  const layout = responseLayout(filled, codings, mixture);
  const rows: ResponseRows = { codes: encoded.codes, persona, stimulus: dataset.stimulus, outcomes: dataset.outcomes, steps: schema.funnel.length, weight: likelihoodWeights(dataset), ...(dataset.left === null ? {} : { left: dataset.left }) };
  report("response", 0);
  const shift = samplingShift(schema, dataset);
  const stepModels = fitSteps(layout, mixture, rows, schema.funnel, {
    worlds, seed, shift, path: dataset.path, priors: (step) => statedPriors(filled, step, layout, mixture, step === 0 ? shift : 0), onStep: (step) => report("response", (step + 1) / schema.funnel.length),
  });
  const random = RandomStream.of(seed, LEAVE), population = populationWeights(dataset);
  const learned = dataset.left === null ? null : fitLeave(filled, layout, mixture, { ...rows, weight: population === null ? null : effectiveWeights(population) }, dataset.left, { worlds, random: random.child("fit") });
  const response: ResponseModel = {
    steps: schema.funnel.map(({ name }) => ({ name })),
    ...layout,
    stepModels,
    leave: learned ?? statedLeave(filled, layout, worlds, random),
    worlds,
  };
  const model: Model = {
    formatVersion: 1,
    name: schema.name,
    version: 1,
    schema: filled,
    mixture,
    response,
    responseVersion: 1,
    value: fitValue(filled, dataset, persona, mixture.personas.length, { worlds, seed }),
    rowRates: rowRates({ mixture, response }, encoded.codes, persona, populationWeights(dataset)),
    evidence: schema.assignment.kind === "unknown" ? "observational" : schema.assignment.kind,
    fit: {
      rows: dataset.rows,
      rejected: dataset.rejectedCount,
      missing: encoded.missing,
      otherLevels: encoded.otherLevels,
      noConsent: dataset.noConsent,
      seen: dataset.hashes,
      absorbed: dataset.rows,
      latest: latestPeriod(dataset),
      candidates: candidates.map(({ personas: count, bic, stability }) => ({ personas: count, bic, stability })),
      seed,
    },
    outcomes: Array.from({ length: mixture.personas.length * layout.stimuli.length * schema.funnel.length }, () => ({ exposures: 0, responses: 0 })),
    periods: [], halfLife: null, landed: [], exchangeRate: UNLEARNED_EXCHANGE_RATE, calibration: null,
    shocks: [],
  };
  const calibration = fitCheck(model, rows, rows.weight !== null || schema.sampling.kind === "base-rate");
  const { effects } = response.leave;
  const ofLeaving = learned === null || effects === undefined ? [] : [`${effects.model.events} of ${effects.model.rows} contacts that did not reach the last step made somebody leave; how it depends on persona, traits and stimulus is learned`];
  return { model: { ...model, calibration }, notes: [...dataset.notes, ...notes, ...ofLeaving] };
}

/** Responders with an amount below which no value model is fitted. */
const VALUE_ROWS_MIN = 20;

/**
 * The value model of a dataset: amounts of those who reached the last step. Null without a value column or with fewer than 20
 * positive amounts; amounts of 0 or less (returns) are left out.
 */
export function fitValue(schema: Schema, dataset: Dataset, persona: Int32Array, personaCount: number, options: { readonly worlds: number; readonly seed: number }): ValueModel | null {
  const steps = schema.funnel.length;
  if (schema.value === null || dataset.value === null) return null;
  const rows: number[] = [];
  for (let row = 0; row < dataset.rows; row++) if (dataset.outcomes[row * steps + steps - 1] === 1 && dataset.value[row] > 0) rows.push(row);
  if (rows.length < VALUE_ROWS_MIN) return null;
  const weight = likelihoodWeights(dataset);
  const posterior = fitLogNormalValue(
    {
      amount: Float64Array.from(rows, (row) => dataset.value![row]),
      persona: Int32Array.from(rows, (row) => persona[row]),
      stimulus: Int32Array.from(rows, (row) => dataset.stimulus[row]),
      personaCount,
      stimulusCount: schema.stimulus.stimuli.length,
      ...(weight === null ? {} : { weight: Float64Array.from(rows, (row) => weight[row]) }),
    },
    { worlds: options.worlds, random: RandomStream.of(options.seed, "value") },
  );
  return { currency: schema.value.currency, minorUnits: schema.value.minorUnits, meanMinor: [...posterior.mean], draws: posterior.draws, sigma: posterior.sigmaDraws, rows: rows.length };
}

/** The terms, stimuli and features of a schema's response model. */
export function responseLayout(schema: Schema, codings: readonly TraitCoding[], mixture: PersonaMixture): ResponseLayout & Pick<ResponseModel, "featureNames"> {
  const stimuli = schema.stimulus.stimuli;
  const { names, values } = stimulusFeatures(stimuli);
  const matches = matchesOf(schema.matches, codings);
  const leftOut = new Set(codings.flatMap((coding, t) => (schema.attributes.find((attribute) => attribute.name === coding.name)?.inResponse === false ? [t] : [])));
  return { stimuli, featureNames: names, features: values, matches, terms: termsOf(codings, mixture.personas.length, stimuli, names, matches, leftOut) };
}
