import { PopulaceError } from "@populace/domain/error";
import { withRecovery } from "../backends/gpu-adapter.ts";
import type { Gpu, GpuBatch, GpuBuffer, GpuPipeline } from "../backends/gpu.ts";
import { packRows } from "../lib/halves.ts";
import { readWgsl } from "../lib/wgsl.ts";
import { TILE, nearestSource } from "../nearest/webgpu.ts";
import { checkCandidates, checkRow, checkSlack, normsOf } from "./limits.ts";
import { type Assigned, CANDIDATES_MAX, type KMeansKernel, type KMeansSession } from "./port.ts";

/** Rows of a block of weigh.wgsl, whose weights are added up. */
const BLOCK = 256;
/** Entries of either list that are read with their number: most steps move fewer rows, and so need one journey to the device. */
const FIRST_ENTRIES = 2048;
/** No two rows are farther apart; a larger slack doubts everybody as well, and f32 holds its square. */
const SLACK_MAX = 1e6;

const LIMB = 2 ** 52;

interface Programs {
  readonly nearest: GpuPipeline;
  readonly step: GpuPipeline;
  readonly weigh: GpuPipeline;
}

type Buffers = { readonly [name in "points" | "norms" | "labels" | "answers" | "counts" | "moved" | "doubted" | "weights" | "candidates" | "sums"]: GpuBuffer };

/** What a session has on one device. */
interface Held {
  readonly gpu: Gpu;
  readonly programs: Programs;
  readonly buffers: Buffers;
}

/** The centers of the last step. */
interface Step {
  readonly centers: Int16Array;
  readonly norms: Int32Array;
  readonly slack: number;
}

/**
 * The kernel `k-means` on the GPU. The device compares every row with every center at each step and answers with the few rows that
 * moved or may be doubted; the host decides the latter to the bit, in f64. After a loss all is uploaded anew.
 */
export const kMeansWebgpu: KMeansKernel = {
  async open(points: Int16Array, dimensions: number): Promise<KMeansSession> {
    const norms = normsOf(points, dimensions, "row");
    const session = new Session(points.slice(), dimensions, norms);
    await session.ready();
    return session;
  },
};

class Session implements KMeansSession {
  readonly rows: number;
  readonly dimensions: number;
  readonly #points: Int16Array;
  readonly #norms: Int32Array;
  readonly #words: number;
  readonly #labels: Int32Array;
  /** Whether the next step moves every row. */
  #isFirst = true;
  #last: Step | null = null;
  /** Rows chosen since the weights were spread; null before. */
  #chosen: number[] | null = null;
  /** Sum of the weights of each block. */
  #blockSums: Float64Array;
  #held: Held | null = null;

  constructor(points: Int16Array, dimensions: number, norms: Int32Array) {
    this.rows = norms.length;
    this.dimensions = dimensions;
    this.#points = points;
    this.#norms = norms;
    this.#words = (dimensions + 1) >> 1;
    this.#labels = new Int32Array(this.rows).fill(-1);
    this.#blockSums = new Float64Array(Math.ceil(this.rows / BLOCK));
  }

  async ready(): Promise<void> {
    await this.#on(() => Promise.resolve());
  }

