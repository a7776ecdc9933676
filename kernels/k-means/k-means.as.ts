// Kernel `k-means` (SPEC.md): assignment of all points to their nearest centers with bounds kept between steps, and the distances
// of greedy k-means++.
//
// For each row there is an upper bound of the distance to its own center and, for every group of eight centers (or several groups, when
// there are many), a lower bound of the distance to the others in it (Ding et al. 2015, "Yinyang"). Rows are taken by chunks: first the bounds
// say which row must look at which group, then each group is held against its rows, four at a time. Measured at 20,000 x 64 x 50 with
// overlapping clusters: one bound for all others opens so many rows that nothing is won; a bound for every center (16 bits) costs more
// to keep than it saves; row after row instead of group after group costs a third more.
import { squaredNorm } from "../lib/nearest.as";

const WORST: i32 = 0x7fffffff;

/** More than the rounding of a single float below 2^18, and of the sums and roots behind it. */
const OUTWARD: f64 = 0.04;

/** Rows of a chunk at most: positions in it take 16 bits, and their points are still in the cache when the groups come. */
const CHUNK_ROWS: usize = 1024;

let points: usize = 0, stride: usize = 0, rows: i32 = 0, pairs: i32 = 0;
let norms: usize = 0, labels: usize = 0, upper: usize = 0, moved: usize = 0, doubtful: usize = 0, weights: usize = 0, nearby: usize = 0;
let movedCount: i32 = 0, doubtfulCount: i32 = 0;

/**
 * Where everything lies (see wasm.ts). Points are rows of `pairs` pairs of int16, the rest holds one number a row. Returns the first row
 * whose squared norm is above the limit, or -1.
 */
export function layOut(pointsAt: usize, rowTotal: i32, pairTotal: i32, normsAt: usize, labelsAt: usize, upperAt: usize, movedAt: usize, doubtfulAt: usize, weightsAt: usize, nearbyAt: usize, limit: f64): i32 {
  points = pointsAt;
  rows = rowTotal;
  pairs = pairTotal;
  stride = <usize>pairTotal << 2;
  norms = normsAt;
  labels = labelsAt;
  upper = upperAt;
  moved = movedAt;
  doubtful = doubtfulAt;
  weights = weightsAt;
  nearby = nearbyAt;
  const most = <u64>limit;
  for (let row = 0; row < rows; row++) {
    const norm = squaredNorm(points + <usize>row * stride, pairs);
    if (norm > most) return row;
    store<i32>(norms + (<usize>row << 2), <i32>norm);
  }
  return -1;
}

/** Forgets the centers: the next step compares every row with every center. */
export function forget(): void {
  for (let row = 0; row < rows; row++) store<i32>(labels + (<usize>row << 2), -1);
}

/** Empties the lists of a step. */
export function begin(): void {
  movedCount = 0;
  doubtfulCount = 0;
}

/** Bytes of scratch for so many bounds. */
export function scratchBytes(bounds: i32): usize {
  return CHUNK_ROWS * 34 + <usize>((bounds + 3) & ~3) * (CHUNK_ROWS * 6 + 4);
}

/**
 * Assigns rows `first` to `end` - 1, at most `CHUNK_ROWS`, appending those moved to another center to `moved`, and those whose runner-up is not
 * farther by more than `slack` to `doubtful`. `lower` holds a multiple of four bounds a row, `bounds` of them in use, each for 2^`spanBits`
 * groups; `shifts` the distance each center has moved since the last step and `boundShifts` the largest of each bound, outward.
 */
