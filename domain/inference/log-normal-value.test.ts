import { describe, expect, test } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { fitLogNormalValue, amountMeanInterval } from "./log-normal-value.ts";

const PERSONAS = 5;
const STIMULI = 3;
const CELLS = PERSONAS * STIMULI;

/** A table of amounts whose truth is drawn from the model's own prior; some cells stay empty. */
const simulate = (random: RandomStream, rowsPerCell: number) => {
  const halfNormal = (median: number) => (Math.abs(random.normal()) * median) / 0.6744897501960817;
  const [tauPersona, tauStimulus, tauCell, sigma] = [0.3, 0.3, 0.3, 1].map(halfNormal);
  const a = Array.from({ length: PERSONAS }, () => tauPersona * random.normal());
  const b = Array.from({ length: STIMULI }, () => tauStimulus * random.normal());
  const mu = Float64Array.from({ length: CELLS }, (_, c) => 7 + a[Math.floor(c / STIMULI)] + b[c % STIMULI] + tauCell * random.normal());
  const amount: number[] = [];
  const persona: number[] = [];
  const stimulus: number[] = [];
  for (let c = 0; c < CELLS; c++) {
    if (c % 7 === 6) continue;
    for (let i = 0; i < rowsPerCell; i++) {
      amount.push(Math.exp(mu[c] + sigma * random.normal()));
      persona.push(Math.floor(c / STIMULI));
      stimulus.push(c % STIMULI);
    }
  }
  return {
    truth: mu.map((m) => Math.exp(m + (sigma * sigma) / 2)),
    rows: {
      amount: Float64Array.from(amount), persona: Int32Array.from(persona), stimulus: Int32Array.from(stimulus),
      personaCount: PERSONAS, stimulusCount: STIMULI,
    },
  };
};

