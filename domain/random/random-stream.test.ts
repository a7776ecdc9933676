import { describe, expect, it } from "vitest";
import { RandomStream } from "./random-stream.ts";

// Fixed seed: a failure here is reproducible as it stands. Bounds are 4.5 standard errors of the closed-form moments.
const SEED = 20261123;
const DRAWS = 40_000;

describe("RandomStream", () => {
  it("repeats itself for the same seed and name and differs for another of either", () => {
    const words = (stream: RandomStream) => Array.from({ length: 9 }, () => stream.uint32());
    const first = words(RandomStream.of(SEED, "a"));
    expect(words(RandomStream.of(SEED, "a"))).toEqual(first);
    for (const other of [RandomStream.of(SEED, "b"), RandomStream.of(SEED + 1, "a"), RandomStream.of(String(SEED), "a")]) {
      expect(words(other)).not.toEqual(first);
    }
    expect(RandomStream.of("s", "ab").child("c").uint32()).not.toBe(RandomStream.of("s", "a").child("bc").uint32());
  });

  it("gives a child that does not depend on how far its parent was read", () => {
    const fresh = RandomStream.of(SEED, "parent"), read = RandomStream.of(SEED, "parent");
    for (let i = 0; i < 101; i++) read.normal();
    expect(read.child("x").uint32()).toBe(fresh.child("x").uint32());
  });

  it("gives independent streams to different names: neither correlated nor lagged", () => {
    const names = ["openings", "clicks", "openings/1", "openings/2"];
    const draws = names.map((name) => { const s = RandomStream.of(SEED, name); return Array.from({ length: DRAWS }, () => s.uniform() - 0.5); });
    for (let a = 0; a < names.length; a++) {
      for (let b = a + 1; b < names.length; b++) {
        for (const lag of [0, 1, 2]) {
          let sum = 0;
          for (let i = lag; i < DRAWS; i++) sum += draws[a][i] * draws[b][i - lag];
          expect(Math.abs((12 * sum) / DRAWS), `${names[a]} and ${names[b]} at lag ${lag}`).toBeLessThan(4.5 / Math.sqrt(DRAWS));
        }
      }
    }
  });

  it("draws uniforms strictly inside (0, 1) with equal cells", () => {
    const stream = RandomStream.of(SEED, "uniform"), cells = new Array<number>(64).fill(0);
    for (let i = 0; i < DRAWS; i++) {
      const u = stream.uniform();
      expect(u > 0 && u < 1).toBe(true);
      cells[Math.floor(u * 64)]++;
    }
    // chi-square with 63 degrees of freedom: its 0.9999 quantile is 113.5 (scipy.stats.chi2.ppf).
    expect(chiSquare(cells, DRAWS / 64)).toBeLessThan(114);
  });

  it("draws normals with the moments of the standard normal", () => {
    const stream = RandomStream.of(SEED, "normal");
    const x = Float64Array.from({ length: DRAWS }, () => stream.normal());
    // E x^k and its variance for k = 1..4: 0/1, 1/2, 0/15, 3/96.
    [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]].forEach(([power, mean, variance]) => {
      const sum = x.reduce((total, value) => total + value ** power, 0);
      expect(Math.abs(sum / DRAWS - mean), `moment ${power}`).toBeLessThan(4.5 * Math.sqrt(variance / DRAWS));
    });
  });

  it("draws gamma numbers of mean and variance equal to the shape, below and above 1", () => {
    for (const shape of [0.05, 0.5, 1, 3.7, 250]) {
      const stream = RandomStream.of(SEED, `gamma ${shape}`);
      const x = Float64Array.from({ length: DRAWS }, () => stream.gamma(shape));
      const fourth = 3 * shape * shape + 6 * shape;
      checkMoments(x, shape, shape, fourth, `shape ${shape}`);
    }
  });

  it("draws beta numbers of the closed-form mean and variance and survives tiny parameters", () => {
    for (const [a, b] of [[2, 5], [0.3, 0.4], [40, 1]]) {
      const stream = RandomStream.of(SEED, `beta ${a} ${b}`);
      const x = Float64Array.from({ length: DRAWS }, () => stream.beta(a, b));
      const mean = a / (a + b), variance = (a * b) / ((a + b) ** 2 * (a + b + 1));
      const excess = (6 * ((a - b) ** 2 * (a + b + 1) - a * b * (a + b + 2))) / (a * b * (a + b + 2) * (a + b + 3));
      checkMoments(x, mean, variance, (excess + 3) * variance * variance, `beta ${a} ${b}`);
    }
    const tiny = RandomStream.of(SEED, "tiny");
    for (let i = 0; i < 1000; i++) expect(Number.isNaN(tiny.beta(1e-5, 1e-5))).toBe(false);
  });

  it("draws Dirichlet shares that sum to 1 with means alpha / sum", () => {
    const alphas = [0.2, 1, 4, 10], total = 15.2, sums = [0, 0, 0, 0];
    const stream = RandomStream.of(SEED, "dirichlet");
    for (let i = 0; i < DRAWS; i++) {
      const shares = stream.dirichlet(alphas);
      expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      shares.forEach((share, k) => { sums[k] += share; });
    }
    alphas.forEach((alpha, k) => {
      const mean = alpha / total, variance = (mean * (1 - mean)) / (total + 1);
      expect(Math.abs(sums[k] / DRAWS - mean)).toBeLessThan(4.5 * Math.sqrt(variance / DRAWS));
    });
  });

  it("draws integers evenly, at the largest bound too, and refuses a bound below 1", () => {
    const stream = RandomStream.of(SEED, "integer"), cells = new Array<number>(7).fill(0);
    for (let i = 0; i < DRAWS; i++) cells[stream.integer(7)]++;
    expect(chiSquare(cells, DRAWS / 7)).toBeLessThan(27.9); // 6 degrees of freedom, 0.9999 quantile 27.86 (scipy)
    // 3 * 2^30 is where taking a remainder without rejection would favor the lower third by 2 to 1.
    let lower = 0;
    for (let i = 0; i < DRAWS; i++) if (stream.integer(3 * 2 ** 30) < 2 ** 30) lower++;
    expect(Math.abs(lower / DRAWS - 1 / 3)).toBeLessThan(4.5 * Math.sqrt(2 / 9 / DRAWS));
    const large = stream.integer(2 ** 53);
    expect(Number.isSafeInteger(large) && large >= 0).toBe(true);
    expect(() => stream.integer(0)).toThrow(/expected an integer/);
  });

  it("draws binomial numbers with the right moments, and all or nothing at the ends", () => {
    const stream = RandomStream.of(SEED, "binomial");
    for (const [n, p] of [[7, 0.3], [40, 0.02], [1_000, 0.5], [100_000, 0.003]] as const) {
      const variance = n * p * (1 - p);
      checkMoments(Float64Array.from({ length: DRAWS / 4 }, () => stream.binomial(n, p)), n * p, variance, variance * (1 + 3 * variance - 6 * p * (1 - p)), `binomial ${n} ${p}`);
    }
    expect([stream.binomial(0, 0.5), stream.binomial(500, 0), stream.binomial(500, 1)]).toEqual([0, 0, 500]);
  });

  it("shuffles into every order equally often", () => {
    const stream = RandomStream.of(SEED, "shuffle"), seen = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const order = [0, 1, 2, 3];
      stream.shuffle(order);
      seen.set(order.join(), (seen.get(order.join()) ?? 0) + 1);
    }
    expect(seen.size).toBe(24);
    expect(chiSquare([...seen.values()], 1000)).toBeLessThan(57.1); // 23 degrees of freedom, 0.9999 quantile 57.07 (scipy)
  });
});

function chiSquare(cells: readonly number[], expected: number): number {
  return cells.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

function checkMoments(x: Float64Array, mean: number, variance: number, fourthCentral: number, label: string): void {
  const average = x.reduce((a, b) => a + b, 0) / x.length;
  const spread = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
  expect(Math.abs(average - mean), `${label}: mean`).toBeLessThan(4.5 * Math.sqrt(variance / x.length));
  expect(Math.abs(spread - variance), `${label}: variance`).toBeLessThan(4.5 * Math.sqrt((fourthCentral - variance ** 2) / x.length));
}