export function assign(first: i32, end: i32, centers: usize, count: i32, packed: usize, biases: usize, groups: i32, centerNorms: usize, shifts: usize, lower: usize, boundShifts: usize, bounds: i32, spanBits: i32, scratch: usize, slack: f64): void {
  const wide: usize = <usize>((bounds + 3) & ~3) << 2;
  states = scratch;
  opened = states + CHUNK_ROWS * 16;
  const keeps = opened + CHUNK_ROWS * 4, lefts = keeps + CHUNK_ROWS * 4, reaches = lefts + CHUNK_ROWS * 4, openToAll = reaches + CHUNK_ROWS * 4;
  founds = openToAll + CHUNK_ROWS * 2;
  const counts = founds + CHUNK_ROWS * wide;
  const lists = counts + wide;
  for (let bound: usize = 0; bound < wide; bound += 4) store<i32>(counts + bound, 0);

  let open: usize = 0, allCount: usize = 0;
  for (let row = first; row < end; row++) {
    const four: usize = <usize>row << 2;
    const own = lower + <usize>row * wide;
    const label = load<i32>(labels + four);
    let reach: f32 = Infinity;
    let best = WORST, left = WORST, winner = -1, kept = -1;
    if (label >= 0) {
      let nearest = f32x4.splat(Infinity);
      for (let b: usize = 0; b < wide; b += 16) {
        const bound = f32x4.sub(v128.load(own + b), v128.load(boundShifts + b));
        v128.store(own + b, bound);
        nearest = f32x4.min(nearest, bound);
      }
      nearest = f32x4.min(nearest, i32x4.shuffle(nearest, nearest, 2, 3, 0, 1));
      nearest = f32x4.min(nearest, i32x4.shuffle(nearest, nearest, 1, 0, 3, 2));
      const closest = f32x4.extract_lane(nearest, 0);
      const loose = <f64>load<f32>(upper + four) + load<f64>(shifts + (<usize>label << 3));
      // Equal scores may be one apart in squared distance, the bit that halving drops: at most one in distance.
      if (<f64>closest > loose + slack + 1.01 + OUTWARD) {
        store<f32>(upper + four, <f32>(loose + OUTWARD));
        continue;
      }
      const squares = load<i32>(centerNorms + (<usize>label << 2));
      left = (squares >> 1) - dot(points + <usize>row * stride, centers + <usize>label * stride);
      const distance = distanceOf(load<i32>(norms + four), left, squares);
      reach = <f32>(distance + slack + 1.01 + 2 * OUTWARD);
      store<f32>(upper + four, <f32>(distance + OUTWARD));
      if (closest > reach) continue;
      kept = label >> 3 >> spanBits;
      // Where its group is looked at anyway, it must not count twice.
      if (load<f32>(own + (<usize>kept << 2)) > reach) {
        best = left;
        winner = label;
      } else kept = -1;
    }
    let near = 0;
    for (let b: usize = 0; b < wide; b += 16) {
      // Places beyond the last bound do not count.
      const places = bounds - <i32>(b >> 2);
      near += popcnt(i32x4.bitmask(f32x4.le(v128.load(own + b), f32x4.splat(reach))) & ((1 << min(places, 4)) - 1));
    }
    if (near >= bounds) {
      store<u16>(openToAll + (allCount << 1), <u16>open);
      allCount++;
    } else {
      for (let b: usize = 0; b < wide; b += 16) {
        let mask = i32x4.bitmask(f32x4.le(v128.load(own + b), f32x4.splat(reach)));
        while (mask !== 0) {
          const bound = b + (<usize>ctz(mask) << 2);
          mask &= mask - 1;
          if (bound >> 2 >= <usize>bounds) break;
          const listed: usize = load<i32>(counts + bound);
          store<u16>(lists + (((bound >> 2) * CHUNK_ROWS + listed) << 1), <u16>open);
          store<i32>(counts + bound, <i32>listed + 1);
        }
      }
    }
    v128.store(states + (open << 4), i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(WORST), 0, best), 1, winner));
    const at = open << 2;
    store<i32>(opened + at, row);
    store<i32>(keeps + at, kept);
    store<i32>(lefts + at, left);
    store<f32>(reaches + at, reach);
    open++;
  }

  for (let bound = 0; bound < bounds; bound++) {
    look(bound, <i32>allCount, openToAll, packed, biases, groups, wide, spanBits);
    look(bound, load<i32>(counts + (<usize>bound << 2)), lists + ((<usize>bound * CHUNK_ROWS) << 1), packed, biases, groups, wide, spanBits);
  }

  for (let at: usize = 0; at < open << 2; at += 4) {
    const row = load<i32>(opened + at), state = states + (at << 2);
    const best = load<i32>(state), winner = load<i32>(state, 4), second = load<i32>(state, 8);
    const four: usize = <usize>row << 2;
    const norm = load<i32>(norms + four);
    const own = lower + <usize>row * wide;
    const reach = f32x4.splat(load<f32>(reaches + at)), halfAndOne = i32x4.splat((norm >> 1) + 1);
    const table = founds + (at >> 2) * wide;
    // The winner's bound is that of the others beside it. (One that was not looked at stays as it is, whatever the table holds.)
    store<i32>(table + (<usize>(winner >> 3 >> spanBits) << 2), load<i32>(state, 12));
    for (let b: usize = 0; b < wide; b += 16) {
      const known = v128.load(own + b);
      // floor(squared distance / 2), or one less but not below 0, unsigned: the root of twice that, less the roundings of single floats.
      const halves = i32x4.sub(i32x4.max_u(i32x4.add(halfAndOne, v128.load(table + b)), i32x4.splat(1)), i32x4.splat(1));
      const fresh = f32x4.mul(f32x4.sqrt(f32x4.convert_i32x4_u(halves)), f32x4.splat(1.4142131));
      v128.store(own + b, v128.bitselect(known, fresh, f32x4.gt(known, reach)));
    }
    const kept = load<i32>(keeps + at);
    if (kept >= 0 && winner !== load<i32>(labels + four)) {
      // The center that the row left belongs to the others now.
      const keptAt = own + (<usize>kept << 2);
      store<f32>(keptAt, min<f32>(load<f32>(keptAt), <f32>(Math.sqrt(<f64>norm + 2 * <f64>load<i32>(lefts + at)) - OUTWARD)));
    }
    const distance = distanceOf(norm, best, load<i32>(centerNorms + (<usize>winner << 2)));
    store<f32>(upper + four, <f32>(distance + OUTWARD));
    // Where nobody else was looked at, nobody else is near. (Beside a single center the second is a score that cannot be.)
    if ((second !== WORST || count === 1) && !(<f64>norm + 2 * <f64>second > (distance + slack) * (distance + slack))) {
      store<i32>(doubtful + (<usize>doubtfulCount << 2), row);
      doubtfulCount++;
    }
    if (winner !== load<i32>(labels + four)) {
      store<i32>(labels + four, winner);
      store<i32>(moved + (<usize>movedCount << 2), row);
      movedCount++;
    }
  }
}

