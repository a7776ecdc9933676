import { firstLines, linesOf } from "./lines.ts";
import type { RowRatesKernel } from "./port.ts";

/** The kernel `row-rates` in plain TypeScript: SPEC.md as it reads. */
export const rowRatesReference: RowRatesKernel = {
  open(shape) {
    const { worlds, steps } = shape;
    const { firsts, total } = firstLines(shape);
    const traits = firsts.length;
    const tables = new Float64Array(steps * total * worlds), biases = new Float64Array(steps * worlds);
    return {
      line: (step, trait, place) => tables.subarray((step * total + firsts[trait] + place) * worlds, (step * total + firsts[trait] + place + 1) * worlds),
      bias: (step) => biases.subarray(step * worlds, (step + 1) * worlds),
      sum(places, weights) {
        const lines = linesOf(shape, places);
        const sums = new Float64Array(steps * worlds);
        for (let row = 0; row < lines.length / traits; row++) {
          for (let world = 0; world < worlds; world++) {
            let reached = weights === null ? 1 : weights[row];
            for (let step = 0; step < steps; step++) {
              let x = biases[step * worlds + world];
              for (let t = 0; t < traits; t++) x += tables[(step * total + lines[row * traits + t]) * worlds + world];
              reached /= 1 + Math.exp(-x);
              sums[step * worlds + world] += reached;
            }
          }
        }
        return sums;
      },
      close() {},
    };
  },
};
