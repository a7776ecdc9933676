import { describe, expect, it } from "vitest";
import fc from "fast-check";
import { id } from "../ids.ts";
import { PLAIN_MIXTURE } from "../persona/mixture.ts";
import type { Persona, PersonaMixture } from "../persona/persona.ts";
import { RandomStream } from "../random/random-stream.ts";
import type { RateEstimate } from "../stimulus/response-model.ts";
import { closestName } from "./closest-name.ts";
import { encodeAttributes, findClosestPersona, prioritizeCampaigns, prioritizer } from "./decision.ts";
import type { DecisionOptions, Recipient } from "./decision.ts";
import { expectedValue, statedValue } from "./expected-value.ts";
import type { Campaign } from "./ranking.ts";
import { checkScoreTable, getResponseRate } from "./score-table.ts";
import type { ScoreTable } from "./score-table.ts";

const persona = (name: string, share: number, urban: number, age: number): Persona => ({
  id: id(name), name, share, shareAlpha: share * 1000, correlation: [], logDensityFloor: -9, lineage: { event: "authored", parents: [], atVersion: 0 },
  traits: [
    { name: "urban", kind: "binary", unit: "", distribution: { kind: "binary", alpha: urban * 1000, beta: (1 - urban) * 1000 }, shape: [], evidence: { prior: 0, simulated: 0, real: 1000, external: 0 } },
    { name: "age", kind: "continuous", unit: "years", distribution: { kind: "continuous", mean: age, kappa: 1000, shape: 500, rate: 500 * 25 }, shape: [], evidence: { prior: 0, simulated: 0, real: 1000, external: 0 } },
  ],
});

const mixture: PersonaMixture = {
  codings: [
    { name: "urban", kind: "binary", unit: "", transform: "identity", levels: ["no", "yes"], center: 0, scale: 1, slot: 0 },
    { name: "age", kind: "continuous", unit: "years", transform: "identity", levels: [], center: 45, scale: 15, slot: 1 },
  ],
  personas: [persona("young-urban", 0.5, 0.9, 25), persona("older-rural", 0.5, 0.1, 65)],
};

const rate = (mean: number, ess = 1000): RateEstimate => {
  const sd = Math.sqrt((mean * (1 - mean)) / (ess + 1));
  return { mean, low: Math.max(0, mean - 1.645 * sd), high: Math.min(1, mean + 1.645 * sd), ess, essSimulated: 0, essReal: ess, label: "real" };
};

/** personas x stimuli x 1 step. */
const tableOf = (rates: readonly (readonly number[])[], changes: Partial<ScoreTable> = {}): ScoreTable => ({
  release: "test", model: "test model", version: 1, evidence: "randomized", mixture, steps: ["visit"],
  stimuli: rates[0]!.map((_, index) => ({ id: `s${index}`, name: `Stimulus ${index}`, contact: true, channel: "email", contactCostMinor: 0, offerCostMinor: 0 })),
  rates: rates.flatMap((row) => row.map((mean) => rate(mean))), values: null, defaultValueMinor: null, currency: "USD", minorUnits: 100, ...changes,
});

const young: Recipient = { id: "r1", attributes: { urban: "yes", age: 24 } };
const older: Recipient = { id: "r2", attributes: { urban: "no", age: 66 } };
const campaign = (name: string, stimuli: string[], economicValueMinor: number): Campaign => ({ id: name, stimuli, economicValueMinor });