/**
 * What is known of the open rows of a chunk: which rows they are; best score, its center, the second, and the second among the winner's bound (four
 * numbers side by side); and for each bound that was looked at the best score.
 */
let opened: usize = 0, states: usize = 0, founds: usize = 0;

/** Holds the groups of one bound against the open rows in its list. */
function look(bound: i32, count: i32, list: usize, packed: usize, biases: usize, groups: i32, wide: usize, spanBits: i32): void {
  const firstGroup = bound << spanBits, endGroup = min((bound + 1) << spanBits, groups);
  for (let place = 0; place < count; place += 4) {
    const last = count - 1;
    const at0 = <usize>load<u16>(list + (<usize>place << 1)) << 2;
    const at1 = <usize>load<u16>(list + (<usize>min(place + 1, last) << 1)) << 2;
    const at2 = <usize>load<u16>(list + (<usize>min(place + 2, last) << 1)) << 2;
    const at3 = <usize>load<u16>(list + (<usize>min(place + 3, last) << 1)) << 2;
    const r0 = points + <usize>load<i32>(opened + at0) * stride, r1 = points + <usize>load<i32>(opened + at1) * stride;
    const r2 = points + <usize>load<i32>(opened + at2) * stride, r3 = points + <usize>load<i32>(opened + at3) * stride;
    let best = i32x4.splat(WORST), second = best, index = i32x4.splat(0);
    for (let group = firstGroup; group < endGroup; group++) {
      const b = biases + (<usize>group << 5);
      let a00 = v128.load(b), a01 = v128.load(b, 16);
      let a10 = a00, a11 = a01, a20 = a00, a21 = a01, a30 = a00, a31 = a01;
      let c = packed + (<usize>group * <usize>pairs << 5);
      for (let p: usize = 0; p < stride; p += 4) {
        const c0 = v128.load(c), c1 = v128.load(c, 16);
        let x = v128.load32_splat(r0 + p);
        a00 = i32x4.add(a00, i32x4.dot_i16x8_s(x, c0));
        a01 = i32x4.add(a01, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r1 + p);
        a10 = i32x4.add(a10, i32x4.dot_i16x8_s(x, c0));
        a11 = i32x4.add(a11, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r2 + p);
        a20 = i32x4.add(a20, i32x4.dot_i16x8_s(x, c0));
        a21 = i32x4.add(a21, i32x4.dot_i16x8_s(x, c1));
        x = v128.load32_splat(r3 + p);
        a30 = i32x4.add(a30, i32x4.dot_i16x8_s(x, c0));
        a31 = i32x4.add(a31, i32x4.dot_i16x8_s(x, c1));
        c += 32;
      }
      // Turned around, a vector holds one center's scores of the four rows.
      let lane = i32x4.splat(group << 3);
      let low0 = i32x4.shuffle(a00, a10, 0, 4, 1, 5), low1 = i32x4.shuffle(a20, a30, 0, 4, 1, 5);
      let high0 = i32x4.shuffle(a00, a10, 2, 6, 3, 7), high1 = i32x4.shuffle(a20, a30, 2, 6, 3, 7);
      let scores = i64x2.shuffle(low0, low1, 0, 2);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      scores = i64x2.shuffle(low0, low1, 1, 3);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      scores = i64x2.shuffle(high0, high1, 0, 2);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      scores = i64x2.shuffle(high0, high1, 1, 3);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      low0 = i32x4.shuffle(a01, a11, 0, 4, 1, 5);
      low1 = i32x4.shuffle(a21, a31, 0, 4, 1, 5);
      high0 = i32x4.shuffle(a01, a11, 2, 6, 3, 7);
      high1 = i32x4.shuffle(a21, a31, 2, 6, 3, 7);
      scores = i64x2.shuffle(low0, low1, 0, 2);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      scores = i64x2.shuffle(low0, low1, 1, 3);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      scores = i64x2.shuffle(high0, high1, 0, 2);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
      lane = i32x4.add(lane, i32x4.splat(1));
      scores = i64x2.shuffle(high0, high1, 1, 3);
      index = v128.bitselect(lane, index, i32x4.lt_s(scores, best));
      second = i32x4.min_s(second, i32x4.max_s(scores, best));
      best = i32x4.min_s(best, scores);
    }
    store<i32>(founds + (at0 >> 2) * wide + (<usize>bound << 2), i32x4.extract_lane(best, 0));
    store<i32>(founds + (at1 >> 2) * wide + (<usize>bound << 2), i32x4.extract_lane(best, 1));
    store<i32>(founds + (at2 >> 2) * wide + (<usize>bound << 2), i32x4.extract_lane(best, 2));
    store<i32>(founds + (at3 >> 2) * wide + (<usize>bound << 2), i32x4.extract_lane(best, 3));
    // Four rows' states side by side, merged without a branch (a third of the new scores win, in no order), and turned back.
    const s0 = states + (at0 << 2), s1 = states + (at1 << 2), s2 = states + (at2 << 2), s3 = states + (at3 << 2);
    const known0 = v128.load(s0), known1 = v128.load(s1), known2 = v128.load(s2), known3 = v128.load(s3);
    let low01 = i32x4.shuffle(known0, known1, 0, 4, 1, 5), low23 = i32x4.shuffle(known2, known3, 0, 4, 1, 5);
    let high01 = i32x4.shuffle(known0, known1, 2, 6, 3, 7), high23 = i32x4.shuffle(known2, known3, 2, 6, 3, 7);
    let bests = i64x2.shuffle(low01, low23, 0, 2), winners = i64x2.shuffle(low01, low23, 1, 3);
    let seconds = i64x2.shuffle(high01, high23, 0, 2), beside = i64x2.shuffle(high01, high23, 1, 3);
    const takes = v128.or(i32x4.lt_s(best, bests), v128.and(i32x4.eq(best, bests), i32x4.lt_s(index, winners)));
    seconds = i32x4.min_s(i32x4.min_s(seconds, i32x4.max_s(bests, best)), second);
    bests = i32x4.min_s(bests, best);
    winners = v128.bitselect(index, winners, takes);
    beside = v128.bitselect(second, beside, takes);
    low01 = i32x4.shuffle(bests, winners, 0, 4, 1, 5);
    high01 = i32x4.shuffle(seconds, beside, 0, 4, 1, 5);
    low23 = i32x4.shuffle(bests, winners, 2, 6, 3, 7);
    high23 = i32x4.shuffle(seconds, beside, 2, 6, 3, 7);
    // The last rows may stand for missing ones: they hold the same and are stored again.
    v128.store(s3, i64x2.shuffle(low23, high23, 1, 3));
    v128.store(s2, i64x2.shuffle(low23, high23, 0, 2));
    v128.store(s1, i64x2.shuffle(low01, high01, 1, 3));
    v128.store(s0, i64x2.shuffle(low01, high01, 0, 2));
  }
}

