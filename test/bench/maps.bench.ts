// The dense float maps on one core: our SIMD kernels beside the f64 reference and beside gpu.js in each mode this machine has.
import { createHash } from "node:crypto";
import { RandomStream } from "@populace/domain";
import { openBackend } from "@populace/kernels";
import { gpuJsBackend } from "@populace/kernels/gpu-js";
import { sampleSurface } from "@populace/kernels/sample-surface";
import { type Bench, type BenchRow, seconds } from "./bench.ts";

/** One way to compute a map. Others that answer the same question (the int16 kernel `nearest` for distances) are one more entry. */
interface Way {
  readonly name: string;
  readonly run: () => Promise<ArrayLike<number>>;
}

const GPU_JS_MODES = ["cpu", "webasm", "webgpu"] as const;

export const bench: Bench = {
  name: "maps",
  async run({ tiny }) {
    const [reference, wasm] = [(await openBackend("reference", "distances")).kernels, (await openBackend("wasm", "distances")).kernels];
    const gpuJs = (await Promise.all(GPU_JS_MODES.map((mode) => gpuJsBackend(mode).then((backend) => ({ mode, backend }), () => null))))
      // An emulated GPU takes minutes and says nothing.
      .filter((each) => each !== null && (each.mode !== "webgpu" || each.backend.isFast)).map((each) => each!);

    const surface = sampleSurface(1, tiny ? { worlds: 3, steps: 3, columns: 5, rows: 4, members: 8 } : { worlds: 200, steps: 3, columns: 41, rows: 41, members: 128 });
    const { worlds, columns, rows, members } = surface;
    const surfaceWays: readonly Way[] = [
      { name: "f64 reference", run: () => reference.responseSurface!.rates(surface) },
      ...gpuJs.map(({ mode, backend }) => ({ name: `gpu.js ${mode}`, run: () => backend.kernels.responseSurface!.rates(surface) })),
    ];

    const [rowCount, centerCount, dimensions] = tiny ? [20, 10, 8] : [4_000, 1_000, 64];
    const random = RandomStream.of(3, "bench distances");
    const points = (count: number): Float32Array => Float32Array.from({ length: count * dimensions }, () => random.normal());
    const [from, to] = [points(rowCount), points(centerCount)];
    const distanceWays: readonly Way[] = [
      { name: "f64 reference", run: () => reference.distances!.squared(from, to, dimensions) },
      ...gpuJs.map(({ mode, backend }) => ({ name: `gpu.js ${mode}`, run: () => backend.kernels.distances!.squared(from, to, dimensions) })),
    ];
    return [
      ...(await compared(`response surface of ${columns} x ${rows} cells, ${worlds} worlds, 3 steps, ${members} members`, { name: "wasm", run: () => wasm.responseSurface!.rates(surface) }, surfaceWays, 1e5, tiny)),
      ...(await compared(`squared distances of ${rowCount} rows to ${centerCount} centers in ${dimensions} dimensions`, { name: "wasm", run: () => wasm.distances!.squared(from, to, dimensions) }, distanceWays, 1e3, tiny)),
    ];
  },
};

/** A row for each other way, the first of which is exact; `scale` rounds the result before it is hashed. */
async function compared(what: string, ours: Way, others: readonly Way[], scale: number, tiny: boolean): Promise<readonly BenchRow[]> {
  const exact = await others[0].run();
  const off = async (way: Way): Promise<string> => largestDifference(await way.run(), exact).toExponential(0);
  const rounds = tiny ? 1 : 5;
  const rowsFound: BenchRow[] = [];
  for (const other of others) {
    // Both anew for each row: what else the machine does changes over a minute.
    const [mine, theirs] = [await seconds(rounds, ours.run), await seconds(rounds, other.run)];
    rowsFound.push({
      what: `${what}: ${ours.name}, off by ${await off(ours)} at most`, ours: mine, peer: theirs, peerName: other === others[0] ? other.name : `${other.name}, off by ${await off(other)} at most`, ratio: theirs / mine, unit: "s",
      floor: null, target: null, hash: createHash("sha256").update(Int32Array.from(await ours.run(), (value) => Math.round(value * scale))).digest("hex"),
    });
  }
  return rowsFound;
}

/** Relative to the exact values. */
function largestDifference(found: ArrayLike<number>, exact: ArrayLike<number>): number {
  let most = 0;
  for (let at = 0; at < exact.length; at++) if (exact[at] !== 0) most = Math.max(most, Math.abs(found[at]! - exact[at]!) / exact[at]!);
  return most;
}
