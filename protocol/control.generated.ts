// Generated from control.proto by write-contract.ts; do not edit.

export interface DescribeRequest {
  readonly tenant: string;
}

export interface Cluster {
  readonly tenant: string;
  /** "leader" or "standby". */
  readonly role: string;
  /** Who leads as far as this coordinator knows, by name and as HOST:PORT; empty when nobody does. */
  readonly holder: string;
  readonly term: number;
  readonly leader: string;
  readonly view: number;
  readonly nodes: readonly Node[];
  /** Version of the control protocol and of the program. */
  readonly control: string;
  readonly version: string;
}

export interface Node {
  readonly incarnation: string;
  /** "up", "suspect", "draining". */
  readonly state: string;
  readonly workers: number;
  readonly backends: readonly string[];
  readonly backendReason: string;
  readonly exposuresPerSecond: number;
  readonly memoryBytes: number;
  readonly exposures: number;
  /** Milliseconds since the coordinator last heard of it. */
  readonly heardMs: number;
}

/** How a run is computed: changes speed and memory, never a root. What is absent the coordinator chooses. */
export interface Execution {
  readonly shards?: number;
  readonly workers?: number;
  readonly backend?: string;
  readonly population?: string;
  readonly spanTicks?: number;
  readonly checkpointTicks?: number;
}

export interface SubmitRequest {
  readonly tenant: string;
  /** Canonical encoding of a compiled plan. */
  readonly plan: Uint8Array;
  readonly execution: Execution | null;
  /** Higher ones are given more of the cluster; 0 is ordinary. */
  readonly priority: number;
  /** What runs that belong together have in common, such as the cells of a sweep. */
  readonly label: string;
  /** Forgets what an earlier submission left and computes again. */
  readonly fresh: boolean;
}

export interface RunRequest {
  readonly tenant: string;
  readonly run: string;
}

export interface ListRequest {
  readonly tenant: string;
  /** Only runs with this label; empty for all. */
  readonly label: string;
}

export interface Runs {
  readonly runs: readonly Run[];
}

export interface Run {
  readonly run: string;
  /** submitted, planned, running, paused, frozen, done, failed, canceled. */
  readonly state: string;
  /** Why it is paused, frozen, failed or canceled, with the code of the error table where there is one. */
  readonly reason: string;
  readonly code: string;
  readonly attempt: number;
  /** Last committed tick, -1 before the first, and its root. */
  readonly tick: number;
  readonly ticks: number;
  readonly root: string;
  readonly agents: number;
  /** Committed, and while it is watched also those of the span under way; and how many are planned, while it is watched (else 0). */
  readonly exposures: number;
  readonly exposuresTotal: number;
  readonly seconds: number;
  readonly backends: readonly string[];
  readonly execution: Execution | null;
  readonly priority: number;
  readonly label: string;
  readonly planHash: string;
  readonly tenant: string;
  /** "study", whose agents meet stimuli; "behavior", whose exposures are agent ticks; "ledger", whose ticks count real outcomes; "job", which is one call of a function. */
  readonly kind: string;
  /** First tick whose committed root another computation contradicts; absent where nothing is known against the run. */
  readonly suspectFrom?: number;
  /** First tick from which blocks drawn for a double run were computed once only, for it was given up; absent where there are none. */
  readonly uncheckedFrom?: number;
}

export interface OutcomePart {
  /** Comes first, the rest in later parts in any cut. */
  readonly head: OutcomeHead | null;
  /** Little-endian 64-bit floats that hold integers: the next entries of counts, then of tick_counts. */
  readonly values: Uint8Array;
}

export interface OutcomeHead {
  readonly run: string;
  readonly root: string;
  readonly roots: readonly string[];
  readonly exposures: number;
  readonly seconds: number;
  readonly backend: string;
  readonly execution: Execution | null;
  /** Entries of cells x personas x worlds x columns, and of ticks x cells x personas x columns. */
  readonly counts: number;
  readonly tickCounts: number;
  /** As of Run. */
  readonly uncheckedFrom?: number;
}

