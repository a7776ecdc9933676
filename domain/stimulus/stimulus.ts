import type { StimulusId } from "../ids.ts";

export interface Offer {
  /** 0 to 1: the share taken off the price. */
  readonly priceCut?: number;
  /** Integer minor currency units. */
  readonly valueMinor?: number;
  /** What the offer costs the sender when it is taken, minor currency units. */
  readonly costMinor?: number;
}

export interface Copy {
  readonly subject?: string;
  readonly body?: string;
}

/** What is shown: copy, offer and channel together. "No contact" is the stimulus whose features are all 0. */
export interface Stimulus {
  readonly id: StimulusId;
  readonly name: string;
  readonly contact: boolean;
  readonly channel: string;
  readonly offer: Offer;
  readonly copy: Copy;
  /** Free tags, matched to recipients' attributes through `matches` of the schema. */
  readonly tags: Readonly<Record<string, string>>;
  /** Numeric features the author states, in addition to those derived from channel, offer and copy. */
  readonly features: Readonly<Record<string, number>>;
  /** Cost of one contact, minor currency units. */
  readonly contactCostMinor: number;
}

/** One step of the funnel, in order; a response to a step presupposes the step before it. */
export interface FunnelStep {
  readonly name: string;
}
