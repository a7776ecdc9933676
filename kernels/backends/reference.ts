import { exposeReference } from "../expose/reference.ts";
import { kMeansReference } from "../k-means/reference.ts";
import { mixtureReference } from "../mixture/reference.ts";
import { rowRatesReference } from "../row-rates/reference.ts";
import { nearestReference } from "../nearest/reference.ts";
import type { Backend } from "./backend.ts";

/** The plain TypeScript kernels on the calling thread: the bits that every other backend must give. */
export function openReference(): Promise<Backend> {
  return Promise.resolve({ name: "reference", device: "TypeScript", isFast: true, kernels: { expose: exposeReference, nearest: nearestReference, kMeans: kMeansReference, mixture: mixtureReference, rowRates: rowRatesReference } });
}
