/**
 * The one error class of the system. A code is stable and never reused; the table gives each code one sentence,
 * its HTTP and gRPC status, the exit code of the command line and whether a retry can help.
 */
export const ERROR_TABLE = {
  BAD_USAGE: { sentence: "The command line could not be understood.", http: 400, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  BAD_SCHEMA: { sentence: "A schema file is malformed or names something that does not exist.", http: 400, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  BAD_STUDY: { sentence: "A study file is malformed or names something the model does not know.", http: 400, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  BAD_DATA: { sentence: "A data file holds rows that cannot be read, or more of them than the stated share allows.", http: 422, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  BAD_MODEL: { sentence: "A model file is malformed, of an unknown version, or fails its hash.", http: 422, grpc: "DATA_LOSS", exit: 2, retry: false },
  BAD_BEHAVIOR: { sentence: "A behavior is malformed or could compute one tick in two ways.", http: 422, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  BEHAVIOR_FAILED: { sentence: "A behavior threw, did not end in time or ran out of memory.", http: 422, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  BEHAVIOR_REFUSED: { sentence: "No node here was started to run behaviors.", http: 403, grpc: "PERMISSION_DENIED", exit: 2, retry: false },
  BAD_REQUEST: { sentence: "A request body does not fit its schema.", http: 400, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  FILE_MISSING: { sentence: "A file that was named does not exist or cannot be opened.", http: 404, grpc: "NOT_FOUND", exit: 2, retry: false },
  NOT_FOUND: { sentence: "The thing asked for is not known here.", http: 404, grpc: "NOT_FOUND", exit: 2, retry: false },
  DEGENERATE_DATA: { sentence: "The data cannot carry the fit or the verdict that was asked for.", http: 422, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  BAD_NETWORK: { sentence: "A Bayesian network is malformed: a cycle, an unknown parent, a table that does not fit or does not add to 1.", http: 422, grpc: "INVALID_ARGUMENT", exit: 2, retry: false },
  IMPOSSIBLE_EVIDENCE: { sentence: "Evidence was given to a network in which it has probability 0.", http: 422, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  SEEN_ROWS: { sentence: "Rows that were in the fit were offered as held-out rows.", http: 422, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  UNCALIBRATED: { sentence: "A model's calibration record is missing or failed.", http: 422, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  TOO_LARGE: { sentence: "The work asked for exceeds a stated limit of this machine or of the protocol.", http: 413, grpc: "RESOURCE_EXHAUSTED", exit: 2, retry: false },
  ARITHMETIC_RANGE: { sentence: "A weight does not fit the arithmetic profile.", http: 422, grpc: "OUT_OF_RANGE", exit: 2, retry: false },
  BACKEND_MISSING: { sentence: "The kernel backend asked for does not exist on this machine.", http: 422, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  INCOMPATIBLE: { sentence: "Two processes, or a process and a server, are of versions that cannot work together.", http: 426, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  INTERRUPTED: { sentence: "The work was interrupted; what was committed stays and can be resumed.", http: 503, grpc: "CANCELLED", exit: 1, retry: true },
  STALE_TERM: { sentence: "A message carried a term lower than one already seen.", http: 409, grpc: "ABORTED", exit: 1, retry: false },
  DIVERGENCE: { sentence: "Two computations of the same block disagree.", http: 500, grpc: "DATA_LOSS", exit: 1, retry: false },
  CORRUPT: { sentence: "Stored bytes do not match their hash.", http: 500, grpc: "DATA_LOSS", exit: 1, retry: false },
  STORE_FAILED: { sentence: "The store refused a read or a write.", http: 503, grpc: "UNAVAILABLE", exit: 1, retry: true },
  STORE_IN_USE: { sentence: "Another process leads in this store.", http: 409, grpc: "FAILED_PRECONDITION", exit: 1, retry: true },
  UNAVAILABLE: { sentence: "A process or a source outside could not be reached.", http: 503, grpc: "UNAVAILABLE", exit: 1, retry: true },
  FORBIDDEN: { sentence: "A credential was refused, or does not permit this.", http: 403, grpc: "PERMISSION_DENIED", exit: 2, retry: false },
  SERVER_UNFIT: { sentence: "A server outside lacks a feature or holds settings that this cannot work with.", http: 503, grpc: "FAILED_PRECONDITION", exit: 2, retry: false },
  INTERNAL: { sentence: "A programmer's error.", http: 500, grpc: "INTERNAL", exit: 1, retry: false },
} as const;

export type ErrorCode = keyof typeof ERROR_TABLE;

/**
 * A refusal or a failure with its code, the ids and numbers that matter, and its cause. The message says what happened,
 * to which thing, what was expected and what to do.
 */
export class PopulaceError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "PopulaceError";
    this.code = code;
    this.details = details;
  }
}
