import type { CellFunction, Cells, GpuJs } from "../backends/gpu-js.ts";

/** Numbers a cell function may index in one array: gpu.js counts in f32, which is exact up to 2^24 only. */
export const INDEXES_MAX = 2 ** 24;

/** A cell function over outputs of changing sizes. Sizes are constants of the generated code, so each set of them is compiled anew; the last one is kept. */
export class GpuJsMap {
  readonly #gpu: GpuJs;
  readonly #cell: CellFunction;
  #compiled: { readonly key: string; readonly kernel: ReturnType<GpuJs["createKernel"]> } | null = null;

  constructor(gpu: GpuJs, cell: CellFunction) {
    this.#gpu = gpu;
    this.#cell = cell;
  }

  /** The cells of an output (sizes innermost first), in lists nested the other way round. */
  async run(output: readonly number[], constants: Readonly<Record<string, number>>, args: readonly Float32Array[]): Promise<Cells> {
    const key = JSON.stringify([output, constants, args.map((each) => each.length)]);
    if (this.#compiled?.key !== key) {
      this.#compiled?.kernel.destroy();
      this.#compiled = { key, kernel: this.#gpu.createKernel(this.#cell, { output, constants, precision: "single" }) };
    }
    return this.#compiled.kernel(...args);
  }
}
