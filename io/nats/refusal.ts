import { errors } from "@nats-io/transport-node";

/** What JetStream answered instead of doing what it was asked. */
export class Refusal extends Error {
  readonly errorCode: number;
  readonly status: number;

  constructor(answer: { readonly code: number; readonly err_code?: number; readonly description: string }) {
    super(answer.description);
    this.errorCode = answer.err_code ?? 0;
    this.status = answer.code;
  }
}

/**
 * Why a request failed, and so what to do about it:
 * sequence (the compare-and-set lost), filled (the slot has its body), full (back-pressure: wait), absent (no such stream, or nobody
 * serves it just now), unsure (it may have been done), denied (the credential lacks the permission), no-message, closed, other.
 */
export type Trouble = "sequence" | "filled" | "full" | "absent" | "unsure" | "denied" | "no-message" | "closed" | "other";

/**
 * Sorts a failure. Code 10077 is both "maximum messages per subject exceeded" and "maximum bytes exceeded", hence by description:
 * only the former says that a slot is filled.
 */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof Refusal) {
    if (/maximum messages per subject exceeded/i.test(error.message)) return "filled";
    if (/maximum (bytes|messages) exceeded|insufficient|resource limits exceeded|no space left|too many requests/i.test(error.message)) return "full";
    if (error.errorCode === 10071 || error.errorCode === 10164) return "sequence";
    if (error.errorCode === 10037) return "no-message";
    if (error.errorCode === 10059 || error.errorCode === 10039 || error.status === 503) return "absent";
    return "other";
  }
  if (error instanceof errors.RequestError) return error.isNoResponders() ? "absent" : troubleOf(error.cause ?? null);
  if (error instanceof errors.PermissionViolationError || error instanceof errors.AuthorizationError) return "denied";
  if (error instanceof errors.ClosedConnectionError || error instanceof errors.DrainingConnectionError) return "closed";
  if (error instanceof errors.TimeoutError || error instanceof errors.ConnectionError || error instanceof errors.ProtocolError) return "unsure";
  return "other";
}