export interface TableRequest {
  readonly tenant: string;
  readonly run: string;
  /** "ticks": the counts of every tick by scenario, persona, stimulus and step. */
  readonly table: string;
}

/** The next bytes of a file. */
export interface FilePart {
  readonly bytes: Uint8Array;
}

export interface PutRequest {
  readonly tenant: string;
  readonly bytes: Uint8Array;
}

export interface PutReply {
  /** Blob address: the SHA-256 of the bytes. */
  readonly hash: string;
}

export interface MovesRequest {
  readonly tenant: string;
  /** Incarnations that would leave. */
  readonly leave: readonly string[];
  /** Nodes that would join, each as fast as the average one. */
  readonly join: number;
  /** One run, or all that are under way. */
  readonly run: string;
}

export interface MovesReply {
  readonly moves: readonly Move[];
  readonly shards: number;
  /** Exposures a second of the busiest node over its fair share, before and after. */
  readonly imbalanceBefore: number;
  readonly imbalanceAfter: number;
}

export interface Move {
  readonly run: string;
  readonly shard: number;
  /** Incarnations; a joining node is called join-1, join-2, ... */
  readonly source: string;
  readonly target: string;
}

export interface DrainRequest {
  readonly tenant: string;
  /** Incarnation or a beginning of it that no other node shares. */
  readonly node: string;
}

export interface ReleaseRequest {
  readonly tenant: string;
  /** The score table as JSON, the text of the model file it was made of, and the plan of the ledger for its outcomes as JSON. */
  readonly table: Uint8Array;
  readonly model: Uint8Array;
  readonly ledger: Uint8Array;
  /** For people. */
  readonly note: string;
  /** Instead of all three: the number of an earlier release. */
  readonly backTo: number;
  /** Finished runs that it rests on. Refused when one of them is suspect, unless that is allowed. */
  readonly runs: readonly string[];
  readonly allowSuspect: boolean;
  /** Why a model is released that the calibration gate refuses, or a score table without its model; kept in the note. */
  readonly force: string;
}

export interface SuspectRequest {
  readonly tenant: string;
  readonly run: string;
  readonly tick: number;
}

export interface Announcement {
  readonly number: number;
  /** Blob addresses of the score table and of the model's text. */
  readonly content: string;
  readonly model: string;
  /** Run id of the ledger; empty when it has none. */
  readonly ledger: string;
  readonly note: string;
  /** Run id and root of each run that it rests on, and why it is suspect; empty when nothing is known against it. */
  readonly runs: readonly string[];
  readonly suspect: string;
}

export interface Announcements {
  readonly releases: readonly Announcement[];
}

export interface LedgerRequest {
  readonly tenant: string;
  readonly run: string;
  /** First tick that is wanted: what was committed before is left out. */
  readonly from: number;
}

export interface LedgerCounts {
  readonly run: string;
  /** Last committed tick, -1 before the first, and its root. */
  readonly tick: number;
  readonly root: string;
  /** Events of the ticks that were asked for: counted, and refused. */
  readonly counted: number;
  readonly refused: number;
  /** The newest ones that were refused: id, then the reason. */
  readonly deadLetters: readonly string[];
  /** The plan of the ledger as JSON, and what was counted by day and cell, in this order. */
  readonly plan: Uint8Array;
  readonly counts: readonly LedgerCell[];
}

export interface LedgerCell {
  /** Days since 1970 (UTC). */
  readonly day: number;
  /** persona x stimuli + stimulus, both by their place in the plan. */
  readonly cell: number;
  readonly exposures: number;
  /** Of each step. */
  readonly responses: readonly number[];
}

