import { PopulaceError } from "@populace/domain/error";
import { nearestOutput } from "../nearest/port.ts";
import { nearestReference } from "../nearest/reference.ts";
import { checkCandidates, checkRow, checkSlack, normsOf } from "./limits.ts";
import type { LocalKMeansKernel, LocalKMeansSession } from "./port.ts";

/** The kernel `k-means` in plain TypeScript: SPEC.md as it reads, every row held against every center. */
export const kMeansReference: LocalKMeansKernel = {
  open(points: Int16Array, dimensions: number): LocalKMeansSession {
    const norms = normsOf(points, dimensions, "row");
    const rows = norms.length;
    const labels = new Int32Array(rows).fill(-1);
    const weights = new Uint32Array(rows);
    const { index, score, runnerUp } = nearestOutput(rows);
    let last: { readonly centers: Int16Array; readonly norms: Int32Array; readonly slack: number } | null = null;
    const halfSquared = (row: number, other: number): number => {
      let dot = 0;
      for (let d = 0; d < dimensions; d++) dot += points[row * dimensions + d] * points[other * dimensions + d];
      return Math.floor((norms[row] + norms[other]) / 2) - dot;
    };
    return {
      rows,
      dimensions,
      assign(centers, slack) {
        checkSlack(slack);
        const centerNorms = normsOf(centers, dimensions, "center");
        const count = centerNorms.length;
        if (count !== last?.norms.length) labels.fill(-1);
        last = { centers: centers.slice(), norms: centerNorms, slack };
        const session = nearestReference.open({ count, dimensions, values: centers, biases: centerNorms.map((norm) => norm >> 1) });
        session.assign(points, { index, score, runnerUp });
        session.close();
        const moved: number[] = [], doubtful: number[] = [];
        for (let row = 0; row < rows; row++) {
          if (index[row] !== labels[row]) moved.push(row);
          labels[row] = index[row];
          const own = Math.sqrt(norms[row] + 2 * score[row] + (centerNorms[index[row]] & 1));
          if (!(norms[row] + 2 * runnerUp[row] > (own + slack) * (own + slack))) doubtful.push(row);
        }
        return { labels, moved: Int32Array.from(moved), doubtful: Int32Array.from(doubtful) };
      },
      rivals(row) {
        checkRow(row, rows);
        if (last === null) throw new PopulaceError("BAD_REQUEST", "rivals were asked for before centers were given; call assign first");
        const { centers, norms: centerNorms, slack } = last;
        const doubled = Array.from(centerNorms, (norm, center) => {
          let half = norm >> 1;
          for (let d = 0; d < dimensions; d++) half -= points[row * dimensions + d] * centers[center * dimensions + d];
          return norms[row] + 2 * half;
        });
        const reach = Math.sqrt(doubled[labels[row]] + (centerNorms[labels[row]] & 1)) + slack;
        return Int32Array.from(doubled.flatMap((squared, center) => (squared > reach * reach ? [] : [center])));
      },
      forget() {
        labels.fill(-1);
      },
      spread() {
        weights.fill(2 ** 32 - 1);
      },
      choose(row) {
        checkRow(row, rows);
        for (let other = 0; other < rows; other++) weights[other] = Math.min(weights[other], halfSquared(other, row));
        return exactSum(rows, (other) => weights[other]);
      },
      potentials(candidates) {
        checkCandidates(candidates, rows);
        return candidates.map((row) => exactSum(rows, (other) => Math.min(weights[other], halfSquared(other, row))));
      },
      draw(target) {
        let sum = 0, drawn = 0;
        for (let row = 0; row < rows; row++) {
          if (weights[row] === 0) continue;
          sum += weights[row];
          drawn = row;
          if (sum > target) break;
        }
        return drawn;
      },
      close() {},
    };
  },
};

/** The sum of integers below 2^32, rounded to a double once. */
function exactSum(count: number, term: (index: number) => number): number {
  const limb = 2 ** 52;
  let high = 0, low = 0;
  for (let index = 0; index < count; index++) {
    low += term(index);
    if (low >= limb) {
      low -= limb;
      high++;
    }
  }
  return high * limb + low;
}
