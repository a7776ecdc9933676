import type { Stimulus } from "@populace/domain";
import type { ModelShock } from "./model.ts";

/** The price cut at which a change of price sensitivity leaves the last step as it was; half of a 20 % cut, the commonest. */
const PRICE_CUT_NEUTRAL = 0.1;

/**
 * What the shocks add to a logit at a tick. Each shock starts with `size` and halves every `halfLifeTicks`:
 * - brand-warmth: + size, contacts, every step;
 * - channel-affinity: + size, contacts through that channel, first step;
 * - contact-pressure: - size, contacts, every step: people feel more pressed;
 * - price-sensitivity: last step, contact or not: - size at the full price, 0 at a price cut of 10 %, + size from 20 % on.
 *   More sensitive buyers buy less at the full price and are drawn more by a cut.
 */
export function shockOffset(shocks: readonly ModelShock[], tick: number, personaId: string, stimulus: Stimulus, step: number, stepCount: number): number {
  let sum = 0;
  for (const shock of shocks) {
    if (shock.persona !== "*" && shock.persona !== personaId) continue;
    if (tick < shock.startTick) continue;
    sum += shock.size * 2 ** (-(tick - shock.startTick) / shock.halfLifeTicks) * pull(shock, stimulus, step, stepCount);
  }
  return sum;
}

function pull(shock: ModelShock, stimulus: Stimulus, step: number, stepCount: number): number {
  switch (shock.attitude) {
    case "brand-warmth":
      return stimulus.contact ? 1 : 0;
    case "channel-affinity":
      return stimulus.contact && step === 0 && (shock.channel === "*" || shock.channel === stimulus.channel) ? 1 : 0;
    case "contact-pressure":
      return stimulus.contact ? -1 : 0;
    case "price-sensitivity":
      return step === stepCount - 1 ? Math.min(1, (stimulus.offer.priceCut ?? 0) / PRICE_CUT_NEUTRAL - 1) : 0;
  }
}
