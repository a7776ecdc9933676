import { instantiate, reserve } from "../backends/webassembly.ts";
import type { WasmInstance } from "../backends/webassembly.ts";
import { firstLines, linesOf } from "./lines.ts";
import type { RowRatesKernel } from "./port.ts";

interface Exports {
  addRows(lines: number, rows: number, traits: number, weights: number, steps: number, tables: number, tableBytes: number, biases: number, sums: number, laneBytes: number): void;
}

const MODULE = new URL("./row-rates.wasm", import.meta.url);

/** Rows of one call: V8 swaps its quick first translation for the fast one between calls. */
const CALL_ROWS = 256;

/** Instances whose sessions are closed. A memory reserves gigabytes of addresses, so it is used again rather than left to the collector. */
const idle: WasmInstance<Exports>[] = [];

/** The kernel `row-rates` in SIMD WebAssembly on the calling thread: two worlds a vector, the bits of the reference. */
export const rowRatesWasm: RowRatesKernel = {
  open(shape) {
    const { worlds, steps } = shape;
    const { firsts, total } = firstLines(shape);
    const traits = firsts.length, lanes = 4 * Math.ceil(worlds / 4);
    const instance = idle.pop() ?? instantiate<Exports>(MODULE, 0);
    const { memory, exports, heapBase } = instance;
    const tablesAt = heapBase, biasesAt = tablesAt + 8 * steps * total * lanes, sumsAt = biasesAt + 8 * steps * lanes, weightsAt = sumsAt + 8 * steps * lanes, linesAt = weightsAt + 8 * CALL_ROWS;
    reserve(instance, linesAt + 4 * CALL_ROWS * traits - heapBase);
    const tables = new Float64Array(memory.buffer, tablesAt, steps * total * lanes).fill(0), biases = new Float64Array(memory.buffer, biasesAt, steps * lanes).fill(0), sums = new Float64Array(memory.buffer, sumsAt, steps * lanes);
    const staged = new Int32Array(memory.buffer, linesAt, CALL_ROWS * traits), stagedWeights = new Float64Array(memory.buffer, weightsAt, CALL_ROWS);
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
      close() {
        idle.push(instance);
      },
    };
  },
};