/** Request, answer and whether there are many of them, by method. */
export interface ControlMethods {
  /** Version, role, term, view and nodes. */
  readonly Describe: { readonly request: DescribeRequest; readonly reply: Cluster; readonly streams: false };
  /** Enters a run and answers at once; submitting it again changes nothing, and resumes it where it was paused. A job whose inputs are not all there is NOT_FOUND with {"missing": [...]} in the details: put these, and submit it again. */
  readonly Submit: { readonly request: SubmitRequest; readonly reply: Run; readonly streams: false };
  /** The run now and at every change, last in a state that does not change by itself. */
  readonly Watch: { readonly request: RunRequest; readonly reply: Run; readonly streams: true };
  readonly Get: { readonly request: RunRequest; readonly reply: Run; readonly streams: false };
  readonly List: { readonly request: ListRequest; readonly reply: Runs; readonly streams: false };
  /** Ends a run for good; nodes drop it within one block. */
  readonly Cancel: { readonly request: RunRequest; readonly reply: Run; readonly streams: false };
  /** Interrupts a run after the ticks it has committed. */
  readonly Pause: { readonly request: RunRequest; readonly reply: Run; readonly streams: false };
  readonly Resume: { readonly request: RunRequest; readonly reply: Run; readonly streams: false };
  /** Removes a run that is under way no more, with all that it committed. Submitted again it is computed anew. */
  readonly Remove: { readonly request: RunRequest; readonly reply: Run; readonly streams: false };
  /** Judges a run that is frozen by a divergence: recomputes the block elsewhere, excludes who erred, goes on as a new attempt. */
  readonly Resolve: { readonly request: RunRequest; readonly reply: Run; readonly streams: false };
  /** Counts and roots of a finished run, in parts. */
  readonly Outcome: { readonly request: RunRequest; readonly reply: OutcomePart; readonly streams: true };
  /** A result table of a finished run as a Parquet file, in parts. */
  readonly Table: { readonly request: TableRequest; readonly reply: FilePart; readonly streams: true };
  /** The plan of a run as it was submitted, in parts. */
  readonly Plan: { readonly request: RunRequest; readonly reply: FilePart; readonly streams: true };
  /** Stores a part of an input of a job, of at most 4 MiB, for its submission to name. What no run names is removed when nothing runs. */
  readonly Put: { readonly request: PutRequest; readonly reply: PutReply; readonly streams: false };
  /** What a finished job came to, in parts. */
  readonly Output: { readonly request: RunRequest; readonly reply: FilePart; readonly streams: true };
  /** Which shards would move if nodes joined or left; moves nothing. */
  readonly Moves: { readonly request: MovesRequest; readonly reply: MovesReply; readonly streams: false };
  /** Lets a node hand over its shards and leave. */
  readonly Drain: { readonly request: DrainRequest; readonly reply: Node; readonly streams: false };
  /** Announces what production serves from now on: a new model version, or as a roll-back what an earlier release served. */
  readonly Release: { readonly request: ReleaseRequest; readonly reply: Announcement; readonly streams: false };
  /** All releases; the last one is served. */
  readonly Releases: { readonly request: ListRequest; readonly reply: Announcements; readonly streams: false };
  /** Marks a run that does not change by itself as suspect from a tick on: another computation of it came to another root. */
  readonly Suspect: { readonly request: SuspectRequest; readonly reply: Run; readonly streams: false };
  /** The counts of a ledger, which are the real outcomes that gateways took. */
  readonly Ledger: { readonly request: LedgerRequest; readonly reply: LedgerCounts; readonly streams: false };
}

