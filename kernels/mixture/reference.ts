import { PLAIN_MIXTURE } from "@populace/domain";
import type { MixtureEngine } from "@populace/domain";

/** The kernel `mixture` in plain TypeScript, which lives where its meaning is. */
export const mixtureReference: MixtureEngine = PLAIN_MIXTURE;
