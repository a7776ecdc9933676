import { PopulaceError } from "../error.ts";
import { philox4x32Into } from "./philox.ts";

/** Start of every chain: the first hexadecimal digits of pi, as in the Random123 known answers. */
const CHAIN_START: ChainState = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
/** Trials that are drawn one by one. */
const BINOMIAL_DIRECT = 24;
const TWO_32 = 0x1_0000_0000;
const TWO_53 = Number.MAX_SAFE_INTEGER + 1;

type ChainState = readonly [number, number, number, number];

/**
 * A seeded, named sequence of draws: the same for the same (seed, name) everywhere, independent of every other name, and
 * untouched by how far its parent or its siblings have been read.
 *
 * Identity: the UTF-8 bytes of the seed and then of the name are absorbed into 128 bits, eight bytes at a time, by
 * s' = philox4x32(counter = s, key = chunk) xor s (Davies-Meyer), the byte length first, so that no two lists of names share
 * their bytes by chance. Words 0 and 1 of the result are the key, words 2 and 3 the upper half of the counter, whose lower
 * half counts blocks of four words: 2^66 draws a stream. Not for secrets.
 */
export class RandomStream {
  readonly #state: ChainState;
  readonly #block = new Uint32Array(4);
  #counterLow = 0;
  #counterHigh = 0;
  #word = 4;
  /** Second normal of the polar method; NaN = none kept. */
  #spare = Number.NaN;

  private constructor(state: ChainState) {
    this.#state = state;
  }

  /** The stream of that name under that seed. The number 7 and the string "7" are different seeds. */
  static of(seed: number | string, name: string): RandomStream {
    return new RandomStream(absorb(absorb(CHAIN_START, `${typeof seed}:${seed}`), name));
  }