describe("log-normal value model", () => {
  test("90 % intervals of E[amount | response] cover the truth, empty cells included (seed 11, 400 tables)", () => {
    let inside = 0;
    let insideEmpty = 0;
    let empty = 0;
    const tables = 400;
    for (let t = 0; t < tables; t++) {
      const { truth, rows } = simulate(RandomStream.of(11, `table ${t}`), 4);
      const { draws } = fitLogNormalValue(rows, { worlds: 200, random: RandomStream.of(11, `fit ${t}`) });
      for (let c = 0; c < CELLS; c++) {
        let below = 0;
        for (let w = 0; w < 200; w++) if (draws[w * CELLS + c] < truth[c]) below++;
        const hit = below >= 10 && below <= 190 ? 1 : 0;
        inside += hit;
        if (c % 7 === 6) {
          empty++;
          insideEmpty += hit;
        }
      }
    }
    // At least 2 independent cells a table: sd below sqrt(.09 / 800) = .011; 2.5 sd. Empty cells: sd .015.
    console.info(`coverage ${(inside / (tables * CELLS)).toFixed(3)}, empty cells ${(insideEmpty / empty).toFixed(3)}`);
    expect(Math.abs(inside / (tables * CELLS) - 0.9)).toBeLessThan(0.027);
    expect(Math.abs(insideEmpty / empty - 0.9)).toBeLessThan(0.04);
  });

  test("many rows pull a cell to its own mean, few leave it near its persona and stimulus", () => {
    const random = RandomStream.of(3, "shrinkage");
    const sizes = [2000, 2000, 2000, 2];
    const logMeans = [5, 5.2, 4.9, 7];
    const amount: number[] = [];
    const persona: number[] = [];
    const stimulus: number[] = [];
    sizes.forEach((size, c) => {
      for (let i = 0; i < size; i++) {
        // The small cell's log amounts are 6.5 and 7.5 exactly, so that its own mean is 7.
        amount.push(Math.exp(logMeans[c] + (size === 2 ? i - 0.5 : 0.5 * random.normal())));
        persona.push(c >> 1);
        stimulus.push(c & 1);
      }
    });
    const posterior = fitLogNormalValue(
      { amount: Float64Array.from(amount), persona: Int32Array.from(persona), stimulus: Int32Array.from(stimulus), personaCount: 2, stimulusCount: 2 },
      { worlds: 400, random: RandomStream.of(3, "fit") },
    );
    expect(posterior.mu[0].median).toBeCloseTo(5, 1);
    expect(posterior.mean[0]).toBeGreaterThan(Math.exp(5 + 0.125) * 0.95);
    expect(posterior.mean[0]).toBeLessThan(Math.exp(5 + 0.125) * 1.05);
    // Two rows at 7 beside neighbors at 5: between both, and uncertain.
    expect(posterior.mu[3].median).toBeGreaterThan(5.3);
    expect(posterior.mu[3].median).toBeLessThan(7);
    expect(posterior.mu[3].high - posterior.mu[3].low).toBeGreaterThan(5 * (posterior.mu[0].high - posterior.mu[0].low));
    expect(posterior.sigma.median).toBeCloseTo(0.5, 1);
  });

  test("weights stand for repeated rows", () => {
    const once = { amount: Float64Array.of(10, 10, 30, 5), persona: Int32Array.of(0, 0, 1, 1), stimulus: Int32Array.of(0, 0, 0, 0), personaCount: 2, stimulusCount: 1 };
    const weighted = { amount: Float64Array.of(10, 30, 5), persona: Int32Array.of(0, 1, 1), stimulus: Int32Array.of(0, 0, 0), personaCount: 2, stimulusCount: 1, weight: Float64Array.of(2, 1, 1) };
    const a = fitLogNormalValue(once, { worlds: 50, random: RandomStream.of(1, "w") });
    const b = fitLogNormalValue(weighted, { worlds: 50, random: RandomStream.of(1, "w") });
    for (let i = 0; i < a.mean.length; i++) expect(Math.abs(a.mean[i] / b.mean[i] - 1)).toBeLessThan(1e-6);
  });

  test("the predictive interval of an observed mean holds it 90 % of the time, where the credible one of its expectation does not (seed 12, 1,000 means)", () => {
    const random = RandomStream.of(12, "means of amounts");
    const worlds = 40, count = 25, cases = 1000;
    let inside = 0, insideCredible = 0;
    for (let t = 0; t < cases; t++) {
      // Worlds and truth come from one distribution, as those of a posterior that is right.
      const center = 100 * Math.exp(random.normal()), sigma = 0.5 + 0.5 * random.uniform();
      const expectations = Float64Array.from({ length: worlds }, () => center * Math.exp(0.1 * random.normal()));
      const truth = center * Math.exp(0.1 * random.normal());
      const observed = Array.from({ length: count }, () => truth * Math.exp(sigma * random.normal() - sigma ** 2 / 2)).reduce((a, b) => a + b, 0) / count;
      const predictive = amountMeanInterval(expectations, expectations.map((each) => (each ** 2 * Math.expm1(sigma ** 2)) / count));
      const credible = amountMeanInterval(expectations, new Float64Array(worlds));
      const sorted = expectations.toSorted();
      expect(credible.low >= sorted[1] * (1 - 1e-8) && credible.low <= sorted[2] * (1 + 1e-8) && credible.high >= sorted[37] * (1 - 1e-8) && credible.high <= sorted[38] * (1 + 1e-8)).toBe(true);
      expect(predictive.mean).toBe(credible.mean);
      if (predictive.low <= observed && observed <= predictive.high) inside++;
      if (credible.low <= observed && observed <= credible.high) insideCredible++;
    }
    // sd .0095; 2.5 of it.
    expect(Math.abs(inside / cases - 0.9)).toBeLessThan(0.024);
    expect(insideCredible / cases).toBeLessThan(0.8);
  });

  test("one row is enough, none is refused, a zero amount is named", () => {
    const one = { amount: Float64Array.of(12), persona: Int32Array.of(0), stimulus: Int32Array.of(1), personaCount: 2, stimulusCount: 2 };
    const posterior = fitLogNormalValue(one, { worlds: 100, random: RandomStream.of(1, "one") });
    expect(posterior.draws.every(Number.isFinite)).toBe(true);
    expect(posterior.sigmaDraws).toHaveLength(100);
    expect(posterior.sigmaDraws.every((sigma) => sigma > 0)).toBe(true);
    const none = { ...one, amount: new Float64Array(0) };
    expect(() => fitLogNormalValue(none, { worlds: 10, random: RandomStream.of(1, "x") })).toThrow(/no row has an amount/);
    const zero = { ...one, amount: Float64Array.of(0) };
    expect(() => fitLogNormalValue(zero, { worlds: 10, random: RandomStream.of(1, "x") })).toThrow(/value row 0: amount 0/);
  });
});
