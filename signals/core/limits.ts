/** What one input may be; beyond it the rest is refused by name, never silently dropped. */
export const SIGNAL_LIMITS = {
  /** Characters of one document: about a hundred times an ordinary feed. */
  documentCharactersMax: 8_000_000,
  /** Records and rejections of one document. */
  recordsMax: 100_000,
  /** Characters kept of a text; what the sentiment is measured on. */
  textCharactersMax: 20_000,
  /** Characters kept of titles, ids and addresses. */
  nameCharactersMax: 2_000,
  topicsMax: 100,
} as const;
