import { createHash } from "node:crypto";
import { DBSCAN } from "density-clustering";
import { kmeans } from "ml-kmeans";
import { ITERATIONS_MAX, RandomStream, clusterDbscan, seedIndices } from "@populace/domain";
import type { Points } from "@populace/domain";
import { kMeansEngine } from "@populace/kernels";
import { alternating, compared } from "./bench.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { normalClusters, planeBlobs, rowsOf } from "./clustering-data.ts";
import { pythonPeer } from "./peers/python.ts";
import type { PythonPeer } from "./peers/python.ts";

export const bench: Bench = {
  name: "clustering",
  async run({ tiny }) {
    const python = await pythonPeer({ tiny });
    return [...(await kMeans(tiny, python)), ...(await dbscan(tiny, python))];
  },
};

/** k-means from the same start, with the preparation of the points, beside ml-kmeans: labels and centers must be equal to the bit. */
async function kMeans(tiny: boolean, python: PythonPeer): Promise<readonly BenchRow[]> {
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
    rows.push({ what: `k-means, ${size}, ${what}, same start, one core`, ours: fast, peer: plain, peerName: "ml-kmeans", ratio: plain / fast, unit: "s", floor: "8x", target: "20x", hash: digest(ours.labels) });
    const peer = await python.start<{ readonly inertia: number; readonly rounds: number }>({
      script: "cluster_sklearn.py", of: "scikit-learn", args: { method: "kmeans", iterations: ITERATIONS_MAX },
      arrays: { points: { data: points.values, shape: [points.rows, dimensions] }, start: { data: Float64Array.from(start.flat()), shape: [start.length, dimensions] } },
    });
    const { round } = peer;
    rows.push(await compared({
      what: `k-means, ${size}, ${what}, same start, one core`, unit: "s", better: "smaller", peerName: peer.name, floor: "1x", target: "3x", rounds: tiny ? 1 : 5,
      hash: () => digest(ours.labels), ours: secondsOf(cluster), peer: round === null ? null : async () => (await round()).seconds,
    }));
    peer.close();
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
async function dbscan(tiny: boolean, python: PythonPeer): Promise<readonly BenchRow[]> {
  const options = { eps: 0.35, minPoints: 8 };
  const some = planeBlobs(tiny ? 300 : 5000), many = planeBlobs(tiny ? 400 : 50_000), wide = normalClusters(tiny ? 300 : 20_000, 8, 8, 3);
  const rows = rowsOf(some);
  let found = clusterDbscan(some, options);
  const [ours, theirs] = await alternating(tiny ? 1 : 3, [() => { found = clusterDbscan(some, options); }, () => new DBSCAN().run(rows, options.eps, options.minPoints)]);
  const beside = async (points: Points, how: typeof options, what: string): Promise<BenchRow> => {
    const { rows: count, values } = points;
    const peer = await python.start<readonly number[]>({ script: "cluster_sklearn.py", of: "scikit-learn", args: { method: "dbscan", ...how }, arrays: { points: { data: values, shape: [count, values.length / count] } } });
    const { round } = peer;
    let labels: Int32Array = new Int32Array(0), theirNoise = -1;
    const row = await compared({
      what, unit: "s", better: "smaller", peerName: peer.name, floor: count === 50_000 ? "1 s" : null, target: "1x", rounds: tiny ? 1 : 5,
      hash: () => digest(labels), ours: secondsOf(() => { ({ labels } = clusterDbscan(points, how)); }),
      peer: round === null ? null : async () => {
        const { seconds, result } = await round();
        [, theirNoise] = result;
        return seconds;
      },
    });
    peer.close();
    const noise = labels.reduce((sum, label) => sum + (label < 0 ? 1 : 0), 0);
    if (round !== null && noise !== theirNoise) throw new Error(`DBSCAN: ${noise} points of noise here, ${theirNoise} there`);
    return row;
  };
  return [
    { what: `DBSCAN of ${some.rows} points in the plane`, ours, peer: theirs, peerName: "density-clustering", ratio: theirs / ours, unit: "s", floor: null, target: null, hash: digest(found.labels) },
    await beside(many, options, `DBSCAN of ${many.rows} points in the plane`),
    await beside(wide, { eps: 2.5, minPoints: 16 }, `DBSCAN of ${wide.rows} points in eight dimensions`),
  ];
}

const secondsOf = (action: () => unknown) => async (): Promise<number> => {
  const started = performance.now();
  action();
  return (performance.now() - started) / 1000;
};

function digest(labels: Int32Array): string {
  return createHash("sha256").update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength)).digest("hex");
}
