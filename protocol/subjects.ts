/**
 * Subjects and registry keys: `pop.<tenant>.<run>.<attempt>....`. The tenant is the first token after the prefix everywhere.
 * What outlives an attempt (inputs, commits) has the attempt token `all`.
 */
export const SUBJECT_TABLE = [
  { name: "open", pattern: "pop.<tenant>.<run>.<attempt>.open", port: "bus and log", message: "TickOpen", owner: "coordinator", writers: "leader", readers: "nodes, coordinators", retention: "until the run is purged" },
  { name: "out", pattern: "pop.<tenant>.<run>.<attempt>.out.<tick>.<shard>", port: "log, write-once slot", message: "ShardOut", owner: "coordinator", writers: "nodes", readers: "coordinators, nodes", retention: "until the last complete checkpoint" },
  { name: "fail", pattern: "pop.<tenant>.<run>.<attempt>.fail", port: "bus", message: "NodeFailure", owner: "coordinator", writers: "nodes", readers: "leader", retention: "none" },
  { name: "stop", pattern: "pop.<tenant>.<run>.<attempt>.stop", port: "bus", message: "RunStop", owner: "coordinator", writers: "leader", readers: "nodes", retention: "none" },
  { name: "halt", pattern: "pop.<tenant>.<run>.<attempt>.halt", port: "bus", message: "RunStop", owner: "coordinator", writers: "leader", readers: "nodes", retention: "none" },
  { name: "input", pattern: "pop.<tenant>.<run>.all.input.<tick>", port: "log, write-once slot", message: "Input", owner: "coordinator", writers: "leader", readers: "nodes, coordinators", retention: "life of the run" },
  { name: "commit", pattern: "pop.<tenant>.<run>.all.commit", port: "log, compare-and-set on the subject's last sequence", message: "Commit", owner: "coordinator", writers: "leader", readers: "everyone", retention: "life of the run; of a ledger, from its last checkpoint on" },
  { name: "event", pattern: "pop.<tenant>.<run>.all.event", port: "log", message: "Outcomes", owner: "coordinator", writers: "gateways", readers: "coordinators", retention: "until a COMMIT names its events" },
  { name: "heartbeat", pattern: "pop.<tenant>.node.<incarnation>.heartbeat", port: "bus", message: "Heartbeat", owner: "node", writers: "that node", readers: "coordinators", retention: "none" },
  { name: "probe", pattern: "pop.<tenant>.node.<incarnation>.probe", port: "bus", message: "LeaderBeat", owner: "coordinator", writers: "leader", readers: "that node", retention: "none" },
  { name: "drain", pattern: "pop.<tenant>.node.<incarnation>.drain", port: "bus", message: "LeaderBeat", owner: "coordinator", writers: "leader", readers: "that node", retention: "none" },
  { name: "leader beat", pattern: "pop.<tenant>.leader.beat", port: "bus", message: "LeaderBeat", owner: "coordinator", writers: "leader", readers: "nodes, gateways, the leader itself", retention: "none" },
  { name: "recompute", pattern: "pop.<tenant>.<run>.<attempt>.recompute", port: "bus", message: "Recompute", owner: "coordinator", writers: "leader", readers: "nodes", retention: "none" },
  { name: "recomputed", pattern: "pop.<tenant>.<run>.<attempt>.recomputed", port: "bus", message: "Recomputed", owner: "coordinator", writers: "nodes", readers: "leader", retention: "none" },
  { name: "flushed", pattern: "pop.<tenant>.<run>.all.flushed", port: "bus", message: "Flushed", owner: "coordinator", writers: "coordinators", readers: "leader", retention: "none" },
  { name: "missed", pattern: "pop.<tenant>.<run>.all.missed", port: "bus", message: "Missed", owner: "coordinator", writers: "leader", readers: "coordinators", retention: "none" },
  { name: "held", pattern: "pop.<tenant>.<run>.all.held", port: "bus", message: "Held", owner: "coordinator", writers: "coordinators", readers: "coordinators", retention: "none" },
  { name: "settled", pattern: "pop.<tenant>.<run>.all.settled", port: "bus", message: "Settled", owner: "coordinator", writers: "leader", readers: "gateways", retention: "none" },
  { name: "served", pattern: "pop.<tenant>.release.served", port: "bus", message: "Served", owner: "coordinator", writers: "gateways", readers: "coordinators", retention: "none" },
  { name: "leader key", pattern: "<tenant>.leader", port: "registry", message: "LeaderRecord", owner: "coordinator", writers: "candidates", readers: "everyone", retention: "forever" },
  { name: "view key", pattern: "<tenant>.view", port: "registry", message: "ViewRecord", owner: "coordinator", writers: "leader", readers: "everyone", retention: "forever" },
  { name: "run key", pattern: "<tenant>.run.<run>", port: "registry", message: "RunRecord", owner: "coordinator", writers: "leader", readers: "everyone", retention: "life of the run" },
  { name: "release key", pattern: "<tenant>.release.<number>", port: "registry", message: "Release", owner: "coordinator", writers: "leader", readers: "everyone", retention: "forever" },
] as const;

