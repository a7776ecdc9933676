import type { PopulaceError, Stimulus, Term, TraitDistribution } from "@populace/domain";
import { openBackend } from "@populace/kernels";
import { describe, expect, it } from "vitest";
import { coding, contact, handModel } from "./hand-model.fixture.ts";
import type { HandModel } from "./hand-model.fixture.ts";
import type { Model } from "./model.ts";
import { responseSurface, surfaceRequest } from "./response-surface.ts";
import type { ResponseSurface, SurfaceNames, SurfaceOptions } from "./response-surface.ts";

const kernel = (await openBackend("reference", "responseSurface")).kernels.responseSurface;
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const normal = (mean: number, sd: number): TraitDistribution => ({ kind: "continuous", mean, kappa: 1e9, shape: 1e9, rate: sd * sd * 1e9 });
const beta = (share: number): TraitDistribution => ({ kind: "binary", alpha: share * 1e6, beta: (1 - share) * 1e6 });

const TERMS: readonly Term[] = [
  { kind: "intercept" }, { kind: "stimulus", stimulus: 0 }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }, { kind: "feature", feature: 0 }, { kind: "trait-feature", trait: 0, level: -1, feature: 0 },
];
const offer = (name: string, priceCut: number, more: Partial<Stimulus> = {}): Stimulus => contact(name, { offer: { priceCut }, ...more });

/** Two offers that differ in their price cut, one trait "age" that changes what a cut does; two steps. */
const AGE: HandModel = {
  codings: [coding("age", "continuous", 0)], personas: [{ id: "all", share: 1, distributions: [normal(0.5, 1)] }],
  stimuli: [offer("small", 0.1), offer("large", 0.3)], steps: ["visit", "purchase"], terms: TERMS,
  coefficients: [[-1, 0.2, -0.1, 0.6, 1.5, -0.8], [-2, 0, 0.3, -0.4, 2, 0.5]], sd: 0, worlds: 1,
};
const withFeature = (hand: HandModel): Model => {
  const model = handModel(hand);
  return { ...model, response: { ...model.response, featureNames: ["priceCut"], features: hand.stimuli.map((stimulus) => [stimulus.offer.priceCut ?? 0]) } };
};
const surface = (model: Model, names: SurfaceNames, options: Partial<SurfaceOptions> = {}): Promise<ResponseSurface> =>
  responseSurface(model, surfaceRequest(model, names), kernel, { columns: 5, rows: 3, ...options });