/** The distance that a score stands for, exact before the root: halving the center's squared norm dropped its lowest bit. */
// @ts-ignore: decorator
@inline function distanceOf(norm: i32, score: i32, squares: i32): f64 {
  return Math.sqrt(<f64>norm + 2 * <f64>score + <f64>(squares & 1));
}

/** Rows in `moved` after the last step. */
export function movedRows(): i32 {
  return movedCount;
}

/** Rows in `doubtful` after the last step. */
export function doubtfulRows(): i32 {
  return doubtfulCount;
}

/** Lists the centers that are not farther from the row than its own by more than `slack`, its own among them, ascending; returns their number. */
export function rivals(row: i32, centers: usize, count: i32, centerNorms: usize, slack: f64, list: usize): i32 {
  const at = points + <usize>row * stride;
  const norm = <f64>load<i32>(norms + (<usize>row << 2));
  const label = load<i32>(labels + (<usize>row << 2));
  const squares = load<i32>(centerNorms + (<usize>label << 2));
  const own = Math.sqrt(norm + <f64>squares - 2 * <f64>dot(at, centers + <usize>label * stride)) + slack;
  let found = 0;
  for (let center = 0; center < count; center++) {
    const score = (load<i32>(centerNorms + (<usize>center << 2)) >> 1) - dot(at, centers + <usize>center * stride);
    if (norm + 2 * <f64>score > own * own) continue;
    store<i32>(list + (<usize>found << 2), center);
    found++;
  }
  return found;
}

