import { describe, expect, it } from "vitest";
import { RandomStream } from "../random/random-stream.ts";
import { BINARY_CODE, MISSING } from "./trait.ts";
import type { TraitCoding } from "./trait.ts";
import { decode, encode, encodeNumber, numericValue } from "./coding.ts";
import { assign, assignRows, logDensity } from "./density.ts";
import { adjustedRand, fitMixture } from "./mixture.ts";

const coding = (name: string, kind: TraitCoding["kind"], levels: readonly string[] = []): TraitCoding => ({ name, kind, unit: "", transform: kind === "count" ? "log1p" : "identity", levels, center: 0, scale: 1, slot: 0 });
const codings = [coding("spend", "continuous"), coding("member", "binary", ["no", "yes"]), coding("town", "categorical", ["A", "B", "C", "other"])];

/** Three known personas; every tenth value missing. */
const TRUTH = [
  { share: 0.5, mean: -1.5, sd: 0.5, member: 0.1, town: [0.8, 0.1, 0.1] },
  { share: 0.3, mean: 0.5, sd: 0.5, member: 0.9, town: [0.1, 0.8, 0.1] },
  { share: 0.2, mean: 2, sd: 0.6, member: 0.5, town: [0.1, 0.1, 0.8] },
];

function drawn(rows: number, seed: number): { codes: Int16Array; truth: Int32Array } {
  const random = RandomStream.of(seed, "mixture test");
  const codes = new Int16Array(rows * 3), truth = new Int32Array(rows);
  const choose = (shares: readonly number[]): number => {
    let u = random.uniform(), i = 0;
    while (i < shares.length - 1 && u > shares[i]) u -= shares[i++];
    return i;
  };
  for (let row = 0; row < rows; row++) {
    truth[row] = choose(TRUTH.map((each) => each.share));
    const persona = TRUTH[truth[row]];
    codes[row * 3] = encodeNumber(codings[0], persona.mean + persona.sd * random.normal());
    codes[row * 3 + 1] = random.uniform() < persona.member ? BINARY_CODE : 0;
    codes[row * 3 + 2] = choose(persona.town);
    for (let t = 0; t < 3; t++) if (random.uniform() < 0.1) codes[row * 3 + t] = MISSING;
  }
  return { codes, truth };
}