  /** The stream named `name` below this one; does not depend on the draws taken so far. */
  child(name: string): RandomStream {
    return new RandomStream(absorb(this.#state, name));
  }

  /** A uniform integer in 0 .. 2^32 - 1. */
  uint32(): number {
    if (this.#word === 4) {
      philox4x32Into(this.#block, this.#counterLow, this.#counterHigh, this.#state[2], this.#state[3], this.#state[0], this.#state[1]);
      this.#counterLow = (this.#counterLow + 1) >>> 0;
      if (this.#counterLow === 0) this.#counterHigh = (this.#counterHigh + 1) >>> 0;
      this.#word = 0;
    }
    return this.#block[this.#word++];
  }

  /** A uniform number strictly between 0 and 1: one of the 2^52 odd multiples of 2^-53, so neither 0 nor 1 can come out. */
  uniform(): number {
    const high = this.uint32() >>> 6, low = this.uint32() >>> 6;
    return (high * 0x400_0000 + low + 0.5) / 0x10_0000_0000_0000;
  }

  /** A standard normal number. Polar method (Marsaglia and Bray 1964). */
  normal(): number {
    if (!Number.isNaN(this.#spare)) {
      const kept = this.#spare;
      this.#spare = Number.NaN;
      return kept;
    }
    for (;;) {
      const x = 2 * this.uniform() - 1, y = 2 * this.uniform() - 1;
      const radius = x * x + y * y;
      if (radius >= 1 || radius === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(radius)) / radius);
      this.#spare = y * factor;
      return x * factor;
    }
  }

  /** A gamma number with that shape (> 0) and scale 1. Marsaglia and Tsang 2000; may underflow to 0 for shapes below 0.01. */
  gamma(shape: number): number {
    return Math.exp(this.#logGamma(shape));
  }

  /** A beta number in [0, 1]; both parameters > 0. Formed from logarithms, so tiny parameters give 0 or 1 and never NaN. */
  beta(a: number, b: number): number {
    const logA = this.#logGamma(a), logB = this.#logGamma(b);
    return 1 / (1 + Math.exp(logB - logA));
  }

  /** Shares from the Dirichlet distribution with those parameters (each > 0); they sum to 1 up to rounding. */
  dirichlet(alphas: ArrayLike<number>): Float64Array {
    const shares = new Float64Array(alphas.length);
    let largest = -Infinity;
    for (let i = 0; i < shares.length; i++) {
      shares[i] = this.#logGamma(alphas[i]);
      if (shares[i] > largest) largest = shares[i];
    }
    let sum = 0;
    for (let i = 0; i < shares.length; i++) sum += shares[i] = Math.exp(shares[i] - largest);
    for (let i = 0; i < shares.length; i++) shares[i] /= sum;
    return shares;
  }

  /** A uniform integer in 0 .. below - 1, without bias (rejection); below is an integer in 1 .. 2^53. */
  integer(below: number): number {
    if (!Number.isInteger(below) || below < 1 || below > TWO_53) {
      throw new PopulaceError("INTERNAL", `RandomStream.integer: below is ${below}, expected an integer in 1 .. 2^53`, { below });
    }
    if (below <= TWO_32) {
      const limit = TWO_32 - (TWO_32 % below);
      for (;;) {
        const word = this.uint32();
        if (word < limit) return word % below;
      }
    }
    const limit = TWO_53 - (TWO_53 % below);
    for (;;) {
      const value = (this.uint32() >>> 11) * TWO_32 + this.uint32();
      if (value < limit) return value % below;
    }
  }

  /**
   * A binomial number: successes among `n` (a whole number from 0) trials of chance `p`. Exact: an order statistic of the trials' uniforms,
   * Beta distributed, halves the trials until few are left (Devroye 1986, X.4.3). O(log n) draws.
   */
  binomial(n: number, p: number): number {
    let successes = 0, trials = n, chance = p;
    while (trials > BINOMIAL_DIRECT) {
      const middle = (trials + 1) >>> 1, order = this.beta(middle, trials + 1 - middle);
      if (order <= chance) {
        successes += middle;
        trials -= middle;
        chance = order < 1 ? (chance - order) / (1 - order) : 0;
      } else {
        trials = middle - 1;
        chance /= order;
      }
    }
    for (let trial = 0; trial < trials; trial++) if (this.uniform() < chance) successes++;
    return successes;
  }

  /** Puts the elements of `array` into a uniformly random order, in place (Fisher and Yates). */
  shuffle(array: { length: number; [index: number]: unknown }): void {
    for (let last = array.length - 1; last > 0; last--) {
      const other = this.integer(last + 1);
      const kept = array[last];
      array[last] = array[other];
      array[other] = kept;
    }
  }

  /** Logarithm of a gamma number: shapes below 1 are reached from shape + 1 by adding log(U) / shape, which exp would flush to 0. */
  #logGamma(shape: number): number {
    if (!(shape > 0) || shape === Infinity) {
      throw new PopulaceError("INTERNAL", `RandomStream: gamma shape is ${shape}, expected a finite number above 0`, { shape });
    }
    if (shape < 1) return this.#logGamma(shape + 1) + Math.log(this.uniform()) / shape;
    const d = shape - 1 / 3, c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const root = 1 + c * x;
      if (root <= 0) continue;
      const v = root * root * root;
      if (Math.log(this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d) + Math.log(v);
    }
  }
}

function absorb(start: ChainState, text: string): ChainState {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(8 * (1 + Math.ceil(bytes.length / 8)));
  const view = new DataView(padded.buffer);
  view.setUint32(0, bytes.length, true);
  padded.set(bytes, 8);
  let [s0, s1, s2, s3] = start;
  const out = new Uint32Array(4);
  for (let at = 0; at < padded.length; at += 8) {
    philox4x32Into(out, s0, s1, s2, s3, view.getUint32(at, true), view.getUint32(at + 4, true));
    s0 = (s0 ^ out[0]) >>> 0; s1 = (s1 ^ out[1]) >>> 0; s2 = (s2 ^ out[2]) >>> 0; s3 = (s3 ^ out[3]) >>> 0;
  }
  return [s0, s1, s2, s3];
}
