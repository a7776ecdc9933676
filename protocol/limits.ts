/** Every bound of the protocol, with what happens at it. */
export const LIMITS = {
  /** A ShardOut above this goes to the blob store and its slot holds the address: JetStream moves 25 slots/s at 32 KB, 3.5 at 256 KB. */
  slotBytesMax: 262_144,
  /** Most ticks one ShardOut covers: a year by the day, lived whole; the span is shortened beyond. */
  spanTicksMax: 400,
  /** Bytes one ShardOut may hold: the span is shortened until it fits; TOO_LARGE when one tick does not. */
  shardOutBytesMax: 64 * 1024 * 1024,
  /** ShardOuts kept between two checkpoints: checkpoints come often enough to stay below. */
  slotStreamBytesMax: 256 * 1024 * 1024,
  /** Most shards of a run; the shard map is coarser beyond. */
  shardsMax: 4096,
  ticksMax: 100_000,
  /** Agents of a run: 32-bit agent counters of the arithmetic profile. */
  agentsMax: 2 ** 32 - 65_536,
  personasMax: 65_536,
  scenariosMax: 1024,
  worldsMax: 16_384,
  /** Runs one coordinator drives at once; later ones wait. */
  runsActiveMax: 4,
  /** Submitted runs that wait; TOO_LARGE above. */
  runsQueuedMax: 1000,
  /** Finished runs whose ShardOuts stay readable; older ones keep their commits and statistics. */
  runsWithSlotsMax: 4,
  /** Four a second: three in a row may be lost before anybody is suspected (coordinator/core/failure-detector.ts). */
  heartbeatMs: 250,
  /** How often the leader looks who has fallen silent. */
  lookMs: 100,
  /** How long a node waits to be relieved of its shards when it drains; then it leaves, and they are restored elsewhere as after a loss. */
  drainMs: 60_000,
  /** How long a run waits for its first node before UNAVAILABLE. */
  nodeWaitMs: 10_000,
  /** TickOpen is repeated this often while its slots are open: a lost message heals within one period. */
  tickOpenRepeatMs: 1000,
  /** A leader that could not renew for this long is none; a rival takes over after seeing no change for as long. 2 s suit one NATS server, 15 s three. */
  leaseTtlMs: 2000,
  /** One request of the election; unanswered, it is asked again. */
  requestMs: 1000,
  /** Times in a row a node may fail at one run with an error that a retry can heal before others are asked; other errors count once. */
  nodeFailuresMax: 3,
  /** Repetitions of one TickOpen after which the COMMIT log is compared with the coordinator's own commits. */
  auditRepeats: 4,
  /** Share of slotStreamBytesMax from which no tick is opened until a checkpoint has made room. */
  slotStreamShare: 0.7,
  /** A ledger's tick closes with so many events, or so long after its first one. */
  ledgerTickEventsMax: 1000,
  ledgerTickMs: 1000,
  /** A ledger's checkpoint comes after so many bytes of commits, which are then gone from the log: room for a hundred ledgers in COMMIT. */
  ledgerCheckpointBytes: 8 * 1024 * 1024,
  /** Days for which a ledger remembers the ids of outcomes; those of older days are refused. */
  ledgerHorizonDays: 90,
  /** How often a standby says how far a ledger is on its disk, though nothing came. */
  ledgerFlushedMs: 500,
  /** Characters of an event's text: what is longer is cut, and refused. */
  eventBytesMax: 256,
  /** How far beyond the clock of whoever reads it an outcome may lie, for clocks differ: refused above. */
  outcomeAheadMs: 300_000,
  /** Personas x stimuli of a ledger: TOO_LARGE above. A commit holds the counts of all. */
  ledgerCellsMax: 65_536,
  /** Events of one message of a gateway, and those that one gateway has on the way at once. */
  outcomesMax: 500,
  outcomesUnderWayMax: 10_000,
  /** Events that no COMMIT has named are sent again after this time, later ever less often. */
  outcomesRepeatMs: 5000,
  /** Bytes of one part of a job's input, and parts of all inputs together: TOO_LARGE above. */
  jobPartBytes: 4 * 1024 * 1024,
  jobPartsMax: 256,
  /** How often somebody who waits for a run looks at its record. */
  runPollMs: 250,
} as const;