type Attempt = number | "*";
type Run = string;

/** Subjects and registry keys by the table above; `*` reads over all of a kind. */
export const openSubject = (tenant: string, run: Run, attempt: Attempt): string => `pop.${tenant}.${run}.${attempt}.open`;
export const outSubject = (tenant: string, run: Run, attempt: Attempt, tick: number | "*", shard: number | "*"): string => `pop.${tenant}.${run}.${attempt}.out.${tick}.${shard}`;
export const failSubject = (tenant: string, run: Run, attempt: Attempt): string => `pop.${tenant}.${run}.${attempt}.fail`;
export const stopSubject = (tenant: string, run: Run, attempt: Attempt): string => `pop.${tenant}.${run}.${attempt}.stop`;
export const haltSubject = (tenant: string, run: Run, attempt: Attempt): string => `pop.${tenant}.${run}.${attempt}.halt`;
export const inputSubject = (tenant: string, run: Run, tick: number): string => `pop.${tenant}.${run}.all.input.${tick}`;
export const commitSubject = (tenant: string, run: Run): string => `pop.${tenant}.${run}.all.commit`;
export const eventSubject = (tenant: string, run: Run): string => `pop.${tenant}.${run}.all.event`;
export const heartbeatSubject = (tenant: string, incarnation: string): string => `pop.${tenant}.node.${incarnation}.heartbeat`;
export const probeSubject = (tenant: string, incarnation: string): string => `pop.${tenant}.node.${incarnation}.probe`;
export const drainSubject = (tenant: string, incarnation: string): string => `pop.${tenant}.node.${incarnation}.drain`;
export const leaderBeatSubject = (tenant: string): string => `pop.${tenant}.leader.beat`;
export const recomputeSubject = (tenant: string, run: Run, attempt: Attempt): string => `pop.${tenant}.${run}.${attempt}.recompute`;
export const recomputedSubject = (tenant: string, run: Run, attempt: Attempt): string => `pop.${tenant}.${run}.${attempt}.recomputed`;
export const flushedSubject = (tenant: string, run: Run): string => `pop.${tenant}.${run}.all.flushed`;
export const missedSubject = (tenant: string, run: Run): string => `pop.${tenant}.${run}.all.missed`;
export const heldSubject = (tenant: string, run: Run): string => `pop.${tenant}.${run}.all.held`;
export const settledSubject = (tenant: string, run: Run): string => `pop.${tenant}.${run}.all.settled`;
export const servedSubject = (tenant: string): string => `pop.${tenant}.release.served`;
export const leaderKey = (tenant: string): string => `${tenant}.leader`;
export const viewKey = (tenant: string): string => `${tenant}.view`;
export const runKey = (tenant: string, run: Run): string => `${tenant}.run.${run}`;
export const releaseKey = (tenant: string, number: number | "*"): string => `${tenant}.release.${number}`;