describe("responseSurface", () => {
  it("equals the closed form where one trait and the price cut are all there is", async () => {
    const found = await surface(withFeature(AGE), { stimulus: "large", trait: "age", feature: "price" });
    expect(found.rows.values).toEqual([0.1, 0.2, 0.3].map((value) => expect.closeTo(value, 12)));
    expect(found.columns).toMatchObject({ name: "age", now: expect.closeTo(0.5, 9) });
    // Mean and two standard deviations either way.
    expect(found.columns.values[0]).toBeCloseTo(-1.5, 6);
    expect(found.columns.values[4]).toBeCloseTo(2.5, 6);
    found.rows.values.forEach((z, r) => found.columns.values.forEach((x, c) => {
      const visit = logistic(-1 - 0.1 + 0.6 * x + 1.5 * z - 0.8 * x * z), purchase = logistic(-2 + 0.3 - 0.4 * x + 2 * z + 0.5 * x * z);
      for (const each of [found.mean, found.low, found.high]) expect(each[r * 5 + c]).toBeCloseTo(visit * purchase, 12);
    }));
    const first = await surface(withFeature(AGE), { stimulus: "large", step: "visit", trait: "age", feature: "priceCut" }, { rows: 1, columns: 1 });
    expect(first.mean[0]).toBeCloseTo(logistic(-1.1 + 0.6 * 0.5 + 1.5 * 0.2 - 0.8 * 0.5 * 0.2), 9);
    expect(first).toMatchObject({ persona: null, stimulus: "large", step: "visit", label: "simulated only", evidence: "randomized", worlds: 1 });
  });

  it("its mean and interval are those of the closed form over the draws", async () => {
    const model = withFeature({ ...AGE, sd: 0.3, worlds: 101 });
    const found = await surface(model, { stimulus: "small", step: "visit", trait: "age", feature: "price" });
    const x = found.columns.values[3], z = found.rows.values[2], { draws } = model.response.stepModels[0];
    const rates = Array.from({ length: 101 }, (_, world) => {
      const [a, v, , b, c, d] = draws.subarray(world * 6, world * 6 + 6);
      return logistic(a + v + b * x + c * z + d * x * z);
    }).toSorted((a, b) => a - b);
    expect(found.mean[2 * 5 + 3]).toBeCloseTo(rates.reduce((sum, rate) => sum + rate, 0) / 101, 12);
    // Of 101 sorted values the 5 % and 95 % quantiles are the sixth and the ninety-sixth.
    expect(found.low[2 * 5 + 3]).toBeCloseTo(rates[5], 12);
    expect(found.high[2 * 5 + 3]).toBeCloseTo(rates[95], 12);
  });

  it("averages rates over the other traits instead of taking their mean", async () => {
    const hand: HandModel = {
      ...AGE, codings: [coding("age", "continuous", 0), coding("mood", "continuous", 1), coding("owner", "binary", 2, ["no", "yes"])],
      personas: [{ id: "all", share: 1, distributions: [normal(0, 1), normal(0.5, 1), beta(0.25)] }],
      terms: [...TERMS, { kind: "trait", trait: 1, level: -1 }, { kind: "trait", trait: 2, level: -1 }], coefficients: [[-3, 0, 0, 0.5, 1, 0, 2, 1.5], [0, 0, 0, 0, 0, 0, 0, 0]],
    };
    const found = await surface(withFeature(hand), { stimulus: "small", step: "visit", trait: "age", feature: "price" }, { rows: 1, columns: 1, members: 1024 });
    const x = found.columns.values[0], z = found.rows.values[0];
    // The exact average: a sum over the owners' shares and 2,001 points of the normal density.
    let exact = 0;
    for (let i = 0; i <= 2000; i += 1) {
      const t = -6 + (12 * i) / 2000, density = Math.exp(-t * t / 2) / Math.sqrt(2 * Math.PI) * (12 / 2000);
      for (const [yes, share] of [[0, 0.75], [1, 0.25]]) exact += share * density * logistic(-3 + 0.5 * x + z + 2 * (0.5 + t) + 1.5 * yes);
    }
    // 1,024 random people know a rate of this spread to about 2 %.
    expect(Math.abs(found.mean[0] / exact - 1)).toBeLessThan(0.05);
    expect(Math.abs(logistic(-3 + 0.5 * x + z + 1 + 1.5 * 0.25) / exact - 1)).toBeGreaterThan(0.1);
    const fewer = await surface(withFeature(hand), { stimulus: "small", step: "visit", trait: "age", feature: "price" }, { rows: 1, columns: 1 });
    expect(Math.abs(fewer.mean[0] / found.mean[0] - 1)).toBeLessThan(0.05);
  });

  it("shows every level of a second trait, and adds it to the first", async () => {
    const hand: HandModel = {
      ...AGE, codings: [coding("age", "continuous", 0), coding("region", "categorical", 1, ["north", "south", "other"])], personas: [{ id: "all", share: 1, distributions: [normal(0, 1), { kind: "categorical", alphas: [50, 30, 20] }] }],
      terms: [...TERMS, ...[0, 1, 2].map((level): Term => ({ kind: "trait", trait: 1, level }))], coefficients: AGE.coefficients.map((each) => [...each, 0.4, -0.6, 0.1]),
    };
    const found = await surface(withFeature(hand), { stimulus: "small", step: "visit", trait: "age", trait2: "region" });
    expect(found.rows).toMatchObject({ kind: "trait", values: [0, 1, 2], levels: ["north", "south", "other"], now: null });
    [0.4, -0.6, 0.1].forEach((effect, level) => found.columns.values.forEach((x, c) => {
      expect(found.mean[level * 5 + c]).toBeCloseTo(logistic(-0.8 + 0.6 * x + 1.5 * 0.1 - 0.8 * x * 0.1 + effect), 9);
    }));
  });

  it("weighs personas by their shares, or takes the one that is named", async () => {
    const hand: HandModel = {
      ...AGE, personas: [{ id: "few", share: 0.2, distributions: [normal(0, 1)] }, { id: "many", share: 0.8, distributions: [normal(1, 1)] }],
      terms: [...TERMS, { kind: "persona", persona: 0 }, { kind: "persona", persona: 1 }], coefficients: AGE.coefficients.map((each) => [...each, 1, -0.5]),
    };
    const model = withFeature(hand);
    const at = (x: number, z: number, persona: number): number => logistic(-0.8 + 0.6 * x + 1.5 * z - 0.8 * x * z + persona);
    const all = await surface(model, { stimulus: "small", step: "visit", trait: "age", feature: "price" });
    const few = await surface(model, { persona: "few", stimulus: "small", step: "visit", trait: "age", feature: "price" });
    expect(few.persona).toBe("few");
    expect(all.columns.now).toBeCloseTo(0.8, 9);
    expect(all.mean[7]).toBeCloseTo(0.2 * at(all.columns.values[2], 0.2, 1) + 0.8 * at(all.columns.values[2], 0.2, -0.5), 9);
    expect(few.mean[7]).toBeCloseTo(at(few.columns.values[2], 0.2, 1), 9);
  });

  it("moves its people onto the rates of the persona's real rows", async () => {
    const model = withFeature({ ...AGE, codings: [...AGE.codings, coding("owner", "binary", 1, ["no", "yes"])], personas: [{ id: "all", share: 1, distributions: [normal(0.5, 1), beta(0.4)] }], terms: [...TERMS, { kind: "trait", trait: 1, level: -1 }], coefficients: AGE.coefficients.map((each) => [...each.slice(0, 3), 0, 1.5, 0, 0.9]) });
    // (worlds + 1) x stimuli x steps.
    const known: Model = { ...model, rowRates: { all: Float64Array.of(0.2, 0.05, 0.31, 0.11, 0.2, 0.05, 0.31, 0.11) } };
    // The axis' trait has no effect, so the cell at the stimulus' own cut is the mean over everybody.
    const found = await surface(known, { stimulus: "large", trait: "age", feature: "price" });
    expect(found.mean[2 * 5 + 1]).toBeCloseTo(0.11, 6);
    expect((await surface(known, { stimulus: "large", step: "visit", trait: "age", feature: "price" })).mean[2 * 5 + 1]).toBeCloseTo(0.31, 6);
  });

  it("carries the shocks of the model's time, also where they depend on the cut", async () => {
    const shocks: Model["shocks"] = [{ attitude: "price-sensitivity", channel: "*", persona: "*", size: 0.5, halfLifeTicks: 10, startTick: 0, source: "test", evidence: "test" }];
    const found = await surface({ ...withFeature(AGE), shocks }, { stimulus: "large", trait: "age", feature: "price" });
    // Price sensitivity on the last step: 0 at a cut of 10 %, + size from 20 % on (studies/plan-shocks.ts).
    [[0.1, 0], [0.2, 0.5], [0.3, 0.5]].forEach(([z, shock], r) => {
      const x = found.columns.values[1];
      const visit = logistic(-1.1 + 0.6 * x + 1.5 * z - 0.8 * x * z), purchase = logistic(-1.7 - 0.4 * x + 2 * z + 0.5 * x * z + shock);
      expect(found.mean[r * 5 + 1]).toBeCloseTo(visit * purchase, 9);
    });
  });

  it("draws the range of a trait as the data hold it: no negative counts, and levels for what has no scale", async () => {
    const hand: HandModel = {
      ...AGE, codings: [{ ...coding("visits", "count", 0), center: 0.7, scale: 0.5 }, coding("owner", "binary", 1, ["no", "yes"])], personas: [{ id: "all", share: 1, distributions: [{ kind: "count", shape: 1e6, rate: 1e6 }, beta(0.4)] }],
      terms: [...TERMS, { kind: "trait", trait: 1, level: -1 }], coefficients: AGE.coefficients.map((each) => [...each, 0.5]),
    };
    const found = await surface(withFeature(hand), { stimulus: "small", trait: "visits", trait2: "owner" });
    expect(found.columns.values[0]).toBeGreaterThanOrEqual(-1e-12);
    expect(found.rows.levels).toEqual(["no", "yes"]);
    expect(found.mean.length).toBe(10);
    expect(found.mean[5]).toBeGreaterThan(found.mean[0]);
  });

  it("labels a belief as one", async () => {
    expect((await surface(withFeature({ ...AGE, evidence: "prior only" }), { stimulus: "small", trait: "age", feature: "price" })).label).toBe("prior only");
  });

  it("is interrupted between bands, says how far it is, and refuses what no preview should cost", async () => {
    const seen: number[] = [];
    await surface(withFeature(AGE), { stimulus: "small", trait: "age", feature: "price" }, { columns: 100, rows: 20, onProgress: (cells) => seen.push(cells) });
    expect(seen).toEqual([500, 1000, 1500, 2000]);
    const stop = new AbortController();
    await expect(surface(withFeature(AGE), { stimulus: "small", trait: "age", feature: "price" }, { columns: 100, rows: 20, signal: stop.signal, onProgress: () => stop.abort() })).rejects.toMatchObject({ name: "AbortError" });
    await expect(surface(withFeature({ ...AGE, worlds: 2_000 }), { stimulus: "small", trait: "age", feature: "price" }, { columns: 200, rows: 200 })).rejects.toMatchObject({ code: "TOO_LARGE" });
  });
});

