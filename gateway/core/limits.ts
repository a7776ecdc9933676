/** Every bound of the gateway, with what happens at it. */
export const GATEWAY_LIMITS = {
  /** Bytes of a request body: 413 above. */
  bodyBytesMax: 1_048_576,
  /** Recipients of one request: 400 above. */
  recipientsMax: 1_000,
  /** Campaigns of one request: 400 above. */
  campaignsMax: 1_000,
  /** Outcomes of one request: 400 above. */
  outcomesMax: 5_000,
  /** Outcomes that wait for a cluster to count them: 503 above. A hundred bytes each. */
  eventsWaitingMax: 10_000_000,
  /** Outcomes that could not be counted, kept with the reason: the oldest is dropped. */
  deadLettersMax: 10_000,
  attributesMax: 500,
  /** Characters of an id or a name. */
  nameMax: 256,
  /** Agents of a what-if question: 400 above. Half a second of one core. */
  whatIfAgentsMax: 20_000_000,
  /** What-if questions that wait for the thread: 503 above. */
  whatIfsWaitingMax: 32,
  /** Answers to what-if questions kept for a release; the oldest is dropped. */
  whatIfsKeptMax: 256,
  /** Bound campaign lists kept ready for reuse; the oldest is dropped. */
  prioritizersMax: 16,
  /** Milliseconds until an unfinished request is closed. */
  requestTimeoutMs: 10_000,
} as const;
