// Kernel `row-rates` (SPEC.md): the nested funnel of rows of codes in many worlds at once, two worlds a vector, added up over the rows.
import { exp2 } from "../lib/exp.as";

/**
 * Adds `rows` rows to `sums` (steps x lanes). `lines` holds the line of each trait's value, row by row; a step's table is `tableBytes` long, its lines
 * `laneBytes`. `biases` is steps x lanes, `weights` one number a row or 0.
 */
export function addRows(lines: usize, rows: i32, traits: i32, weights: usize, steps: i32, tables: usize, tableBytes: usize, biases: usize, sums: usize, laneBytes: usize): void {
  for (let row = 0; row < rows; row++) {
    const own = lines + ((<usize>row * <usize>traits) << 2);
    const weight = f64x2.splat(weights === 0 ? 1 : load<f64>(weights + (<usize>row << 3)));
    for (let p: usize = 0; p < laneBytes; p += 32) {
      let reached0 = weight, reached1 = weight;
      let table = tables + p, at = p;
      for (let step = 0; step < steps; step++) {
        let x0 = v128.load(biases + at), x1 = v128.load(biases + at, 16);
        for (let t: usize = 0; t < <usize>traits << 2; t += 4) {
          const line = table + <usize>load<u32>(own + t) * laneBytes;
          x0 = f64x2.add(x0, v128.load(line));
          x1 = f64x2.add(x1, v128.load(line, 16));
        }
        reached0 = f64x2.div(reached0, f64x2.add(f64x2.splat(1), exp2(f64x2.neg(x0))));
        reached1 = f64x2.div(reached1, f64x2.add(f64x2.splat(1), exp2(f64x2.neg(x1))));
        v128.store(sums + at, f64x2.add(v128.load(sums + at), reached0));
        v128.store(sums + at, f64x2.add(v128.load(sums + at, 16), reached1), 16);
        table += tableBytes;
        at += laneBytes;
      }
    }
  }
}

export function heapBase(): usize {
  return __heap_base;
}