describe("surfaceRequest", () => {
  const model = withFeature({ ...AGE, stimuli: [...AGE.stimuli, contact("none", { contact: false })] });
  it.each([
    [{ stimulus: "small", trait: "agee", feature: "price" }, "NOT_FOUND", 'did you mean "age"?'],
    [{ stimulus: "smal", trait: "age", feature: "price" }, "NOT_FOUND", 'did you mean "small"?'],
    [{ stimulus: "small", trait: "age", feature: "pric" }, "NOT_FOUND", 'did you mean "price"?'],
    [{ stimulus: "small", trait: "age", feature: "price", step: "buy" }, "NOT_FOUND", "known: visit, purchase"],
    [{ stimulus: "small", trait: "age", feature: "price", persona: "p9" }, "NOT_FOUND", "known: all"],
    [{ stimulus: "small", trait: "age" }, "BAD_USAGE", "two axes"],
    [{ stimulus: "small", trait: "age", trait2: "age" }, "BAD_USAGE", "both axes are age"],
  ] satisfies readonly [SurfaceNames, string, string][])("%j is refused: %s, %s", (names, code, hint) => {
    let refused: PopulaceError | null = null;
    try {
      surfaceRequest(model, names);
    } catch (error) {
      refused = error as PopulaceError;
    }
    expect(refused).toMatchObject({ code, message: expect.stringContaining(hint) });
  });

  it("a stimulus that is no contact has no price to vary", async () => {
    await expect(surface(model, { stimulus: "none", trait: "age", feature: "price" })).rejects.toMatchObject({ code: "BAD_USAGE", message: expect.stringContaining("is no contact") });
  });
});
