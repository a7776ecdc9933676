import type { ImportedFrom } from "@populace/studies";

export const OBSERVATIONAL = "The stimuli were not assigned at random: differences between them are observational, and may be differences between the people who met them.";
export const PRIOR_ONLY = "No data yet: every rate rests on the author's intervals alone (prior only).";

/** What a reader of an imported model's rates must know. */
export const importedWarning = ({ file, sha256, observations, errors }: ImportedFrom): string =>
  `Responses come from a foreign model (${file}, ${sha256.slice(0, 12)}), external evidence believed like ${observations} observations; distilling it cost ${errors.map(({ step, mean, p95 }) => `${(100 * mean).toFixed(2)} points on average in ${step} (95 %: ${(100 * p95).toFixed(2)})`).join(", ")}.`;

/** Of a run that a cluster could not check by second computations as drawn, from a tick on. */
export const uncheckedText = (tick: number): string => `from tick ${tick} on: blocks drawn for a double run were computed once only, for there was no second node or what it needed was lost`;