/** x.c of two rows; below 2^31 because their norms are (SPEC.md). */
// @ts-ignore: decorator
@inline function dot(a: usize, b: usize): i32 {
  let sums = i32x4.splat(0);
  let at: usize = 0;
  for (; at + 16 <= stride; at += 16) sums = i32x4.add(sums, i32x4.dot_i16x8_s(v128.load(a + at), v128.load(b + at)));
  sums = i32x4.add(sums, i32x4.shuffle(sums, sums, 2, 3, 0, 1));
  let sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1);
  for (; at < stride; at += 4) sum += <i32>load<i16>(a + at) * <i32>load<i16>(b + at) + <i32>load<i16>(a + at, 2) * <i32>load<i16>(b + at, 2);
  return sum;
}

/** Starts the weights anew, at 2^32 - 1 each, near no row. */
export function spread(): void {
  for (let row = 0; row < rows; row++) {
    store<u32>(weights + (<usize>row << 2), 0xffffffff);
    store<u32>(nearby + (<usize>row << 2), 0);
  }
}

/**
 * For each chosen row the weight from which on a row near it may be nearer to one of the candidates (rows): a row x near m keeps its
 * weight when |m - c| >= 2 |x - m|, because |x - c| >= |m - c| - |x - m|. A weight w is floor(|x - m|^2 / 2), so |x - m|^2 <= 2 w + 1.
 */
