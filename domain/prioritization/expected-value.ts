import type { RateEstimate } from "../stimulus/response-model.ts";
import type { RandomStream } from "../random/random-stream.ts";

/** Value of one response in minor currency units, with its 90 % interval. A stated value has no width. */
export interface ValueEstimate {
  readonly meanMinor: number;
  readonly lowMinor: number;
  readonly highMinor: number;
}

/** Expected value of one contact, minor currency units. */
export interface ExpectedValue {
  readonly score: number;
  readonly low: number;
  readonly high: number;
}

/** What a contact costs: always, only when it is answered, and only when it makes somebody leave. Minor currency units. */
export interface Cost {
  readonly contactMinor: number;
  readonly responseMinor: number;
  readonly leaving?: { readonly rate: RateEstimate; readonly minor: number };
}

/** A contact that costs nothing. */
export const NO_COST: Cost = { contactMinor: 0, responseMinor: 0 };

/** A value stated by the caller: certain. */
export const statedValue = (minor: number): ValueEstimate => ({ meanMinor: minor, lowMinor: minor, highMinor: minor });

/** 95 % point of the standard normal: the 90 % interval is mean -+ this many standard deviations. */
const Z95 = 1.6448536269514722;

/**
 * Returns rate x (value - cost of a response) - cost of the contact - rate of leaving x its cost, with an interval into which ALL uncertainties enter.
 *
 * The two are independent given the persona (rate and amount are fitted apart), so on the log scale their half-widths add in
 * quadrature, each side by itself: ln(mean / low) and ln(high / mean). Exact for log-normal factors and exact when the value is
 * certain. Where the net value may be negative there is no log scale: the interval is then the hull of the four corners, wider
 * rather than too narrow. Leaving is added in the same way: its worst end to the worst one.
 */
export function expectedValue(rate: RateEstimate, value: ValueEstimate, cost: Cost = NO_COST): ExpectedValue {
  const mean = value.meanMinor - cost.responseMinor;
  const least = value.lowMinor - cost.responseMinor;
  const most = value.highMinor - cost.responseMinor;
  const score = rate.mean * mean;
  let low: number, high: number;
  if (least === most && least >= 0) {
    // By far the commonest case, once a campaign a request: no arrays.
    low = rate.low * least;
    high = rate.high * least;
  } else if (least < 0 || rate.mean === 0) {
    const corners = [rate.low * least, rate.low * most, rate.high * least, rate.high * most];
    low = Math.min(...corners);
    high = Math.max(...corners);
  } else {
    low = score * Math.exp(-Math.hypot(logRatio(rate.mean, rate.low), logRatio(mean, least)));
    high = score * Math.exp(Math.hypot(logRatio(rate.high, rate.mean), logRatio(most, mean)));
  }
  const { contactMinor, leaving } = cost;
  if (leaving === undefined) return { score: score - contactMinor, low: low - contactMinor, high: high - contactMinor };
  const { rate: gone, minor } = leaving;
  return { score: score - contactMinor - gone.mean * minor, low: low - contactMinor - gone.high * minor, high: high - contactMinor - gone.low * minor };
}

/** ln(upper / lower), 0 for equal ones, Infinity when only the lower is 0. */
const logRatio = (upper: number, lower: number): number => (upper === lower ? 0 : Math.log(upper / lower));

/**
 * Returns one draw of the expected value from its posterior (Thompson sampling): rates from the Betas with the estimates'
 * means and effective sample sizes, the value from the log-normal with the estimate's mean and interval.
 */
export function drawExpectedValue(rate: RateEstimate, value: ValueEstimate, cost: Cost, random: RandomStream): number {
  const drawnRate = drawRate(rate, random);
  const sd = value.lowMinor > 0 && value.highMinor > value.lowMinor ? Math.log(value.highMinor / value.lowMinor) / (2 * Z95) : 0;
  const drawnValue = sd === 0 ? value.meanMinor : value.meanMinor * Math.exp(sd * random.normal() - (sd * sd) / 2);
  const drawn = drawnRate * (drawnValue - cost.responseMinor) - cost.contactMinor;
  return cost.leaving === undefined ? drawn : drawn - drawRate(cost.leaving.rate, random) * cost.leaving.minor;
}

const drawRate = ({ mean, ess }: RateEstimate, random: RandomStream): number => (mean <= 0 || mean >= 1 || ess <= 0 ? mean : random.beta(mean * ess, (1 - mean) * ess));
