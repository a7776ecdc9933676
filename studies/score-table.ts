import { checkScoreTable } from "@populace/domain";
import type { ScoreTable, ValueEstimate } from "@populace/domain";
import { sha256Hex } from "@populace/io";
import { cellRates, leavingRates } from "./cell-rates.ts";
import type { Model } from "./model.ts";
import { quantileOfSorted } from "./rates.ts";

/**
 * Returns the score table of a model, which is what decisions are made from: the rate of every persona, stimulus and step with
 * its evidence (`cellRates`), leaving where it is known, and the value of a response. A value the schema states holds; otherwise the value model's mean with
 * the 5 and 95 % quantiles of its draws. Its release is the SHA-256 of its content: equal models give equal releases.
 *
 * Throws `BAD_MODEL` for a model whose numbers are out of range. Cost: as `cellRates`.
 */
export function scoreTableOf(model: Model): ScoreTable {
  const stated = model.schema.value?.economicValueMinor ?? null;
  const { steps, stimuli } = model.response;
  const leaving = leavingRates(model);
  const content: Omit<ScoreTable, "release"> = {
    model: model.name,
    version: model.version,
    evidence: model.evidence,
    // A release travels as JSON, which knows no infinity: a floor nobody can fall below stays one.
    mixture: { ...model.mixture, personas: model.mixture.personas.map((persona) => ({ ...persona, logDensityFloor: Math.max(-Number.MAX_VALUE, persona.logDensityFloor) })) },
    stimuli: stimuli.map(({ id, name, contact, channel, contactCostMinor, offer }) => ({ id, name, contact, channel, contactCostMinor, offerCostMinor: offer.costMinor ?? 0 })),
    steps: steps.map((step) => step.name),
    rates: cellRates(model),
    ...(leaving === undefined ? {} : { leaving }),
    values: stated === null ? valuesOf(model) : null,
    defaultValueMinor: stated,
    currency: model.value?.currency ?? model.schema.value?.currency ?? "",
    minorUnits: model.value?.minorUnits ?? model.schema.value?.minorUnits ?? 1,
  };
  const table: ScoreTable = { release: sha256Hex(new TextEncoder().encode(JSON.stringify(content))), ...content };
  checkScoreTable(table);
  return table;
}

function valuesOf(model: Model): readonly ValueEstimate[] | null {
  const { value } = model;
  if (value === null) return null;
  const cells = value.meanMinor.length, worlds = value.draws.length / cells;
  return value.meanMinor.map((meanMinor, cell) => {
    const draws = Float64Array.from({ length: worlds }, (_, world) => value.draws[world * cells + cell]).sort();
    // The mean of skewed draws may leave their quantiles; the interval always holds it.
    return { meanMinor, lowMinor: Math.min(meanMinor, quantileOfSorted(draws, 0.05)), highMinor: Math.max(meanMinor, quantileOfSorted(draws, 0.95)) };
  });
}