describe("people who leave", () => {
  const leaving = [0.02, 0.001].map((mean) => rate(mean, 400));
  const table = tableOf([[0.1, 0.09], [0.1, 0.09]], { leaving: [...leaving, null, null] });
  const sale: Campaign = { id: "sale", stimuli: ["s0", "s1"], economicValueMinor: 100, leaveCostMinor: 200 };

  it("are charged at the campaign's price, with both uncertainties in the interval, and never in plain mode", () => {
    const [row] = prioritizeCampaigns(table, young, [sale], { mode: "value" }).ranked;
    expect(row).toMatchObject({ stimulus: "s1", leaveRate: 0.001 });
    expect(row!.score).toBeCloseTo(0.09 * 100 - 0.001 * 200, 12);
    expect(row!.cost).toBeCloseTo(0.2, 12);
    const plainOnes = expectedValue(rate(0.09), statedValue(100));
    expect(row!.low).toBeCloseTo(plainOnes.low - leaving[1]!.high * 200, 12);
    expect(row!.high).toBeCloseTo(plainOnes.high - leaving[1]!.low * 200, 12);
    expect(prioritizeCampaigns(table, young, [sale]).ranked).toEqual(prioritizeCampaigns(table, young, [{ id: "sale", stimuli: ["s0", "s1"], economicValueMinor: 100 }]).ranked);
    // Where leaving is null nobody is contacted, and nothing is charged.
    expect(prioritizeCampaigns(table, older, [sale], { mode: "value" }).ranked[0]).toMatchObject({ stimulus: "s0", score: 10, cost: 0 });
  });

  it("may be drawn, cost nothing negative, and must be known to be charged", () => {
    const scores = Array.from({ length: 400 }, (_, seed) => prioritizeCampaigns(table, young, [{ ...sale, stimuli: ["s0"] }], { mode: "thompson", random: RandomStream.of(seed, "leaving") }).ranked[0]!.score);
    const mean = scores.reduce((sum, score) => sum + score / scores.length, 0), sd = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2 / scores.length, 0));
    // Two Betas: 100 and 200 times their own deviations; four standard errors of 400 draws.
    const expected = Math.hypot(100 * Math.sqrt((0.1 * 0.9) / 1001), 200 * Math.sqrt((0.02 * 0.98) / 401));
    expect(Math.abs(mean - 6)).toBeLessThan((4 * expected) / 20);
    expect(Math.abs(sd / expected - 1)).toBeLessThan(0.15);
    expect(() => prioritizeCampaigns(table, young, [{ ...sale, leaveCostMinor: -1 }])).toThrow(/leaveCostMinor is -1/);
    expect(() => prioritizeCampaigns(tableOf([[0.1, 0.1], [0.1, 0.1]]), young, [sale])).toThrow(/knows of none/);
    expect(() => checkScoreTable({ ...table, leaving })).toThrow(/holds 2 rates of leaving, expected 2 personas x 2 stimuli/);
  });
});

