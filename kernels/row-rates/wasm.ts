import { InstancePool } from "../backends/webassembly.ts";
import { firstLines, linesOf } from "./lines.ts";
import type { RowRatesKernel } from "./port.ts";

interface Exports {
  addRows(lines: number, rows: number, traits: number, weights: number, steps: number, tables: number, tableBytes: number, biases: number, sums: number, laneBytes: number): void;
}

const instances = new InstancePool<Exports>(new URL("./row-rates.wasm", import.meta.url));

/** Rows of one call: V8 swaps its quick first translation for the fast one between calls. */
const CALL_ROWS = 256;

/** The kernel `row-rates` in SIMD WebAssembly on the calling thread: two worlds a vector, the bits of the reference. */
export const rowRatesWasm: RowRatesKernel = {
  open(shape) {
    const { worlds, steps } = shape;
    const { firsts, total } = firstLines(shape);
    const traits = firsts.length, lanes = 4 * Math.ceil(worlds / 4);
    const memory = instances.take(), { exports } = memory;
    const tablesAt = memory.take(8 * steps * total * lanes), biasesAt = memory.take(8 * steps * lanes), sumsAt = memory.take(8 * steps * lanes), weightsAt = memory.take(8 * CALL_ROWS), linesAt = memory.take(4 * CALL_ROWS * traits);
    memory.reserve();
    const tables = memory.float64(tablesAt, steps * total * lanes).fill(0), biases = memory.float64(biasesAt, steps * lanes).fill(0), sums = memory.float64(sumsAt, steps * lanes);
    const staged = memory.int32(linesAt, CALL_ROWS * traits), stagedWeights = memory.float64(weightsAt, CALL_ROWS);
    return {
      line(step, trait, place) {
        const at = (step * total + firsts[trait] + place) * lanes;
        return tables.subarray(at, at + worlds);
      },
      bias: (step) => biases.subarray(step * lanes, step * lanes + worlds),
      sum(places, weights) {
        const lines = linesOf(shape, places), rows = lines.length / traits;
        sums.fill(0);
        for (let first = 0; first < rows; first += CALL_ROWS) {
          const end = Math.min(rows, first + CALL_ROWS);
          staged.set(lines.subarray(first * traits, end * traits));
          if (weights !== null) stagedWeights.set(weights.subarray(first, end));
          exports.addRows(linesAt, end - first, traits, weights === null ? 0 : weightsAt, steps, tablesAt, 8 * total * lanes, biasesAt, sumsAt, 8 * lanes);
        }
        const answer = new Float64Array(steps * worlds);
        for (let step = 0; step < steps; step++) answer.set(sums.subarray(step * lanes, step * lanes + worlds), step * worlds);
        return answer;
      },
      close: () => memory.close(),
    };
  },
};
