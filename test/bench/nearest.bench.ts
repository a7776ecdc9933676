// The closest of many centroids for each row: the kernel beside two plain TypeScripts, on the same rows and to the same answers.
import { createHash } from "node:crypto";
import { RandomStream } from "@populace/domain";
import { openBackend } from "@populace/kernels";
import { alternating } from "./bench.ts";
import type { Bench } from "./bench.ts";

interface Found { readonly index: Int32Array; readonly score: Int32Array; readonly runnerUp: Int32Array }

const found = (rows: number): Found => ({ index: new Int32Array(rows), score: new Int32Array(rows), runnerUp: new Int32Array(rows) });

export const bench: Bench = {
  name: "nearest",
  async run({ tiny }) {
    const count = tiny ? 37 : 1000, dimensions = 64, rows = tiny ? 64 : 20_000, plainRows = tiny ? 64 : 1000;
    const random = RandomStream.of(3, "bench nearest");
    const draw = (length: number): Int16Array => Int16Array.from({ length }, () => Math.round(1000 * random.normal()));
    const values = draw(count * dimensions), points = draw(rows * dimensions);
    const biases = Int32Array.from({ length: count }, (_, k) => values.subarray(k * dimensions, (k + 1) * dimensions).reduce((sum, value) => sum + value * value, 0) >> 1);
    const session = await (await openBackend("wasm", "nearest")).kernels.nearest.open({ count, dimensions, values, biases });
    const ours = found(rows), plain = found(plainRows), four = found(plainRows);
    // Plain code is timed on fewer rows; figures are per row.
    const [kernelSeconds, plainSeconds, fourSeconds] = await alternating(tiny ? 1 : 15, [() => session.assign(points, ours), () => naive(points, values, biases, dimensions, plain), () => blocked(points, values, biases, dimensions, four)]);
    session.close();
    for (const other of [plain, four]) {
      for (const key of ["index", "score", "runnerUp"] as const) if (!other[key].every((value, row) => value === ours[key][row])) throw new Error(`nearest: ${key} differs`);
    }
    const hash = createHash("sha256").update(Buffer.from(ours.index.buffer)).update(Buffer.from(ours.runnerUp.buffer)).digest("hex");
    const perSecond = rows / kernelSeconds;
    const row = (peer: number, peerName: string, floor: string | null, target: string | null) => ({
      what: `nearest of ${count} centroids x ${dimensions}, int16, with the runner-up, one core`, ours: perSecond, peer, peerName, ratio: perSecond / peer, unit: "rows/s", floor, target, hash,
    });
    return [row(plainRows / plainSeconds, "plain TypeScript", "150,000/s, 12x", "400,000/s, 30x"), row(plainRows / fourSeconds, "plain TypeScript, four rows at a time", null, null)];
  },
};

function naive(rows: Int16Array, values: Int16Array, biases: Int32Array, dimensions: number, { index, score, runnerUp }: Found): void {
  for (let row = 0; row < index.length; row++) {
    let best = Infinity, second = 2 ** 31 - 1, winner = 0;
    for (let k = 0; k < biases.length; k++) {
      let own = biases[k]!;
      for (let d = 0; d < dimensions; d++) own -= rows[row * dimensions + d]! * values[k * dimensions + d]!;
      if (own < best) {
        if (k > 0) second = best;
        best = own;
        winner = k;
      } else if (own < second) second = own;
    }
    index[row] = winner;
    score[row] = best;
    runnerUp[row] = second;
  }
}

/** Each centroid's value is loaded once for four rows: what hand-tuned JavaScript does. */
function blocked(rows: Int16Array, values: Int16Array, biases: Int32Array, dimensions: number, { index, score, runnerUp }: Found): void {
  const best = new Float64Array(4), second = new Float64Array(4), winner = new Int32Array(4);
  for (let row = 0; row < index.length; row += 4) {
    best.fill(Infinity);
    second.fill(2 ** 31 - 1);
    for (let k = 0; k < biases.length; k++) {
      let a = biases[k]!, b = a, c = a, e = a;
      for (let d = 0, at = row * dimensions, own = k * dimensions; d < dimensions; d++, at++, own++) {
        const value = values[own]!;
        a -= rows[at]! * value;
        b -= rows[at + dimensions]! * value;
        c -= rows[at + 2 * dimensions]! * value;
        e -= rows[at + 3 * dimensions]! * value;
      }
      for (let lane = 0; lane < 4; lane++) {
        const own = lane === 0 ? a : lane === 1 ? b : lane === 2 ? c : e;
        if (own < best[lane]!) {
          if (k > 0) second[lane] = best[lane]!;
          best[lane] = own;
          winner[lane] = k;
        } else if (own < second[lane]!) second[lane] = own;
      }
    }
    index.set(winner, row);
    score.set(best, row);
    runnerUp.set(second, row);
  }
}
