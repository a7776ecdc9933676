import type { Stimulus } from "@populace/domain";
import type { Model } from "./model.ts";

/** Worth of a response when nobody says: with it, values are rates in per cent. */
const VALUE_DEFAULT_MINOR = 100;

/**
 * Economic value of one response at the last step, minor currency units: the caller's number, else the schema's, else the
 * value model's mean for (persona, stimulus), else 100: the order of the score table. A stimulus the value model never saw takes the persona's mean.
 */
export function economicValue(model: Model, persona: number, stimulus: Pick<Stimulus, "id">, callerMinor: number | null = null): number {
  if (callerMinor !== null) return callerMinor;
  const stated = model.schema.value?.economicValueMinor;
  if (stated !== undefined) return stated;
  if (model.value === null) return VALUE_DEFAULT_MINOR;
  const count = model.response.stimuli.length;
  const known = model.response.stimuli.findIndex((other) => other.id === stimulus.id);
  const row = model.value.meanMinor.slice(persona * count, (persona + 1) * count);
  return known >= 0 ? row[known] : row.reduce((sum, value) => sum + value / count, 0);
}
