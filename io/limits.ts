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
  /** How long a process waits for NATS to answer, and for the coordinator to have made the streams, before UNAVAILABLE. */
  natsStartMs: 10_000,
  /** How long an operation is repeated through an outage of NATS or at a full stream: UNAVAILABLE or STORE_FAILED after that. */
  natsPatienceMs: 60_000,
  /** One request: in a cluster a stream's leader may be gone, the next attempt finds the new one. */
  natsRequestMs: 2000,
  /** Longest pause between two attempts. */
  natsPauseMsMax: 500,
  /** Requests and stored messages on the way to NATS together; further ones wait their turn. */
  natsInFlightBytesMax: 8 * 1024 * 1024,
  /** Bus messages waiting for a lost connection, beside busQueueMax; beyond it the oldest are dropped and counted. */
  natsQueueBytesMax: 8 * 1024 * 1024,
  /** The own heartbeat through NATS; after so many unheard the bus queues, after so many more the connection is made anew (10 s). */
  natsBeatMs: 500,
  natsBeatsUnheardMax: 4,
  natsBeatsLostMax: 20,
  /** Bytes of one stored message, with room for its headers below NATS's own bound of 1 MiB; TOO_LARGE above. */
  natsMessageBytesMax: 1024 * 1024 - 1024,
  /** Blobs kept by NATS together, where nobody says otherwise: at it, writers wait. */
  natsBlobStreamBytesMax: 4 * 1024 * 1024 * 1024,
  /** Least share of their bytes that streams are made with on a server of little room, and least bytes of each: STORE_FAILED below. */
  natsShareMin: 1 / 256,
  natsStreamBytesMin: 2 * 1024 * 1024,
  /** Blobs travel in pieces of this size: their reading in base64 stays within 1 MiB. */
  natsChunkBytes: 512 * 1024,
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
