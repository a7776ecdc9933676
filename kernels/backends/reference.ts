import { distancesReference } from "../distances/reference.ts";
import { exposeReference } from "../expose/reference.ts";
import { kMeansReference } from "../k-means/reference.ts";
import { mixtureReference } from "../mixture/reference.ts";
import { rowRatesReference } from "../row-rates/reference.ts";
import { nearestReference } from "../nearest/reference.ts";
import { meanFieldReference } from "../mean-field/reference.ts";
import { responseSurfaceReference } from "../response-surface/reference.ts";
import type { Backend } from "./backend.ts";

/** The plain TypeScript kernels on the calling thread: the bits that every other backend must give, and for float maps the values. */
export function openReference(): Promise<Backend> {
  return Promise.resolve({ name: "reference", device: "TypeScript", isFast: true, kernels: { expose: exposeReference, nearest: nearestReference, kMeans: kMeansReference, mixture: mixtureReference, rowRates: rowRatesReference, meanField: meanFieldReference, responseSurface: responseSurfaceReference, distances: distancesReference } });
}