describe("mixture of mixed traits", () => {
  const seed = 11;
  const { codes, truth } = drawn(4000, seed);
  const fitted = fitMixture({ codings, codes, weight: null }, { personas: "auto", random: RandomStream.of(seed, "fit") });

  it(`finds the number, shares and traits of known personas with values missing (seed ${seed})`, () => {
    expect(fitted.mixture.personas).toHaveLength(3);
    expect(adjustedRand(fitted.assignment, truth)).toBeGreaterThan(0.8);
    fitted.mixture.personas.forEach((persona, k) => {
      expect(Math.abs(persona.share - TRUTH[k].share)).toBeLessThan(0.03);
      const [spend, member, town] = persona.traits.map((trait) => trait.distribution);
      if (spend.kind !== "continuous" || member.kind !== "binary" || town.kind !== "categorical") throw new Error("kinds changed");
      // Members are those assigned, so a persona's edge is cut off a little: a tenth of a unit.
      expect(Math.abs(spend.mean - TRUTH[k].mean)).toBeLessThan(0.12);
      expect(Math.abs(member.alpha / (member.alpha + member.beta) - TRUTH[k].member)).toBeLessThan(0.06);
      expect(Math.abs(town.alphas[k] / town.alphas.reduce((a, b) => a + b) - TRUTH[k].town[k])).toBeLessThan(0.06);
    });
  });

  it("reports BIC and stability of every number tried", () => {
    expect(fitted.candidates.length).toBeGreaterThanOrEqual(4);
    expect(fitted.candidates[2].stability).toBeGreaterThan(0.8);
    expect(fitted.candidates[2].bic).toBeLessThan(fitted.candidates[1].bic);
  });

  it("assigns as the formula says, missing attributes left out", () => {
    const { mixture } = fitted;
    for (const row of [0, 1, 2, 57, 391]) {
      const x = codes.subarray(row * 3, row * 3 + 3);
      const scores = mixture.personas.map((persona, k) => Math.log(persona.share) + logDensity(mixture, k, x));
      const best = scores.indexOf(Math.max(...scores));
      const probability = Math.exp(scores[best]) / scores.reduce((sum, score) => sum + Math.exp(score), 0);
      const found = assign(mixture, x);
      expect(found.persona).toBe(best);
      expect(found.probability).toBeCloseTo(probability, 10);
      expect(assignRows(mixture, codes)[row]).toBe(best);
    }
    expect(assign(mixture, [MISSING, MISSING, MISSING]).persona).toBe(0);
  });

  it("says none fits for a row no persona explains, and for about 1 in 100 of its own", () => {
    expect(assign(fitted.mixture, [127, 0, 3]).fitsNone).toBe(true);
    let outside = 0;
    for (let row = 0; row < 4000; row++) if (assign(fitted.mixture, codes, row * 3).fitsNone) outside++;
    expect(outside / 4000).toBeGreaterThan(0.003);
    expect(outside / 4000).toBeLessThan(0.03);
  });

  it("is the same for the same stream and names personas by what sets them apart", () => {
    const again = fitMixture({ codings, codes, weight: null }, { personas: "auto", random: RandomStream.of(seed, "fit") });
    expect(again.mixture).toEqual(fitted.mixture);
    expect(fitted.mixture.personas.map((persona) => persona.name)).toEqual([expect.stringContaining("low spend"), expect.stringContaining("member"), expect.stringContaining("high spend")]);
  });

  it("keeps structureless rows in one persona", () => {
    const random = RandomStream.of(5, "noise");
    const noise = Int16Array.from({ length: 3000 }, (_, i) => (i % 3 === 0 ? encodeNumber(codings[0], random.normal()) : i % 3 === 1 ? (random.uniform() < 0.5 ? BINARY_CODE : 0) : random.integer(3)));
    expect(fitMixture({ codings, codes: noise, weight: null }, { personas: "auto", random: RandomStream.of(5, "fit") }).mixture.personas).toHaveLength(1);
  });

  it("leaves facts of the moment out of densities but in the personas' traits", () => {
    const moment = [codings[0], codings[1], { ...codings[2], inPersonas: false }];
    const { mixture } = fitMixture({ codings: moment, codes, weight: null }, { personas: 2, random: RandomStream.of(1, "fit") });
    expect(mixture.personas[0].traits[2].evidence.real).toBeGreaterThan(0);
    expect(logDensity(mixture, 0, [10, 0, 0])).toBe(logDensity(mixture, 0, [10, 0, 2]));
  });
});

describe("codes", () => {
  it("are the grid: 32 a unit, clamped, exact on their own values", () => {
    const spend = { ...coding("spend", "continuous"), center: 10, scale: 4 };
    expect(encodeNumber(spend, 14)).toBe(32);
    expect(encodeNumber(spend, 1e9)).toBe(127);
    expect(encodeNumber(spend, NaN)).toBe(MISSING);
    for (let code = -128; code < 128; code++) expect(encodeNumber(spend, decode(spend, code) as number)).toBe(code);
    expect(numericValue(spend, 32)).toBe(1);
  });

  it("read texts as requests hold them", () => {
    expect(encode(codings[1], "yes")).toBe(BINARY_CODE);
    expect(encode(codings[1], "maybe")).toBe(MISSING);
    expect(encode(codings[2], "Z")).toBe(3);
    expect(encode(codings[0], " 1.5 ")).toBe(48);
    expect(encode(codings[0], "one")).toBe(MISSING);
    expect(encode(codings[0], "")).toBe(MISSING);
  });
});
