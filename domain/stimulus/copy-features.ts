import type { Copy } from "./stimulus.ts";

/** Names of the features of a copy, the most telling first; every value lies in -1 .. 1. */
export const COPY_FEATURES = ["length", "urgency", "price", "sentiment", "question", "exclamation", "ease", "hash0", "hash1", "hash2", "hash3"] as const;
export type CopyFeature = (typeof COPY_FEATURES)[number];

const URGENT = new Set("now today tonight hurry last final ends ending expires only limited soon midnight deadline instant immediately quick flash rush 24h hours".split(" "));
const WARM = new Set("love great good best happy joy free thank thanks enjoy favorite beautiful perfect new exclusive gift welcome win delight fresh easy save special treat amazing wonderful".split(" "));
const COLD = new Set("bad worst sorry miss missing lose lost never no not problem fail risk warning unfortunately overdue cancel stop without pain fear worry".split(" "));
const NEGATIONS = new Set("not no never don't won't can't isn't".split(" "));
const HASH_BUCKETS = 4;
/** Words of a copy that are looked at; what follows cannot change a first impression and would cost time. */
const WORDS_MAX = 2_000;

/**
 * Features of a subject and body: length (log scale, 1 = 400 words), urgency and exclamation marks (capped), a price or
 * percentage, sentiment (words of a small list, negation turns them), a question, Flesch reading ease / 100 for English
 * (Flesch 1948), and four signed hash buckets of words. All 0 for an empty copy. Deterministic.
 */
export function copyFeatures(copy: Copy): Readonly<Record<CopyFeature, number>> {
  const text = `${copy.subject ?? ""}\n${copy.body ?? ""}`.trim().slice(0, 40_000);
  const words = (text.toLowerCase().match(/[\p{L}\p{N}'’]+/gu) ?? []).slice(0, WORDS_MAX);
  const features = Object.fromEntries(COPY_FEATURES.map((name) => [name, 0])) as Record<CopyFeature, number>;
  if (words.length === 0) return features;
  let urgent = 0, mood = 0, syllables = 0;
  words.forEach((word, i) => {
    const plain = word.replaceAll("’", "'");
    if (URGENT.has(plain)) urgent++;
    const sign = i > 0 && NEGATIONS.has(words[i - 1].replaceAll("’", "'")) ? -1 : 1;
    if (WARM.has(plain)) mood += sign;
    else if (COLD.has(plain) && !NEGATIONS.has(plain)) mood -= sign;
    syllables += Math.max(1, (plain.match(/[aeiouyäöüáéíóúàèìòùâêîôû]+/g) ?? []).length - (/[^l]e$/.test(plain) && plain.length > 3 ? 1 : 0));
    const hash = fnv1a(plain);
    features[`hash${(hash >>> 1) % HASH_BUCKETS}` as CopyFeature] += (hash & 1) === 0 ? 1 : -1;
  });
  for (let bucket = 0; bucket < HASH_BUCKETS; bucket++) {
    const name = `hash${bucket}` as CopyFeature;
    features[name] = clamp(features[name] / (2 * Math.sqrt(words.length)));
  }
  const sentences = Math.max(1, (text.match(/[.!?]+(\s|$)/g) ?? []).length);
  features.length = clamp(Math.log1p(words.length) / Math.log1p(400));
  features.urgency = clamp(urgent / 3);
  features.price = /[$€£¥]\s?\d|\d\s?(%|percent|usd|eur|gbp|€|£)/iu.test(text) ? 1 : 0;
  features.sentiment = clamp(mood / (1 + Math.sqrt(words.length)));
  features.question = text.includes("?") ? 1 : 0;
  features.exclamation = clamp((text.match(/!/g) ?? []).length / 3);
  features.ease = clamp((206.835 - 1.015 * (words.length / sentences) - 84.6 * (syllables / words.length)) / 100);
  return features;
}

const clamp = (value: number): number => Math.max(-1, Math.min(1, value));

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