export function reaches(chosen: usize, chosenCount: i32, candidates: usize, candidateCount: i32, limits: usize): void {
  for (let place = 0; place < chosenCount; place++) {
    const row = load<i32>(chosen + (<usize>place << 2));
    const norm = <i64>load<i32>(norms + (<usize>row << 2));
    let least: i64 = i64.MAX_VALUE;
    for (let index = 0; index < candidateCount; index++) {
      const candidate = load<i32>(candidates + (<usize>index << 2));
      least = min(least, norm + <i64>load<i32>(norms + (<usize>candidate << 2)) - 2 * <i64>dot(points + <usize>row * stride, points + <usize>candidate * stride));
    }
    store<u32>(limits + (<usize>place << 2), least < 4 ? 0 : <u32>min<i64>((least - 4) / 8 + 1, 0xffffffff));
  }
}

/**
 * Adds up, for each of eight candidates, floor(squared distance / 2) of every row or its weight where that is smaller; the eight sums are
 * stored as f64. `packed` holds the candidates as one group (negated, kernels/nearest/packing.ts), `candidateNorms` their squared norms,
 * `limits` what `reaches` found (absent at the first choice: 0).
 */
export function potentials(packed: usize, candidateNorms: usize, limits: usize, sums: usize): void {
  const norms0 = v128.load(candidateNorms), norms1 = v128.load(candidateNorms, 16);
  let sum0 = i64x2.splat(0), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  let untouched: u64 = 0;
  for (let row = 0; row < rows; row++) {
    const at: usize = <usize>row << 2;
    const own = load<u32>(weights + at);
    if (own < load<u32>(limits + (<usize>load<u32>(nearby + at) << 2))) {
      untouched += <u64>own;
      continue;
    }
    let a0 = i32x4.splat(0), a1 = a0;
    let c = packed;
    const from = points + <usize>row * stride;
    for (let p: usize = 0; p < stride; p += 4) {
      const x = v128.load32_splat(from + p);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, v128.load(c)));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, v128.load(c, 16)));
      c += 32;
    }
    const norm = v128.load32_splat(norms + at), weight = i32x4.splat(own);
    a0 = i32x4.min_u(weight, i32x4.add(i32x4.shr_u(i32x4.add(norm, norms0), 1), a0));
    a1 = i32x4.min_u(weight, i32x4.add(i32x4.shr_u(i32x4.add(norm, norms1), 1), a1));
    sum0 = i64x2.add(sum0, i64x2.extend_low_i32x4_u(a0));
    sum1 = i64x2.add(sum1, i64x2.extend_high_i32x4_u(a0));
    sum2 = i64x2.add(sum2, i64x2.extend_low_i32x4_u(a1));
    sum3 = i64x2.add(sum3, i64x2.extend_high_i32x4_u(a1));
  }
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum0, 0)));
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum0, 1)), 8);
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum1, 0)), 16);
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum1, 1)), 24);
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum2, 0)), 32);
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum2, 1)), 40);
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum3, 0)), 48);
  store<f64>(sums, <f64>(untouched + <u64>i64x2.extract_lane(sum3, 1)), 56);
}

/** Lowers the weights to floor(squared distance to the chosen row / 2) and returns their sum; `place` is the row's number among those chosen. */
export function choose(chosen: i32, place: i32, limits: usize): f64 {
  const center = points + <usize>chosen * stride;
  const norm = <u32>load<i32>(norms + (<usize>chosen << 2));
  let sum: u64 = 0;
  for (let row = 0; row < rows; row++) {
    const at: usize = <usize>row << 2;
    let weight = load<u32>(weights + at);
    if (weight >= load<u32>(limits + (<usize>load<u32>(nearby + at) << 2))) {
      const half = ((<u32>load<i32>(norms + at) + norm) >> 1) - <u32>dot(points + <usize>row * stride, center);
      if (half < weight) {
        weight = half;
        store<u32>(weights + at, half);
        store<u32>(nearby + at, place);
      }
    }
    sum += <u64>weight;
  }
  return <f64>sum;
}

/** The first row at which the running sum of the weights passes the target; of weight 0 never, unless all are. */
export function draw(target: f64): i32 {
  let sum: u64 = 0;
  let last = 0;
  for (let row = 0; row < rows; row++) {
    const weight = load<u32>(weights + (<usize>row << 2));
    if (weight === 0) continue;
    sum += <u64>weight;
    last = row;
    if (<f64>sum > target) return row;
  }
  return last;
}

export function heapBase(): usize {
  return __heap_base;
}
