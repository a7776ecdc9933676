import { ERROR_TABLE, PopulaceError, type ErrorCode } from "@populace/domain";

/**
 * Remote calls in bytes: methods of one service that answer once (unary) or many times (stream). Twins: gRPC, and in process; both
 * pass one contract suite. What the bytes mean is the protocol's.
 */

/** What a handler knows of a call. */
export interface RpcCall {
  /** Aborted when the caller has gone or its deadline has passed. */
  readonly signal: AbortSignal;
  /** Text that came beside the request, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
}

export type RpcMethod =
  | { readonly kind: "unary"; handle(request: Uint8Array, call: RpcCall): Promise<Uint8Array> }
  /** What the iterable throws, the caller's iteration throws. A slow caller holds the iteration up. */
  | { readonly kind: "stream"; handle(request: Uint8Array, call: RpcCall): AsyncIterable<Uint8Array> };

/** A service by its full name, such as `populace.v1.Control`. */
export interface RpcService {
  readonly name: string;
  readonly methods: Readonly<Record<string, RpcMethod>>;
}

export interface RpcServer {
  /** host:port, with the port that was taken where 0 was asked for. */
  readonly address: string;
  /** Ends calls under way with INTERRUPTED and takes no new ones. */
  close(): Promise<void>;
}

export interface RpcCallOptions {
  /** UNAVAILABLE when there is no answer within this time. Default: IO_LIMITS.rpcDeadlineMs for unary calls, none for streams. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * The calling side. Errors of a handler arrive as the PopulaceError they were, with code, message and details; a server that cannot
 * be reached or does not answer in time is UNAVAILABLE, a message beyond the limit TOO_LARGE, an aborted signal INTERRUPTED.
 */
export interface RpcClient {
  readonly address: string;
  unary(service: string, method: string, request: Uint8Array, options?: RpcCallOptions): Promise<Uint8Array>;
  /** Leaving the iteration early cancels the call. */
  stream(service: string, method: string, request: Uint8Array, options?: RpcCallOptions): AsyncIterable<Uint8Array>;
  close(): void;
}

/** A failed call as it travels: the status by name, a message, and the code with its details where a PopulaceError was thrown. */
export interface RpcFailure {
  readonly status: string;
  readonly message: string;
  readonly code: string;
  /** JSON. */
  readonly details: string;
}

/** Beyond these a failure would not fit the headers that HTTP/2 allows. */
const MESSAGE_CHARACTERS_MAX = 4000, DETAILS_CHARACTERS_MAX = 4000;

/** Of anything thrown. What is no PopulaceError stays on its side: its text may hold anything. */
export function toFailure(error: unknown): RpcFailure {
  if (!(error instanceof PopulaceError)) return { status: "INTERNAL", message: "a fault of the program; the server's log has it", code: "INTERNAL", details: "{}" };
  const details = JSON.stringify(error.details);
  return { status: ERROR_TABLE[error.code].grpc, message: error.message.slice(0, MESSAGE_CHARACTERS_MAX), code: error.code, details: details.length > DETAILS_CHARACTERS_MAX ? "{}" : details };
}

/** Codes for statuses that no handler chose: what the transport says by itself. */
const CODE_OF_STATUS: Readonly<Record<string, ErrorCode>> = {
  UNAVAILABLE: "UNAVAILABLE", DEADLINE_EXCEEDED: "UNAVAILABLE", CANCELLED: "INTERRUPTED", RESOURCE_EXHAUSTED: "TOO_LARGE",
  UNIMPLEMENTED: "NOT_FOUND", INVALID_ARGUMENT: "BAD_REQUEST", NOT_FOUND: "NOT_FOUND", UNAUTHENTICATED: "BAD_REQUEST", PERMISSION_DENIED: "BAD_REQUEST",
};

/** The error that a failure stands for; `what` names the call. */
export function fromFailure(failure: RpcFailure, what: string, cause?: unknown): PopulaceError {
  if (failure.code in ERROR_TABLE) {
    const details = JSON.parse(failure.details === "" ? "{}" : failure.details) as Readonly<Record<string, unknown>>;
    return new PopulaceError(failure.code as ErrorCode, failure.message, details, cause);
  }
  return new PopulaceError(CODE_OF_STATUS[failure.status] ?? "INTERNAL", `${what}: ${failure.message} (${failure.status})`, { status: failure.status }, cause);
}