  assign(centers: Int16Array, slack: number): Promise<Assigned> {
    checkSlack(slack);
    const norms = normsOf(centers, this.dimensions, "center");
    const count = norms.length;
    if (count !== this.#last?.norms.length) this.forget();
    const values = packRows(centers, this.dimensions).slice(), biases = norms.map((norm) => norm >> 1);
    const step = { centers: centers.slice(), norms, slack };
    return this.#on(async (held) => {
      try {
        return this.#taken(await this.#compare(held, values, norms, biases, Math.min(slack, SLACK_MAX)), step);
      } catch (error) {
        // The device may hold labels that have not arrived here.
        this.close();
        throw error;
      }
    });
  }

  rivals(row: number): Int32Array {
    checkRow(row, this.rows);
    if (this.#last === null) throw new PopulaceError("BAD_REQUEST", "rivals were asked for before centers were given; call assign first");
    const { centers, norms, slack } = this.#last;
    const squared = Array.from(norms, (norm, center) => {
      let score = norm >> 1;
      for (let d = 0; d < this.dimensions; d++) score -= this.#points[row * this.dimensions + d] * centers[center * this.dimensions + d];
      return this.#norms[row] + 2 * score;
    });
    const label = this.#labels[row];
    const reach = Math.sqrt(squared[label] + (norms[label] & 1)) + slack;
    return Int32Array.from(squared.flatMap((other, center) => (other > reach * reach ? [] : [center])));
  }

  forget(): void {
    this.#isFirst = true;
  }

  spread(): void {
    this.#chosen = [];
    this.#blockSums.fill(BLOCK * (2 ** 32 - 1));
    this.#blockSums[this.#blockSums.length - 1] = (this.rows - (this.#blockSums.length - 1) * BLOCK) * (2 ** 32 - 1);
  }

  async choose(row: number): Promise<number> {
    checkRow(row, this.rows);
    const chosen = this.#chosen;
    if (chosen === null) return 0;
    const [sum] = await this.#on(async (held) => {
      const batch = held.gpu.batch("k-means choose");
      this.#weigh(held, batch, [row], chosen.length === 0, true);
      return this.#summed(held, batch, 1, this.#blockSums);
    });
    chosen.push(row);
    return sum;
  }

  async potentials(candidates: readonly number[]): Promise<readonly number[]> {
    checkCandidates(candidates, this.rows);
    const chosen = this.#chosen;
    if (chosen === null) return candidates.map(() => 0);
    return this.#on((held) => {
      const batch = held.gpu.batch("k-means potentials");
      this.#weigh(held, batch, candidates, chosen.length === 0, false);
      return this.#summed(held, batch, candidates.length, null);
    });
  }

  async draw(target: number): Promise<number> {
    // Of all blocks that weigh something the first whose weights pass the target, else the last; `before` is the sum up to it.
    const running = new ExactSum();
    let before = running, block = -1;
    for (let each = 0; each < this.#blockSums.length && running.value <= target; each++) {
      if (this.#blockSums[each] === 0) continue;
      block = each;
      before = running.copy();
      running.add(this.#blockSums[each]);
    }
    if (block < 0) return 0;
    const first = block * BLOCK;
    const weights = new Uint32Array(Math.min(BLOCK, this.rows - first)).fill(2 ** 32 - 1);
    if (this.#chosen!.length > 0) await this.#on((held) => held.gpu.batch("k-means draw").read(held.buffers.weights, weights, first * 4).run());
    let drawn = 0;
    for (let place = 0; place < weights.length; place++) {
      if (weights[place] === 0) continue;
      before.add(weights[place]);
      drawn = first + place;
      if (before.value > target) break;
    }
    return drawn;
  }

  close(): void {
    if (this.#held === null) return;
    for (const buffer of Object.values(this.#held.buffers)) this.#held.gpu.release(buffer);
    this.#held = null;
  }

  #on<T>(work: (held: Held) => Promise<T>): Promise<T> {
    return withRecovery(async (gpu) => {
      if (this.#held === null || this.#held.gpu !== gpu) this.#held = await this.#upload(gpu);
      return work(this.#held);
    });
  }

  async #upload(gpu: Gpu): Promise<Held> {
    const { rows } = this;
    const [nearest, step, weigh] = await Promise.all([gpu.pipeline(nearestSource()), gpu.pipeline(readWgsl(new URL("./step.wgsl", import.meta.url))), gpu.pipeline(readWgsl(new URL("./weigh.wgsl", import.meta.url)))]);
    const bytes = {
      points: rows * this.#words * 4, norms: rows * 4, labels: rows * 4, answers: rows * 12, counts: 8, moved: rows * 8, doubted: rows * 12,
      weights: rows * 4, candidates: CANDIDATES_MAX * 4, sums: this.#blockSums.length * CANDIDATES_MAX * 8,
    };
    const made: [string, GpuBuffer][] = [];
    for (const [name, size] of Object.entries(bytes)) made.push([name, await gpu.buffer(`k-means ${name}`, size)]);
    const held: Held = { gpu, programs: { nearest, step, weigh }, buffers: Object.fromEntries(made) as unknown as Buffers };
    gpu.upload(held.buffers.points, packRows(this.#points, this.dimensions));
    gpu.upload(held.buffers.norms, this.#norms);
    gpu.upload(held.buffers.labels, this.#labels);
    // The weights follow from who was chosen.
    for (const [place, row] of (this.#chosen ?? []).entries()) {
      const batch = gpu.batch("k-means choose again");
      this.#weigh(held, batch, [row], place === 0, true);
      await batch.run();
    }
    return held;
  }

  async #compare({ gpu, programs, buffers }: Held, values: Int16Array, norms: Int32Array, biases: Int32Array, slack: number): Promise<Found> {
    const { rows } = this;
    const given = await Promise.all([gpu.buffer("k-means centers", values.byteLength), gpu.buffer("k-means biases", biases.byteLength), gpu.buffer("k-means center norms", norms.byteLength)]);
    const [centroids, biasBuffer, centerNorms] = given;
    gpu.upload(centroids, values);
    gpu.upload(biasBuffer, biases);
    gpu.upload(centerNorms, norms);
    const { points, norms: rowNorms, labels, answers, counts, moved, doubted } = buffers;
    const numbers = new Uint32Array(2), entries = Math.min(rows, FIRST_ENTRIES);
    let movedPairs = new Uint32Array(2 * entries), doubtedTriples = new Uint32Array(3 * entries);
    await gpu.batch("k-means step")
      .clear(counts)
      .dispatch(programs.nearest, { rows: points, centroids, biases: biasBuffer, answers }, Math.ceil(rows / TILE), { rowCount: rows, centroidCount: norms.length, words: this.#words })
      .dispatch(programs.step, { norms: rowNorms, centerNorms, answers, labels, counts, moved, doubted }, Math.ceil(rows / programs.step.threadsPerGroup), { rowCount: rows, isFirst: this.#isFirst ? 1 : 0, slack: bitsOf(slack) })
      .read(counts, numbers).read(moved, movedPairs).read(doubted, doubtedTriples)
      .run();
    for (const buffer of given) gpu.release(buffer);
    if (numbers[0] > entries || numbers[1] > entries) {
      movedPairs = new Uint32Array(2 * numbers[0]);
      doubtedTriples = new Uint32Array(3 * numbers[1]);
      const batch = gpu.batch("k-means lists");
      if (numbers[0] > 0) batch.read(moved, movedPairs);
      if (numbers[1] > 0) batch.read(doubted, doubtedTriples);
      await batch.run();
    }
    return { moved: movedPairs.subarray(0, 2 * numbers[0]), doubted: doubtedTriples.subarray(0, 3 * numbers[1]) };
  }

  /** Takes what a step found for the state after it. */
  #taken({ moved, doubted }: Found, step: Step): Assigned {
    this.#isFirst = false;
    this.#last = step;
    const { norms, slack } = step, labels = this.#labels;
    const movedRows = new Int32Array(moved.length / 2);
    for (let place = 0; place < movedRows.length; place++) {
      movedRows[place] = moved[2 * place];
      labels[moved[2 * place]] = moved[2 * place + 1];
    }
    const signed = new Int32Array(doubted.buffer, doubted.byteOffset, doubted.length);
    const doubtful: number[] = [];
    for (let at = 0; at < signed.length; at += 3) {
      const row = signed[at], label = labels[row];
      const own = Math.sqrt(this.#norms[row] + 2 * signed[at + 1] + (norms[label] & 1));
      if (!(this.#norms[row] + 2 * signed[at + 2] > (own + slack) * (own + slack))) doubtful.push(row);
    }
    return { labels, moved: movedRows, doubtful: Int32Array.from(doubtful) };
  }

  #weigh({ gpu, programs, buffers }: Held, batch: GpuBatch, candidates: readonly number[], isFirst: boolean, isChosen: boolean): void {
    gpu.upload(buffers.candidates, Uint32Array.from({ length: CANDIDATES_MAX }, (_, place) => candidates[place] ?? candidates[0]));
    const { points, norms, weights, candidates: candidateRows, sums } = buffers;
    batch.dispatch(programs.weigh, { points, norms, weights, candidates: candidateRows, sums }, this.#blockSums.length, { rowCount: this.rows, words: this.#words, isFirst: isFirst ? 1 : 0, isChosen: isChosen ? 1 : 0 });
  }

  /** The sums over all blocks for the first candidates; those of the first candidate's blocks go into `blocks`. */
  async #summed({ buffers }: Held, batch: GpuBatch, count: number, blocks: Float64Array | null): Promise<readonly number[]> {
    const words = new Uint32Array(this.#blockSums.length * 2 * CANDIDATES_MAX);
    await batch.read(buffers.sums, words).run();
    return Array.from({ length: count }, (_, candidate) => {
      const sum = new ExactSum();
      for (let block = 0; block < this.#blockSums.length; block++) {
        const at = block * 2 * CANDIDATES_MAX + candidate;
        const part = words[at] + words[at + CANDIDATES_MAX] * 2 ** 32;
        sum.add(part);
        if (candidate === 0 && blocks !== null) blocks[block] = part;
      }
      return sum.value;
    });
  }
}

/** What the device found: pairs (row, label) and triples (row, score, runner-up's score). */
interface Found {
  readonly moved: Uint32Array;
  readonly doubted: Uint32Array;
}

/** A sum of integers below 2^52, exact; its value is rounded to a double once. */
class ExactSum {
  #high = 0;
  #low = 0;

  get value(): number {
    return this.#high * LIMB + this.#low;
  }

  add(summand: number): void {
    this.#low += summand;
    if (this.#low < LIMB) return;
    this.#low -= LIMB;
    this.#high++;
  }

  copy(): ExactSum {
    const copy = new ExactSum();
    copy.#high = this.#high;
    copy.#low = this.#low;
    return copy;
  }
}

function bitsOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}