describe("plain mode", () => {
  it("is closest persona, response rate x economic value, descending, top N", () => {
    const table = tableOf([[0.1, 0.02, 0.3], [0.01, 0.2, 0.05]]);
    const campaigns = [campaign("a", ["s0"], 1000), campaign("b", ["s1"], 2000), campaign("c", ["s2"], 100)];
    const forYoung = prioritizeCampaigns(table, young, campaigns, { topN: 2 });
    expect(forYoung).toMatchObject({ recipient: "r1", persona: "young-urban", fitsNone: false, suppressed: [] });
    expect(forYoung.ranked.map(({ campaign: name, stimulus, score, rate: mean, value }) => ({ name, stimulus, score, mean, value }))).toEqual([
      { name: "a", stimulus: "s0", score: 100, mean: 0.1, value: 1000 },
      { name: "b", stimulus: "s1", score: 40, mean: 0.02, value: 2000 },
    ]);
    expect(prioritizeCampaigns(table, older, campaigns).ranked.map((row) => row.campaign)).toEqual(["b", "a", "c"]);
    expect(getResponseRate(table, 1, 1).mean).toBe(0.2);
    expect(() => getResponseRate(table, 2, 0)).toThrow(/no cell/);
  });

  it("ignores costs, which value mode subtracts", () => {
    const table = tableOf([[0.1, 0.1], [0.1, 0.1]], { stimuli: tableOf([[0, 0]]).stimuli.map((stimulus, index) => ({ ...stimulus, contactCostMinor: index === 0 ? 50 : 5, offerCostMinor: index === 0 ? 0 : 100 })) });
    const campaigns = [campaign("dear", ["s0"], 400), campaign("cheap", ["s1"], 400)];
    const plain = prioritizeCampaigns(table, young, campaigns);
    expect(plain.ranked.map((row) => [row.campaign, row.score, row.cost])).toEqual([["dear", 40, 0], ["cheap", 40, 0]]);
    const value = prioritizeCampaigns(table, young, campaigns, { mode: "value" });
    expect(value.ranked.map((row) => [row.campaign, row.score, row.cost])).toEqual([["cheap", 25, 15]]);
    expect(value.suppressed).toEqual([{ campaign: "dear", reason: "negative value after cost", stimulus: "s0", rate: 0.1, score: -10 }]);
  });

  it("agrees with a naive ranking for any campaigns: sorted, stable, best stimulus first, top N, monotone in value", () => {
    const positive = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.constantFrom(0, 0.05, 0.1, 0.5), { minLength: 4, maxLength: 4 }), { minLength: 2, maxLength: 2 }),
        fc.array(fc.record({ stimuli: fc.uniqueArray(fc.constantFrom("s0", "s1", "s2", "s3"), { minLength: 1 }), value: fc.oneof(fc.constantFrom(0, 10, 20), positive) }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 14 }),
        fc.constantFrom(young, older),
        (rates, drafts, topN, recipient) => {
          const table = tableOf(rates);
          const campaigns = drafts.map((draft, index) => campaign(`c${index}`, draft.stimuli, draft.value));
          const row = recipient === young ? rates[0]! : rates[1]!;
          const scored = campaigns.map((one, index) => {
            const scores = one.stimuli.map((stimulus) => row[Number(stimulus.slice(1))]! * one.economicValueMinor!);
            const best = Math.max(...scores);
            return { index, name: one.id, score: best, stimulus: one.stimuli[scores.indexOf(best)] };
          });
          const expected = scored.toSorted((a, b) => b.score - a.score || a.index - b.index).slice(0, topN);
          const found = prioritizeCampaigns(table, recipient, campaigns, { topN });
          expect(found.ranked.map(({ campaign: name, score, stimulus }) => ({ name, score, stimulus }))).toEqual(expected.map(({ name, score, stimulus }) => ({ name, score, stimulus })));
          expect(found.suppressed).toEqual([]);
          if (campaigns.length > 0) {
            // More value never ranks a campaign lower.
            const place = (list: readonly Campaign[]): number => prioritizeCampaigns(table, recipient, list).ranked.findIndex((ranked) => ranked.campaign === "c0");
            expect(place([{ ...campaigns[0]!, economicValueMinor: campaigns[0]!.economicValueMinor! * 2 + 1 }, ...campaigns.slice(1)])).toBeLessThanOrEqual(place(campaigns));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("suppression", () => {
  const table = tableOf([[0.1, 0.02], [0.01, 0.2]]);
  const campaigns = [campaign("a", ["s0"], 1000), campaign("b", ["s1"], 100)];

  it("names its reason", () => {
    const reasons = (options: DecisionOptions, recipient = young): (readonly [string, string])[] => prioritizeCampaigns(table, recipient, campaigns, options).suppressed.map((row) => [row.campaign, row.reason]);
    expect(reasons({ rateMin: 0.05 })).toEqual([["b", "rate below threshold"]]);
    expect(reasons({ scoreMinMinor: 50 })).toEqual([["b", "score below threshold"]]);
    expect(prioritizeCampaigns(table, young, [{ id: "x", stimuli: ["gone"], economicValueMinor: 1 }], { unknownStimulus: "suppress" }).suppressed[0]!.reason).toBe("unknown stimulus");
    expect(prioritizeCampaigns(table, young, [{ id: "x", stimuli: ["s0"] }]).suppressed[0]!.reason).toBe("no economic value");
    const stranger: Recipient = { id: "r3", attributes: { urban: "yes", age: 101 } };
    const flagged = prioritizeCampaigns(table, stranger, campaigns);
    expect(flagged.fitsNone).toBe(true);
    expect(flagged.ranked).toHaveLength(2);
    expect(reasons({ suppressFitsNone: true }, stranger)).toEqual([["a", "no persona fits"], ["b", "no persona fits"]]);
    expect(reasons({ suppressFitsNone: true })).toEqual([]);
  });

  it("sends nothing without consent, whatever the record looks like", () => {
    const atMs = Date.UTC(2026, 5, 1);
    const options: DecisionOptions = { consent: { purpose: "marketing", atMs } };
    const ranked = (consent: unknown): number => prioritizeCampaigns(table, { ...young, consent }, campaigns, options).ranked.length;
    expect(ranked({ purpose: "marketing", until: "2026-12-31" })).toBe(2);
    expect(ranked([{ purpose: "other", until: null }, { purpose: "marketing", until: null }])).toBe(2);
    for (const consent of [undefined, null, false, true, {}, [], { purpose: "marketing" }, { purpose: "marketing", until: "2026-05-31" }, { purpose: "other", until: null }]) expect(ranked(consent)).toBe(0);
    const refused = prioritizeCampaigns(table, young, campaigns, options);
    expect(refused.suppressed.map((row) => row.reason)).toEqual(["no consent", "no consent"]);
    fc.assert(fc.property(fc.anything(), (consent) => ranked(consent) === 0));
  });
});

describe("bad input", () => {
  const table = tableOf([[0.1, 0.02], [0.01, 0.2]]);
  const refusal = (campaigns: unknown, options: DecisionOptions = {}, recipient: unknown = young): string => {
    try {
      prioritizeCampaigns(table, recipient as Recipient, campaigns as Campaign[], options);
    } catch (error) {
      expect(error).toMatchObject({ name: "PopulaceError" });
      return (error as Error).message;
    }
    return "accepted";
  };

  it("is refused with what was expected", () => {
    for (const value of [Number.NaN, -1, Infinity, "10"]) expect(refusal([{ id: "a", stimuli: ["s0"], economicValueMinor: value }])).toMatch(/economicValueMinor/);
    expect(refusal([{ id: "a", stimuli: ["s0"], contactCostMinor: -1 }])).toMatch(/contactCostMinor/);
    expect(refusal([campaign("a", ["s9"], 1)])).toMatch(/stimulus "s9" is unknown.*did you mean "s0"/);
    expect(refusal([campaign("a", ["something else"], 1)])).toMatch(/expected one of s0, s1/);
    expect(refusal([campaign("a", [], 1)])).toMatch(/names no stimulus/);
    expect(refusal([campaign("a", ["s0"], 1), campaign("a", ["s1"], 1)])).toMatch(/occurs twice/);
    expect(refusal([{ ...campaign("a", ["s0"], 1), step: "buy" }])).toMatch(/step "buy" is unknown; expected one of visit/);
    for (const topN of [0, -1, 1.5, Number.NaN]) expect(refusal([], { topN })).toMatch(/top N/);
    expect(refusal([], { rateMin: 2 })).toMatch(/threshold/);
    expect(refusal([], { mode: "best" as never })).toMatch(/mode "best" is unknown/);
    expect(refusal([], { mode: "thompson" })).toMatch(/needs a seed/);
    expect(refusal([], {}, { id: "r", attributes: { aged: 3 } })).toMatch(/recipient "r": attribute "aged" is unknown; did you mean "age"/);
    expect(refusal([], {}, { id: "r", attributes: { age: Number.NaN } })).toMatch(/no number of its scale/);
    expect(refusal([], {}, { id: "r", attributes: { age: "young" } })).toMatch(/no number of its scale/);
    expect(refusal([], {}, { id: "r", attributes: { urban: "maybe" } })).toMatch(/expected "no" or "yes"/);
    expect(refusal([], {}, { id: "r", attributes: { urban: true, age: null } })).toBe("accepted");
    expect(refusal([], {}, { id: "r", attributes: JSON.parse('{"__proto__": 1}') })).toMatch(/unknown/);
  });

  it("drops out where an attribute is unknown", () => {
    expect(findClosestPersona(mixture, { attributes: { age: 70 } }).persona).toBe(1);
    expect(findClosestPersona(mixture, { attributes: { age: "70", urban: "" } }).persona).toBe(1);
    expect(findClosestPersona(mixture, { attributes: {} })).toMatchObject({ persona: 0, probability: 0.5, fitsNone: false });
  });

  it("is refused in a score table too", () => {
    checkScoreTable(table);
    expect(() => checkScoreTable({ ...table, rates: table.rates.slice(1) })).toThrow(/holds 3 rates/);
    expect(() => checkScoreTable({ ...table, rates: table.rates.map((cell) => ({ ...cell, mean: Number.NaN })) })).toThrow(/rate of cell 0/);
    expect(() => checkScoreTable({ ...table, values: [] })).toThrow(/holds 0 values/);
  });
});

describe("expected value", () => {
  it("carries both uncertainties: agrees with a Monte Carlo product of Beta rates and log-normal values", () => {
    const seed = 77;
    const random = RandomStream.of(seed, "product");
    for (const [mean, ess, median, sd] of [[0.05, 1000, 2000, 0.2], [0.1, 400, 500, 0.05], [0.3, 2000, 900, 0.5]] as const) {
      const alpha = mean * ess, beta = (1 - mean) * ess, n = 40_000;
      const rates = Array.from({ length: n }, () => random.beta(alpha, beta));
      const values = Array.from({ length: n }, () => median * Math.exp(sd * random.normal()));
      const quantile = (numbers: number[], q: number): number => numbers.toSorted((a, b) => a - b)[Math.floor(q * n)]!;
      const products = rates.map((one, index) => one * values[index]!);
      const center = median * Math.exp((sd * sd) / 2);
      const found = expectedValue({ ...rate(mean, ess), low: quantile(rates, 0.05), high: quantile(rates, 0.95) }, { meanMinor: center, lowMinor: quantile(values, 0.05), highMinor: quantile(values, 0.95) });
      expect(found.score).toBeCloseTo(mean * center, 9);
      // 5 %: the quadrature on the log scale is exact for log-normal factors only, and sides are split at the mean.
      expect(Math.abs(found.low / quantile(products, 0.05) - 1), `seed ${seed}, low`).toBeLessThan(0.05);
      expect(Math.abs(found.high / quantile(products, 0.95) - 1), `seed ${seed}, high`).toBeLessThan(0.05);
    }
  });

  it("of a stated value is the rate's interval times the value, to the bit", () => {
    const cell = rate(0.07);
    expect(expectedValue(cell, statedValue(300))).toEqual({ score: cell.mean * 300, low: cell.low * 300, high: cell.high * 300 });
    expect(expectedValue(cell, statedValue(300), { contactMinor: 5, responseMinor: 100 })).toEqual({ score: cell.mean * 200 - 5, low: cell.low * 200 - 5, high: cell.high * 200 - 5 });
    const rare = { ...cell, mean: 0, low: 0, high: 0.01 };
    expect(expectedValue(rare, { meanMinor: 10, lowMinor: 5, highMinor: 20 })).toEqual({ score: 0, low: 0, high: 0.2 });
    const loss = expectedValue(cell, { meanMinor: 100, lowMinor: 50, highMinor: 200 }, { contactMinor: 0, responseMinor: 80 });
    expect(loss.low).toBeLessThan(0);
    expect(loss.low).toBeLessThanOrEqual(loss.score);
    expect(loss.high).toBeGreaterThanOrEqual(loss.score);
  });
});

describe("Thompson mode", () => {
  const table = tableOf([[0.1, 0.1], [0.1, 0.1]], { rates: [rate(0.1, 20), rate(0.08, 20), rate(0.1, 20), rate(0.08, 20)] });
  const campaigns = [campaign("a", ["s0"], 100), campaign("b", ["s1"], 100)];

  it("chooses each campaign as often as it is the better one under the posterior", () => {
    const seed = 5, n = 4000;
    const prioritize = prioritizer(table, campaigns, { mode: "thompson", random: RandomStream.of(seed, "thompson") });
    let first = 0;
    for (let i = 0; i < n; i++) first += prioritize.decide({ ...young, id: `r${i}` }).ranked[0]!.campaign === "a" ? 1 : 0;
    // P(Beta(2, 18) > Beta(1.6, 18.4)) by numerical integration (scipy 1.17.1, quad of pdf * cdf): 0.59756. Four standard errors.
    expect(Math.abs(first / n - 0.59756), `seed ${seed}`).toBeLessThan(4 * Math.sqrt((0.61 * 0.39) / n));
  });

  it("draws by seed and recipient, not by the order of the calls", () => {
    const decide = (ids: string[]) => {
      const prioritize = prioritizer(table, campaigns, { mode: "thompson", random: RandomStream.of(9, "thompson") });
      return new Map(ids.map((name) => [name, prioritize.decide({ ...young, id: name })]));
    };
    expect(decide(["x", "y"]).get("y")).toEqual(decide(["y", "x"]).get("y"));
  });
});

describe("many recipients", () => {
  it("get the decisions they get one by one, and share the rows of their persona", () => {
    const table = tableOf([[0.1, 0.02], [0.01, 0.2]]);
    const campaigns = [campaign("a", ["s0"], 1000), campaign("b", ["s1"], 700)];
    const prioritize = prioritizer(table, campaigns, { topN: 1 });
    const decisions = Array.from({ length: 200 }, (_, index) => prioritize.decide({ id: `r${index}`, attributes: { age: index % 90, urban: index % 3 === 0 } }));
    decisions.forEach((decision, index) => expect(decision).toEqual(prioritizeCampaigns(table, { id: `r${index}`, attributes: { age: index % 90, urban: index % 3 === 0 } }, campaigns, { topN: 1 })));
    expect(new Set(decisions.map((decision) => decision.ranked)).size).toBe(2);
  });

  it.each(["plain", "value", "thompson"] as const)("get them column by column too, in %s mode", (mode) => {
    const table = tableOf([[0.1, 0.02], [0.01, 0.2]]);
    const campaigns = [campaign("a", ["s0"], 1000), campaign("b", ["s1"], 700), campaign("c", ["s0", "s1"], 1)];
    const prioritize = prioritizer(table, campaigns, { mode, rateMin: 0.02, suppressFitsNone: true, random: RandomStream.of(3, "columns") });
    const ids = Array.from({ length: 200 }, (_, index) => `r${index}`);
    const codes = Int16Array.from(ids.flatMap((_, index) => [...encodeAttributes(table.mixture, { age: index % 7 === 0 ? null : 3 * index - 200, urban: index % 3 === 0 })]));
    const decided = prioritize.decideRows(ids, codes, PLAIN_MIXTURE.assigning(table.mixture));
    ids.forEach((recipient, row) => expect(decided.decision(row)).toEqual(prioritize.decideCodes(recipient, codes, undefined, row * 2)));
    expect(decided.fitsNone.some((one) => one === 1) && decided.fitsNone.some((one) => one === 0)).toBe(true);
    expect(() => prioritize.decideRows(ids, codes.subarray(2), PLAIN_MIXTURE.assigning(table.mixture))).toThrow("398 codes for 200 recipients of 2 traits; expected 400");
  });
});

describe("closest name", () => {
  it("suggests a near miss and nothing far", () => {
    expect(closestName("recensy", ["history", "recency"])).toBe("recency");
    expect(closestName("RECENCY", ["history", "recency"])).toBe("recency");
    expect(closestName("xyz", ["history", "recency"])).toBeNull();
    expect(closestName("a".repeat(1e6), ["a"])).toBeNull();
  });
});
