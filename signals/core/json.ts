import { SIGNAL_LIMITS } from "./limits.ts";
import type { Parsed, Rejected, SignalRecord } from "./record.ts";

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value);
export const textOr = <T>(value: unknown, otherwise: T): string | T => (typeof value === "string" ? value : otherwise);
export const numberOr = (value: unknown, otherwise: number): number => (typeof value === "number" && Number.isFinite(value) ? value : otherwise);

/** Parses JSON or returns the failure as a text. */
export function parseJson(text: string): { readonly value: unknown } | { readonly reason: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { reason: `no JSON: ${error instanceof Error ? error.message.slice(0, 120) : "unreadable"}` };
  }
}

/** Reads one JSON value a line; `read` returns a record or the reason of its rejection. Empty lines are skipped, not counted. */
export function eachJsonLine(text: string, read: (value: unknown) => SignalRecord | string): Parsed {
  return eachLine(text, (line) => {
    const parsed = parseJson(line);
    return "reason" in parsed ? parsed.reason : read(parsed.value);
  });
}

/** Reads line by line; indices count the lines that are not empty. */
export function eachLine(text: string, read: (line: string) => SignalRecord | string): Parsed {
  const records: SignalRecord[] = [];
  const rejected: Rejected[] = [];
  let index = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    if (index >= SIGNAL_LIMITS.recordsMax) {
      rejected.push({ index, reason: `more than ${SIGNAL_LIMITS.recordsMax} lines; the rest was not read` });
      break;
    }
    const result = read(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (typeof result === "string") rejected.push({ index, reason: result });
    else records.push(result);
    index++;
  }
  return { records, rejected };
}
