import { createHash } from "node:crypto";
import { DBSCAN } from "density-clustering";
import { kmeans } from "ml-kmeans";
import { ITERATIONS_MAX, RandomStream, clusterDbscan, seedIndices } from "@populace/domain";
import type { Points } from "@populace/domain";
import { kMeansEngine } from "@populace/kernels";
import { alternating } from "./bench.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { normalClusters, planeBlobs, rowsOf } from "./clustering-data.ts";

export const bench: Bench = {
  name: "clustering",
  async run({ tiny }) {
    return [...(await kMeans(tiny)), ...(await dbscan(tiny))];
  },
};

/** k-means from the same start, with the preparation of the points, beside ml-kmeans: labels and centers must be equal to the bit. */
async function kMeans(tiny: boolean): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const [count, dimensions, k, spread, what] of [[20_000, 64, 50, 1, "clusters apart"], [20_000, 64, 50, 0.3, "overlapping clusters"], [100_000, 16, 64, 1, "clusters apart"]] as const) {
    const points = normalClusters(tiny ? 300 : count, dimensions, tiny ? 5 : k, spread);
    const run = kMeansEngine.open(points);
    const seed = (): readonly number[] => run.seed(tiny ? 5 : k, RandomStream.of(1, "start"));
    const start = seed().map((row) => Array.from(points.values.subarray(row * dimensions, (row + 1) * dimensions)));
    const cluster = (): ReturnType<typeof run.lloyd> => {
      const own = kMeansEngine.open(points);
      const result = own.lloyd(start);
      own.close();
      return result;
    };
    const library = (): ReturnType<typeof kmeans> => kmeans(rowsOf(points), start.length, { initialization: start.map((center) => [...center]), maxIterations: ITERATIONS_MAX, tolerance: 0 });
    let ours = cluster(), theirs: ReturnType<typeof library> | null = null;
    const [fast, plain] = await alternating(tiny ? 1 : spread < 1 ? 2 : 5, [() => { ours = cluster(); }, () => { theirs = library(); }]);
    if (JSON.stringify([[...ours.labels], ours.centroids]) !== JSON.stringify([theirs!.clusters, theirs!.centroids])) throw new Error("k-means: the engine and ml-kmeans disagree");
    const size = `${points.rows} x ${dimensions}, ${start.length} clusters`;
    rows.push({ what: `k-means, ${size}, ${what}, same start, one core`, ours: fast, peer: plain, peerName: "ml-kmeans", ratio: plain / fast, unit: "s", floor: "8x; 1x scikit-learn", target: "20x; 3x scikit-learn", hash: digest(ours.labels) });
    if (rows.length === 1) {
      let drawn = seed();
      const [draws, plainDraws] = await alternating(tiny ? 1 : 3, [() => { drawn = seed(); }, () => seedIndices(points, start.length, RandomStream.of(1, "start"))]);
      rows.push({ what: `start of k-means, ${size}, greedy k-means++`, ours: draws, peer: plainDraws, peerName: "the same over f64 distances", ratio: plainDraws / draws, unit: "s", floor: null, target: "no more than the iterations", hash: digest(Int32Array.from(drawn)) });
    }
    run.close();
  }
  return rows;
}

/** density-clustering is quadratic and would take minutes at 50,000 points, so it is measured at fewer. */
async function dbscan(tiny: boolean): Promise<readonly BenchRow[]> {
  const options = { eps: 0.35, minPoints: 8 };
  const some = planeBlobs(tiny ? 300 : 5000), many = planeBlobs(tiny ? 400 : 50_000), wide = normalClusters(tiny ? 300 : 20_000, 8, 8, 3);
  const rows = rowsOf(some);
  let found = clusterDbscan(some, options);
  const [ours, theirs] = await alternating(tiny ? 1 : 3, [() => { found = clusterDbscan(some, options); }, () => new DBSCAN().run(rows, options.eps, options.minPoints)]);
  const alone = async (points: Points, how: typeof options, what: string): Promise<BenchRow> => {
    const [taken] = await alternating(tiny ? 1 : 5, [() => clusterDbscan(points, how)]);
    return { what, ours: taken, peer: null, peerName: "-", ratio: null, unit: "s", floor: points.rows === 50_000 ? "1 s" : null, target: "faster than scikit-learn", hash: digest(clusterDbscan(points, how).labels) };
  };
  return [
    { what: `DBSCAN of ${some.rows} points in the plane`, ours, peer: theirs, peerName: "density-clustering", ratio: theirs / ours, unit: "s", floor: null, target: null, hash: digest(found.labels) },
    await alone(many, options, `DBSCAN of ${many.rows} points in the plane`),
    await alone(wide, { eps: 2.5, minPoints: 16 }, `DBSCAN of ${wide.rows} points in eight dimensions`),
  ];
}

function digest(labels: Int32Array): string {
  return createHash("sha256").update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength)).digest("hex");
}
