import { prioritizer } from "@populace/domain";
import type { Campaign, DecidedRows, Decision, DecisionOptions, PersonaRanking, ScoreTable } from "@populace/domain";
import { mixtureEngine } from "@populace/kernels";
import { encodeDataset } from "./codings.ts";
import { readRecipients } from "./dataset.ts";
import type { RowProgress } from "./row-source.ts";
import type { Schema } from "./schema.ts";

export interface RankOptions extends Omit<DecisionOptions, "consent"> {
  readonly onProgress?: (progress: RowProgress) => void;
  /** Takes the decisions as JSON lines, `Decision` by `Decision` in the file's order, in pieces that are the receiver's own. */
  readonly onLines?: (bytes: Uint8Array) => void | Promise<void>;
  /** Aborts between two pieces. */
  readonly signal?: AbortSignal;
  /** Decisions kept for showing; default 20. */
  readonly shown?: number;
}

/** What a file of recipients came to. */
export interface RankSummary {
  readonly recipients: number;
  readonly noConsent: number;
  readonly rejected: number;
  /** The first decisions. */
  readonly first: readonly Decision[];
  /** How often a campaign was suppressed for each reason. */
  readonly suppressed: ReadonlyMap<string, number>;
}

/** Recipients in memory at once. */
const PIECE_ROWS = 32_768;

/**
 * Ranks campaigns for every recipient of a file, piece by piece: memory does not grow with the file, and the decisions are those of `decideCodes`. Nothing
 * of the lines is to be published before the promise resolves. Errors as in `readDataset` and `compileRanking`; AbortError when the signal says so.
 */
export async function rankRecipients(schema: Schema, table: ScoreTable, campaigns: readonly Campaign[], path: string, options: RankOptions = {}): Promise<RankSummary> {
  const { onLines, onProgress, signal, shown = 20 } = options;
  const deciding = prioritizer(table, campaigns, options);
  const run = mixtureEngine.assigning(table.mixture);
  const writer = onLines === undefined ? null : new LineWriter(table, onLines);
  const first: Decision[] = [];
  const suppressed = new Map<string, number>();
  try {
    const report = await readRecipients(schema, path, PIECE_ROWS, async (piece) => {
      signal?.throwIfAborted();
      const decided = deciding.decideRows(piece.recipients, encodeDataset(piece, table.mixture.codings).codes, run);
      for (let row = 0; row < piece.rows && first.length < shown; row++) first.push(decided.decision(row));
      countSuppressed(decided, suppressed);
      if (writer !== null) await writer.write(decided);
    }, onProgress === undefined ? {} : { onProgress });
    await writer?.flush();
    return { recipients: report.rows, noConsent: report.noConsent, rejected: report.rejectedCount, first, suppressed };
  } finally {
    run.close();
  }
}

function countSuppressed(decided: DecidedRows, counts: Map<string, number>): void {
  // Recipients who share a ranking are counted once for all.
  const rows = new Map<PersonaRanking, number>();
  for (let row = 0; row < decided.recipients.length; row++) {
    const ranking = decided.ranking(row);
    rows.set(ranking, (rows.get(ranking) ?? 0) + 1);
  }
  for (const [ranking, times] of rows) for (const { reason } of ranking.suppressed) counts.set(reason, (counts.get(reason) ?? 0) + times);
}

/** Bytes gathered before they are handed on. */
const WRITE_BYTES = 1 << 20;

/** Decisions as the lines that `JSON.stringify` makes of them. What recipients share is put into bytes once. */
class LineWriter {
  readonly #table: ScoreTable;
  readonly #onLines: (bytes: Uint8Array) => void | Promise<void>;
  readonly #tails = new WeakMap<PersonaRanking, Buffer>();
  #buffer = Buffer.allocUnsafe(WRITE_BYTES);
  #used = 0;

  constructor(table: ScoreTable, onLines: (bytes: Uint8Array) => void | Promise<void>) {
    this.#table = table;
    this.#onLines = onLines;
  }

  async write(decided: DecidedRows): Promise<void> {
    const ids = this.#table.mixture.personas.map((persona) => JSON.stringify(persona.id));
    for (let row = 0; row < decided.recipients.length; row++) {
      const ranking = decided.ranking(row);
      const tail = this.#tailOf(ranking);
      const head = `{"recipient":${JSON.stringify(decided.recipients[row])},"persona":${ids[decided.persona[row]]},"probability":${decided.probability[row]},"fitsNone":${decided.fitsNone[row] === 1}`;
      // Three bytes hold any unit of a text.
      const most = 3 * head.length + tail.length;
      if (this.#used + most > this.#buffer.length) {
        await this.flush();
        if (most > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(2 * most);
      }
      this.#used += this.#buffer.write(head, this.#used);
      this.#used += tail.copy(this.#buffer, this.#used);
    }
  }

  async flush(): Promise<void> {
    if (this.#used === 0) return;
    const full = this.#buffer.subarray(0, this.#used);
    this.#buffer = Buffer.allocUnsafe(this.#buffer.length);
    this.#used = 0;
    await this.#onLines(full);
  }

  #tailOf(ranking: PersonaRanking): Buffer {
    let tail = this.#tails.get(ranking);
    if (tail === undefined) {
      tail = Buffer.from(`,"ranked":${JSON.stringify(ranking.ranked)},"suppressed":${JSON.stringify(ranking.suppressed)}}\n`);
      this.#tails.set(ranking, tail);
    }
    return tail;
  }
}
