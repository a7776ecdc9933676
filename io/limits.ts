/** Every bound of this room, with what happens at it. */
export const IO_LIMITS = {
  /** Bytes of one store key with its table name: LMDB's own bound is 1,978. BAD_REQUEST above. */
  keyBytesMax: 1024,
  /** Bytes of one value or blob: STORE_FAILED above. */
  valueBytesMax: 1024 * 1024 * 1024,
  /** Entries one `Log.read` returns when the caller names no limit; callers page on. */
  readEntriesMax: 10_000,
  /** Messages waiting for one bus subscriber; beyond it the oldest are dropped and counted: the bus is ephemeral, TickOpens repeat. */
  busQueueMax: 10_000,
  /** How long the stop steps of a process may take together before it exits anyway. */
  stopMs: 10_000,
  /** Bytes of one message of a remote call, also after decompression: TOO_LARGE above. A compiled plan must fit; larger answers are streams. */
  rpcMessageBytesMax: 64 * 1024 * 1024,
  /** A unary call without an answer for so long is UNAVAILABLE. */
  rpcDeadlineMs: 10_000,
  /** Calls under way on one connection: further ones wait. */
  rpcStreamsMax: 1000,
  /** A silent peer is asked after this time, and given up after as much again. */
  rpcKeepaliveMs: 10_000,
  /** What a stopping server gives calls under way before it cuts them. */
  rpcCloseMs: 2000,
} as const;
