import { RandomStream, keepsMissing, learnExchangeRates, pastCellPit, pitSummary } from "@populace/domain";
import type { PitSummary, Stimulus } from "@populace/domain";
import type { ExchangeRateLevel, LandedCell, Model, ModelExchangeRate } from "./model.ts";

/** Chance that any persona of a right simulator is demoted. */
const DEMOTION_ERROR = 0.01;

/**
 * The exchange rate a0 as landed cells teach it: overall, by channel, and by persona x channel x kind of stimulus (`LandedCell.class`),
 * each with its 90 % interval. Personas whose 90 % predictive intervals keep missing are demoted: from then on their simulated
 * evidence counts for nothing beside real outcomes. Cost: 93 likelihoods a cell.
 */
export function exchangeRateOf(landed: readonly LandedCell[]): ModelExchangeRate {
  const { global, channels, classes } = learnExchangeRates(landed);
  const pitsOf = new Map<string, number[]>();
  for (const cell of landed) pitsOf.set(cell.persona, [...(pitsOf.get(cell.persona) ?? []), pitOf(cell)]);
  // So many personas are looked at, and one of them is often unlucky.
  const demoted = [...pitsOf].filter(([, pits]) => keepsMissing(pits, DEMOTION_ERROR / pitsOf.size)).map(([persona]) => persona);
  return {
    a0: global.mean, low: global.low, high: global.high, learned: landed.length > 0, cells: landed.length,
    levels: [...byName(channels).map(([name, rate]) => levelOf("channel", name, rate)), ...byName(classes).map(([name, rate]) => levelOf("class", name, rate))],
    demoted,
  };
}

const byName = <T>(levels: ReadonlyMap<string, T>): readonly (readonly [string, T])[] => [...levels].toSorted(([a], [b]) => (a < b ? -1 : 1));

const levelOf = (level: ExchangeRateLevel["level"], name: string, rate: { readonly mean: number; readonly low: number; readonly high: number; readonly cells: number }): ExchangeRateLevel =>
  ({ level, name, a0: rate.mean, low: rate.low, high: rate.high, cells: rate.cells });

/** What is believed of the exchange rate before any randomized outcome has met a prediction. */
export const UNLEARNED_EXCHANGE_RATE: ModelExchangeRate = exchangeRateOf([]);

/** The exchange rate of a cell: that of its class, of its channel, or the overall one, whichever has been learned; 0 for a demoted persona. */
export function exchangeRateAt(model: Model, persona: string, stimulus: Stimulus): number {
  const { levels, demoted, a0 } = model.exchangeRate;
  if (demoted.includes(persona)) return 0;
  const { channel, class: name } = placeOf(persona, stimulus);
  return (levels.find((each) => each.level === "class" && each.name === name) ?? levels.find((each) => each.level === "channel" && each.name === channel))?.a0 ?? a0;
}

/** Channel and class of a cell. */
export const placeOf = (persona: string, stimulus: Stimulus): Pick<LandedCell, "channel" | "class"> => {
  const channel = stimulus.contact ? stimulus.channel : "no contact";
  const kind = (stimulus.offer.priceCut ?? 0) > 0 || (stimulus.offer.valueMinor ?? 0) > 0 ? "offer" : "plain";
  return { channel, class: stimulus.contact ? `${persona}, ${channel}, ${kind}` : `${persona}, ${channel}` };
};

/** What makes a landed cell one and the same. */
export const keyOf = (cell: Pick<LandedCell, "persona" | "stimulus" | "step" | "responseVersion">): string => JSON.stringify([cell.responseVersion, cell.persona, cell.stimulus, cell.step]);

/** Probability integral transform of a landed cell, randomized by its name, so that it is the same whenever it is looked at. */
export const pitOf = (cell: LandedCell): number => pastCellPit(cell, RandomStream.of(0, `pit ${keyOf(cell)}`).uniform());

/** Transforms of all landed cells of a model: are its predictions those of the world they met? */
export const landedPit = (model: Pick<Model, "landed">): PitSummary => pitSummary(model.landed.map(pitOf));

const MARK = " (demoted)";

/** The mixture with the names of demoted personas saying so, and nobody else's: a name is shown wherever a rate is. */
export const markedMixture = (mixture: Model["mixture"], demoted: readonly string[]): Model["mixture"] => ({
  ...mixture,
  personas: mixture.personas.map((persona) => {
    const name = persona.name.endsWith(MARK) ? persona.name.slice(0, -MARK.length) : persona.name;
    return { ...persona, name: demoted.includes(persona.id) ? `${name}${MARK}` : name };
  }),
});
