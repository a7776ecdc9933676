import { pino } from "pino";

/** One event is one structured line; no recipient's personal data ever enters `fields`. */
export interface Logger {
  debug(fields: Readonly<Record<string, unknown>>, event: string): void;
  info(fields: Readonly<Record<string, unknown>>, event: string): void;
  warn(fields: Readonly<Record<string, unknown>>, event: string): void;
  error(fields: Readonly<Record<string, unknown>>, event: string): void;
}

const LEVELS = ["debug", "info", "warn", "error", "silent"];

/**
 * A logger of JSON lines on stderr (stdout belongs to results). Level from POPULACE_LOG: debug, info, warn, error, silent;
 * default error, so that a terminal shows results and not machinery.
 */
export function createLogger(name: string, level: string = process.env["POPULACE_LOG"] ?? "error"): Logger {
  return pino({ name, level: LEVELS.includes(level) ? level : "error" }, pino.destination({ dest: 2, sync: true }));
}

/** Drops everything. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
