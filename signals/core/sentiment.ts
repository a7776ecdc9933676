import vader from "vader-sentiment";
import { cut } from "./text.ts";

/** Beyond this the rule-based score saturates at +-1 and only costs time. */
const CHARACTERS_MAX = 5_000;

/**
 * Returns the sentiment of an English text, -1 (negative) to 1 (positive): VADER's compound score (Hutto and Gilbert 2014) by
 * its npm port, which correlates .875 with the mean of 20 human ratings on tweets. 0 for an empty text and for texts of words
 * it does not know, other languages included.
 */
export function sentiment(text: string): number {
  const words = cut(text, CHARACTERS_MAX).trim();
  if (words === "") return 0;
  const { compound } = vader.SentimentIntensityAnalyzer.polarity_scores(words);
  return Number.isFinite(compound) ? compound : 0;
}