/** The descriptor of control.proto. */
export const CONTROL_DESCRIPTOR = {"nested":{"populace":{"nested":{"v1":{"nested":{"Control":{"methods":{"Describe":{"requestType":"DescribeRequest","responseType":"Cluster"},"Submit":{"requestType":"SubmitRequest","responseType":"Run"},"Watch":{"requestType":"RunRequest","responseType":"Run","responseStream":true},"Get":{"requestType":"RunRequest","responseType":"Run"},"List":{"requestType":"ListRequest","responseType":"Runs"},"Cancel":{"requestType":"RunRequest","responseType":"Run"},"Pause":{"requestType":"RunRequest","responseType":"Run"},"Resume":{"requestType":"RunRequest","responseType":"Run"},"Remove":{"requestType":"RunRequest","responseType":"Run"},"Resolve":{"requestType":"RunRequest","responseType":"Run"},"Outcome":{"requestType":"RunRequest","responseType":"OutcomePart","responseStream":true},"Table":{"requestType":"TableRequest","responseType":"FilePart","responseStream":true},"Plan":{"requestType":"RunRequest","responseType":"FilePart","responseStream":true},"Put":{"requestType":"PutRequest","responseType":"PutReply"},"Output":{"requestType":"RunRequest","responseType":"FilePart","responseStream":true},"Moves":{"requestType":"MovesRequest","responseType":"MovesReply"},"Drain":{"requestType":"DrainRequest","responseType":"Node"},"Release":{"requestType":"ReleaseRequest","responseType":"Announcement"},"Releases":{"requestType":"ListRequest","responseType":"Announcements"},"Suspect":{"requestType":"SuspectRequest","responseType":"Run"},"Ledger":{"requestType":"LedgerRequest","responseType":"LedgerCounts"}}},"DescribeRequest":{"fields":{"tenant":{"type":"string","id":1}}},"Cluster":{"fields":{"tenant":{"type":"string","id":1},"role":{"type":"string","id":2},"holder":{"type":"string","id":3},"term":{"type":"uint64","id":4},"leader":{"type":"string","id":5},"view":{"type":"uint64","id":6},"nodes":{"rule":"repeated","type":"Node","id":7},"control":{"type":"string","id":8},"version":{"type":"string","id":9}}},"Node":{"fields":{"incarnation":{"type":"string","id":1},"state":{"type":"string","id":2},"workers":{"type":"uint32","id":3},"backends":{"rule":"repeated","type":"string","id":4},"backendReason":{"type":"string","id":5},"exposuresPerSecond":{"type":"double","id":6},"memoryBytes":{"type":"double","id":7},"exposures":{"type":"uint64","id":8},"heardMs":{"type":"double","id":9}}},"Execution":{"oneofs":{"_shards":{"oneof":["shards"]},"_workers":{"oneof":["workers"]},"_backend":{"oneof":["backend"]},"_population":{"oneof":["population"]},"_spanTicks":{"oneof":["spanTicks"]},"_checkpointTicks":{"oneof":["checkpointTicks"]}},"fields":{"shards":{"type":"uint32","id":1,"options":{"proto3_optional":true}},"workers":{"type":"uint32","id":2,"options":{"proto3_optional":true}},"backend":{"type":"string","id":3,"options":{"proto3_optional":true}},"population":{"type":"string","id":4,"options":{"proto3_optional":true}},"spanTicks":{"type":"uint32","id":5,"options":{"proto3_optional":true}},"checkpointTicks":{"type":"uint32","id":6,"options":{"proto3_optional":true}}}},"SubmitRequest":{"fields":{"tenant":{"type":"string","id":1},"plan":{"type":"bytes","id":2},"execution":{"type":"Execution","id":3},"priority":{"type":"int32","id":4},"label":{"type":"string","id":5},"fresh":{"type":"bool","id":6}}},"RunRequest":{"fields":{"tenant":{"type":"string","id":1},"run":{"type":"string","id":2}}},"ListRequest":{"fields":{"tenant":{"type":"string","id":1},"label":{"type":"string","id":2}}},"Runs":{"fields":{"runs":{"rule":"repeated","type":"Run","id":1}}},"Run":{"oneofs":{"_suspectFrom":{"oneof":["suspectFrom"]},"_uncheckedFrom":{"oneof":["uncheckedFrom"]}},"fields":{"run":{"type":"string","id":1},"state":{"type":"string","id":2},"reason":{"type":"string","id":3},"code":{"type":"string","id":4},"attempt":{"type":"uint32","id":5},"tick":{"type":"int32","id":6},"ticks":{"type":"uint32","id":7},"root":{"type":"string","id":8},"agents":{"type":"uint64","id":9},"exposures":{"type":"uint64","id":10},"exposuresTotal":{"type":"uint64","id":11},"seconds":{"type":"double","id":12},"backends":{"rule":"repeated","type":"string","id":13},"execution":{"type":"Execution","id":14},"priority":{"type":"int32","id":15},"label":{"type":"string","id":16},"planHash":{"type":"string","id":17},"tenant":{"type":"string","id":18},"kind":{"type":"string","id":19},"suspectFrom":{"type":"uint32","id":20,"options":{"proto3_optional":true}},"uncheckedFrom":{"type":"uint32","id":21,"options":{"proto3_optional":true}}}},"OutcomePart":{"fields":{"head":{"type":"OutcomeHead","id":1},"values":{"type":"bytes","id":2}}},"OutcomeHead":{"oneofs":{"_uncheckedFrom":{"oneof":["uncheckedFrom"]}},"fields":{"run":{"type":"string","id":1},"root":{"type":"string","id":2},"roots":{"rule":"repeated","type":"string","id":3},"exposures":{"type":"uint64","id":4},"seconds":{"type":"double","id":5},"backend":{"type":"string","id":6},"execution":{"type":"Execution","id":7},"counts":{"type":"uint64","id":8},"tickCounts":{"type":"uint64","id":9},"uncheckedFrom":{"type":"uint32","id":10,"options":{"proto3_optional":true}}}},"TableRequest":{"fields":{"tenant":{"type":"string","id":1},"run":{"type":"string","id":2},"table":{"type":"string","id":3}}},"FilePart":{"fields":{"bytes":{"type":"bytes","id":1}}},"PutRequest":{"fields":{"tenant":{"type":"string","id":1},"bytes":{"type":"bytes","id":2}}},"PutReply":{"fields":{"hash":{"type":"string","id":1}}},"MovesRequest":{"fields":{"tenant":{"type":"string","id":1},"leave":{"rule":"repeated","type":"string","id":2},"join":{"type":"uint32","id":3},"run":{"type":"string","id":4}}},"MovesReply":{"fields":{"moves":{"rule":"repeated","type":"Move","id":1},"shards":{"type":"uint32","id":2},"imbalanceBefore":{"type":"double","id":3},"imbalanceAfter":{"type":"double","id":4}}},"Move":{"fields":{"run":{"type":"string","id":1},"shard":{"type":"uint32","id":2},"source":{"type":"string","id":3},"target":{"type":"string","id":4}}},"DrainRequest":{"fields":{"tenant":{"type":"string","id":1},"node":{"type":"string","id":2}}},"ReleaseRequest":{"fields":{"tenant":{"type":"string","id":1},"table":{"type":"bytes","id":2},"model":{"type":"bytes","id":3},"ledger":{"type":"bytes","id":4},"note":{"type":"string","id":5},"backTo":{"type":"uint64","id":6},"runs":{"rule":"repeated","type":"string","id":7},"allowSuspect":{"type":"bool","id":8},"force":{"type":"string","id":9}}},"SuspectRequest":{"fields":{"tenant":{"type":"string","id":1},"run":{"type":"string","id":2},"tick":{"type":"uint32","id":3}}},"Announcement":{"fields":{"number":{"type":"uint64","id":1},"content":{"type":"string","id":2},"model":{"type":"string","id":3},"ledger":{"type":"string","id":4},"note":{"type":"string","id":5},"runs":{"rule":"repeated","type":"string","id":6},"suspect":{"type":"string","id":7}}},"Announcements":{"fields":{"releases":{"rule":"repeated","type":"Announcement","id":1}}},"LedgerRequest":{"fields":{"tenant":{"type":"string","id":1},"run":{"type":"string","id":2},"from":{"type":"uint32","id":3}}},"LedgerCounts":{"fields":{"run":{"type":"string","id":1},"tick":{"type":"int32","id":2},"root":{"type":"string","id":3},"counted":{"type":"uint64","id":4},"refused":{"type":"uint64","id":5},"deadLetters":{"rule":"repeated","type":"string","id":6},"plan":{"type":"bytes","id":7},"counts":{"rule":"repeated","type":"LedgerCell","id":8}}},"LedgerCell":{"fields":{"day":{"type":"uint32","id":1},"cell":{"type":"uint32","id":2},"exposures":{"type":"uint64","id":3},"responses":{"rule":"repeated","type":"uint64","id":4}}}}}}}}} as const;
