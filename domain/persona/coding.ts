import { BINARY_CODE, CODES_PER_UNIT, MISSING } from "./trait.ts";
import type { TraitCoding, Transform } from "./trait.ts";

const SHARE_EDGE = 1e-6;

/** The transformed value: identity, log(1 + x), or the logit of a share (kept 1e-6 away from 0 and 1). */
export function transformed(transform: Transform, raw: number): number {
  if (transform === "identity") return raw;
  if (transform === "log1p") return Math.log1p(raw);
  const share = Math.min(1 - SHARE_EDGE, Math.max(SHARE_EDGE, raw));
  return Math.log(share / (1 - share));
}

/** Inverse of `transformed`. */
export function untransformed(transform: Transform, value: number): number {
  if (transform === "identity") return value;
  if (transform === "log1p") return Math.expm1(value);
  return 1 / (1 + Math.exp(-value));
}

/** True for traits whose code is a number on the grid (continuous, count), false for binary and categorical ones. */
export const isGrid = (coding: TraitCoding): boolean => coding.kind === "continuous" || coding.kind === "count";

/** The int8 code of a raw number of a continuous or count trait; MISSING for NaN and for values outside the transform's domain. */
export function encodeNumber(coding: TraitCoding, raw: number): number {
  const value = transformed(coding.kind === "count" ? "log1p" : coding.transform, raw);
  if (!Number.isFinite(value)) return MISSING;
  return Math.max(-128, Math.min(127, Math.round(((value - coding.center) / coding.scale) * CODES_PER_UNIT)));
}

/**
 * The code of a raw text as a data file or a request holds it; MISSING when it is empty or states no value of this trait
 * (a number for grid traits, one of the two levels for binary ones). Unseen levels of a categorical trait are its last level.
 */
export function encode(coding: TraitCoding, rawText: string): number {
  const text = rawText.trim();
  if (text === "") return MISSING;
  if (isGrid(coding)) return encodeNumber(coding, Number(text));
  const index = coding.levels.indexOf(text);
  if (coding.kind === "binary") return index < 0 ? MISSING : index * BINARY_CODE;
  return index < 0 ? coding.levels.length - 1 : index;
}

/** The value the response model sees: standard deviations for grid traits, 0 or 1 for binary ones. Not for categorical traits. */
export const numericValue = (coding: TraitCoding, code: number): number => code / (coding.kind === "binary" ? BINARY_CODE : CODES_PER_UNIT);

/** The raw value in the middle of a code's cell (grid traits), or the level's text. */
export function decode(coding: TraitCoding, code: number): number | string {
  if (coding.kind === "binary") return coding.levels[code === 0 ? 0 : 1];
  if (coding.kind === "categorical") return coding.levels[code];
  return untransformed(coding.kind === "count" ? "log1p" : coding.transform, coding.center + (coding.scale * code) / CODES_PER_UNIT);
}

/** Number of distinct codes of a trait and the offset that brings a code to 0 .. count - 1. */
export function codeRange(coding: TraitCoding): { readonly count: number; readonly offset: number } {
  if (coding.kind === "binary") return { count: BINARY_CODE + 1, offset: 0 };
  if (coding.kind === "categorical") return { count: coding.levels.length, offset: 0 };
  return { count: 256, offset: 128 };
}
