import { createHash } from "node:crypto";
import { RandomStream, clusterDbscan } from "@populace/domain";
import { type Bench, seconds } from "./bench.ts";

/** DBSCAN with its grid beside the count of neighbors over all pairs, which is only the first half of the work. */
export const bench: Bench = {
  name: "clustering",
  async run({ tiny }) {
    const rows = tiny ? 400 : 20_000;
    const points = blobs(rows);
    const options = { eps: 0.35, minPoints: 8 };
    const ours = await seconds(tiny ? 1 : 3, () => clusterDbscan(points, options));
    const peer = await seconds(1, () => allPairs(points, options));
    const found = clusterDbscan(points, options);
    return [
      {
        what: `DBSCAN of ${rows} points in the plane`, ours, peer, peerName: "counting neighbors over all pairs", ratio: peer / ours, unit: "s",
        floor: "50,000 points: 1 s", target: "faster than scikit-learn", hash: digest(found.labels),
      },
    ];
  },
};

function blobs(rows: number): { rows: number; dimensions: number; values: Float64Array } {
  const random = RandomStream.of(7, "bench blobs");
  const values = new Float64Array(rows * 2);
  for (let row = 0; row < rows; row++) {
    const center = row % 8;
    values[row * 2] = 6 * Math.cos(center) * (1 + (center % 3)) + random.normal();
    values[row * 2 + 1] = 6 * Math.sin(center) * (1 + (center % 3)) + random.normal();
  }
  return { rows, dimensions: 2, values };
}

/** The number of core points by comparing every pair: what an implementation without an index does first. */
function allPairs({ rows, values }: { rows: number; values: Float64Array }, { eps, minPoints }: { eps: number; minPoints: number }): number {
  let core = 0;
  for (let a = 0; a < rows; a++) {
    let near = 0;
    for (let b = 0; b < rows; b++) {
      const dx = values[a * 2]! - values[b * 2]!;
      const dy = values[a * 2 + 1]! - values[b * 2 + 1]!;
      if (dx * dx + dy * dy <= eps * eps) near++;
    }
    if (near >= minPoints) core++;
  }
  return core;
}

function digest(labels: Int32Array): string {
  return createHash("sha256").update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength)).digest("hex");
}
