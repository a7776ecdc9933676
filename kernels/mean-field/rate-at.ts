import { sigmoidQ32 } from "../expose/tables.ts";
import { HISTOGRAM_BINS } from "./port.ts";

/**
 * The mean rate (0 to 1) of a histogram's agents when all their logits move by `shift` (Q14): conditional on having come so far. NaN for an
 * empty histogram. 20 us, whatever the number of agents; within 5e-5 of the agents' own mean (SPEC.md).
 */
export function rateAt(histogram: Uint32Array, shift: number): number {
  let weights = 0, sum = 0;
  for (let bin = 0; bin < HISTOGRAM_BINS; bin++) {
    const weight = histogram[bin];
    if (weight === 0) continue;
    weights += weight;
    sum += weight * sigmoidQ32(64 * (bin - HISTOGRAM_BINS / 2) + 32 + shift);
  }
  return sum / (weights * 0x1_0000_0000);
}
