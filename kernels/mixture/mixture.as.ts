// Kernel `mixture` (SPEC.md): log densities of rows of codes under all personas at once, added up from tables by code.
//
// A table holds, for each trait and each of its places (code + offset; the last one stands for a missing value), the personas side by side: a row
// of codes is a handful of such lines, added lane by lane in the order of the traits, as the plain code does. Two personas a vector, lines of a multiple of four.
import { exp2 } from "../lib/exp.as";

let traits: i32 = 0, laneBytes: usize = 0;
/** Per trait: offset of a code, number of its places without the missing one, first line. */
let offsets: usize = 0, widths: usize = 0, firsts: usize = 0;
/** Byte offset of the line of each trait of the row at hand. */
let places: usize = 0;

export function layOut(traitTotal: i32, bytes: usize, offsetsAt: usize, widthsAt: usize, firstsAt: usize, placesAt: usize): void {
  traits = traitTotal;
  laneBytes = bytes;
  offsets = offsetsAt;
  widths = widthsAt;
  firsts = firstsAt;
  places = placesAt;
}

// @ts-ignore: decorator
@inline const MISSING: i32 = -32768;

/** The first value that is no code of its trait, as row x traits + trait, or -1. */
export function firstWrong(codes: usize, rows: i32): i32 {
  for (let row = 0, at = 0; row < rows; row++) {
    for (let t = 0; t < traits; t++, at++) {
      const code = <i32>load<i16>(codes + (<usize>at << 1));
      const four: usize = <usize>t << 2;
      if (code !== MISSING && <u32>(code + load<i32>(offsets + four)) >= load<u32>(widths + four)) return at;
    }
  }
  return -1;
}

/** Finds the lines of a row. */
// @ts-ignore: decorator
@inline function find(codes: usize): void {
  for (let t = 0; t < traits; t++) {
    const code = <i32>load<i16>(codes + (<usize>t << 1));
    const four: usize = <usize>t << 2;
    const place = code === MISSING ? load<i32>(widths + four) : code + load<i32>(offsets + four);
    store<u32>(places + four, <u32>(<usize>(load<i32>(firsts + four) + place) * laneBytes));
  }
}

// @ts-ignore: decorator
@inline function lineOf(table: usize, t: i32): usize {
  return table + <usize>load<u32>(places + (<usize>t << 2));
}

/**
 * One pass of EM over `rows` rows: adds each row's shares to `members` and, by trait and place, to `histograms` (laid out as the table), and
 * stores its largest score and the sum of the shares before they were made shares. `logShare` is -Infinity beyond the last persona. A
 * share below `ignored` is left out; `weights` is 0 or one weight a row.
 */
export function expect(codes: usize, rows: i32, table: usize, logShare: usize, weights: usize, shares: usize, members: usize, histograms: usize, largests: usize, sums: usize, ignored: f64): void {
  for (let row = 0; row < rows; row++) {
    find(codes + ((<usize>row * <usize>traits) << 1));
    let most = f64x2.splat(-Infinity);
    for (let p: usize = 0; p < laneBytes; p += 32) {
      let score0 = v128.load(logShare + p), score1 = v128.load(logShare + p, 16);
      for (let t = 0; t < traits; t++) {
        const line = lineOf(table, t) + p;
        score0 = f64x2.add(score0, v128.load(line));
        score1 = f64x2.add(score1, v128.load(line, 16));
      }
      v128.store(shares + p, score0);
      v128.store(shares + p, score1, 16);
      most = f64x2.pmax(f64x2.pmax(most, score0), score1);
    }
    const largest = max<f64>(f64x2.extract_lane(most, 0), f64x2.extract_lane(most, 1));
    let sum: f64 = 0;
    for (let p: usize = 0; p < laneBytes; p += 16) {
      const share = exp2(f64x2.sub(v128.load(shares + p), f64x2.splat(largest)));
      v128.store(shares + p, share);
      sum += f64x2.extract_lane(share, 0);
      sum += f64x2.extract_lane(share, 1);
    }
    const eight: usize = <usize>row << 3;
    store<f64>(largests + eight, largest);
    store<f64>(sums + eight, sum);
    const weight = f64x2.splat(weights === 0 ? 1 : load<f64>(weights + eight));
    for (let p: usize = 0; p < laneBytes; p += 16) {
      let share = f64x2.mul(f64x2.div(v128.load(shares + p), f64x2.splat(sum)), weight);
      share = v128.andnot(share, f64x2.lt(share, f64x2.splat(ignored)));
      if (!v128.any_true(share)) continue;
      v128.store(members + p, f64x2.add(v128.load(members + p), share));
      for (let t = 0; t < traits; t++) {
        const line = lineOf(histograms, t) + p;
        v128.store(line, f64x2.add(v128.load(line), share));
      }
    }
  }
}

/**
 * Assigns `rows` rows: the persona of the largest score (log share + log density, the first of equals), its probability, and whether the row lies
 * below that persona's floor, missing values counted with what `expected` (personas x traits) says of them. `scores`, `powers` are scratch.
 */
export function assign(codes: usize, rows: i32, table: usize, logShare: usize, personas: i32, expected: usize, floors: usize, scores: usize, powers: usize, persona: usize, probability: usize, fitsNone: usize): void {
  for (let row = 0; row < rows; row++) {
    const own = codes + ((<usize>row * <usize>traits) << 1);
    find(own);
    for (let p: usize = 0; p < laneBytes; p += 32) {
      let density0 = f64x2.splat(0), density1 = density0;
      for (let t = 0; t < traits; t++) {
        const line = lineOf(table, t) + p;
        density0 = f64x2.add(density0, v128.load(line));
        density1 = f64x2.add(density1, v128.load(line, 16));
      }
      v128.store(scores + p, f64x2.add(v128.load(logShare + p), density0));
      v128.store(scores + p, f64x2.add(v128.load(logShare + p, 16), density1), 16);
    }
    // The powers that the running sum needs: each score beside the best before it.
    let best: f64 = -Infinity, winner = 0;
    for (let k = 0; k < personas; k++) {
      const score = load<f64>(scores + (<usize>k << 3));
      if (score > best) {
        store<f64>(powers + (<usize>k << 3), best - score);
        best = score;
        winner = k;
      } else store<f64>(powers + (<usize>k << 3), score - best);
    }
    for (let p: usize = 0; p < laneBytes; p += 16) v128.store(powers + p, exp2(v128.load(powers + p)));
    best = -Infinity;
    let total: f64 = 0;
    for (let k = 0; k < personas; k++) {
      const score = load<f64>(scores + (<usize>k << 3)), power = load<f64>(powers + (<usize>k << 3));
      if (score > best) {
        total = total * power + 1;
        best = score;
      } else total += power;
    }
    let density: f64 = 0;
    for (let t = 0; t < traits; t++) {
      density += <i32>load<i16>(own + (<usize>t << 1)) === MISSING
        ? load<f64>(expected + (<usize>(winner * traits + t) << 3))
        : load<f64>(lineOf(table, t) + (<usize>winner << 3));
    }
    store<i32>(persona + (<usize>row << 2), winner);
    store<f64>(probability + (<usize>row << 3), 1 / total);
    store<u8>(fitsNone + <usize>row, density < load<f64>(floors + (<usize>winner << 3)) ? 1 : 0);
  }
}

export function heapBase(): usize {
  return __heap_base;
}
