import { InvalidArgumentError } from "commander";

const NUMBER = /^(?:\d[\d_]*(\.\d+)?|\.\d+)(e[+-]?\d+)?$/i;

function strictNumber(text: string): number {
  if (!NUMBER.test(text) || text.includes("__") || text.endsWith("_")) throw new InvalidArgumentError("Expected a number such as 250000, 1e6 or 1_000_000.");
  return Number(text.replaceAll("_", ""));
}

/** Parser of a whole number of at least `min` and at most `max`; 1e6 and 1_000_000 are read, NaN, signs and fractions refused. */
export const whole = (min: number, max: number = Number.MAX_SAFE_INTEGER) => (text: string): number => {
  const value = strictNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("Expected a whole number.");
  if (value < min || value > max) throw new InvalidArgumentError(max === Number.MAX_SAFE_INTEGER ? `Expected at least ${min}.` : `Expected ${min} to ${max}.`);
  return value;
};

/** Parser of a positive real number. */
export const positive = (text: string): number => {
  const value = strictNumber(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("Expected a number above 0.");
  return value;
};

/** Parser of a share, 0 to 1. */
export const share = (text: string): number => {
  const value = strictNumber(text);
  if (value > 1) throw new InvalidArgumentError("Expected 0 to 1.");
  return value;
};

/** Parser of a number of personas, or auto. */
export const personaCount = (text: string): "auto" | number => {
  if (text === "auto") return "auto";
  try {
    return whole(1, 200)(text);
  } catch {
    throw new InvalidArgumentError("Expected auto, or a whole number of 1 to 200.");
  }
};

/** Parser of one of the listed words. */
export const oneOf = <T extends string>(...words: readonly T[]) => (text: string): T => {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new InvalidArgumentError(`Expected one of: ${words.join(", ")}.`);
  return found;
};

/** Parser of a comma-separated list without empty entries. */
export const list = (text: string): readonly string[] => {
  const entries = text.split(",").map((entry) => entry.trim());
  if (entries.some((entry) => entry === "")) throw new InvalidArgumentError("Expected names separated by commas.");
  return entries;
};

/** Most seeds anyone needs, and exact in a double. */
export const seed = whole(0, 2 ** 53 - 1);
