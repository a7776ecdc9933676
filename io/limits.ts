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
} as const;
