import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { PopulaceError } from "@populace/domain";
import { RandomStream, betaFromDraws, betaQuantile } from "@populace/domain";
import { cellRates, modelRates } from "./cell-rates.ts";
import { readDataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { learn, unlearn } from "./learn.ts";
import { modelText, parseModel } from "./model-file.ts";
import type { Model } from "./model.ts";
import { authoredModel } from "./prior.ts";
import { releaseText } from "./release-gate.ts";
import { parseSchema } from "./schema.ts";

const schemaWith = (stimuli: string, sampling = "") => parseSchema(`
name: shop
recipient: id
attributes: {owner: {kind: binary, levels: ["no", "yes"]}}
stimulus: {column: arm, stimuli: {${stimuli}}}
assignment: randomized
funnel: [visit, buy]
${sampling}
prior:
  baseRates: {visit: [0.1, 0.2], buy: [0.1, 0.3]}
  personas:
    - {name: owners, share: 0.5, traits: {owner: 0.95}}
    - {name: others, share: 0.5, traits: {owner: 0.05}}
`, "shop.yaml");
const SCHEMA = schemaWith("mail: {channel: email}, call: {channel: phone}");
/** A posterior as if fitted: what matters here is that it counts as real evidence. */
const fitted: Model = { ...authoredModel(SCHEMA), evidence: "randomized" };
const folder = mkdtempSync(join(tmpdir(), "learn-"));

const rows = (from: number, count: number, arm: string) => Array.from({ length: count }, (_, row) => `${from + row},${row % 2 === 0 ? "yes" : "no"},${arm},${row % 4 < 2 ? 1 : 0},${row % 8 === 0 ? 1 : 0}`);
const file = (name: string, lines: readonly string[]): string => {
  const path = join(folder, name);
  writeFileSync(path, `id,owner,arm,visit,buy\n${lines.join("\n")}\n`);
  return path;
};

describe("learn", () => {
  it("counts each row in its persona's cell, and in no other", async () => {
    const { model, updated, rows: taken } = learn(fitted, await readDataset(SCHEMA, file("a.csv", rows(0, 80, "call"))));
    expect(taken).toBe(80);
    expect(updated).toEqual([
      { persona: "p1", stimulus: "call", step: "visit", exposures: 40, responses: 20 },
      { persona: "p1", stimulus: "call", step: "buy", exposures: 40, responses: 10 },
      { persona: "p2", stimulus: "call", step: "visit", exposures: 40, responses: 20 },
      { persona: "p2", stimulus: "call", step: "buy", exposures: 40, responses: 0 },
    ]);
    expect(model.outcomes.reduce((sum, cell) => sum + cell.exposures, 0)).toBe(160);
  });

  it("two files one after the other give the counts of both at once", async () => {
    const [first, second] = [rows(0, 30, "mail"), rows(30, 50, "call")];
    const one = learn(learn(fitted, await readDataset(SCHEMA, file("1.csv", first))).model, await readDataset(SCHEMA, file("2.csv", second))).model;
    const both = learn(fitted, await readDataset(SCHEMA, file("12.csv", [...first, ...second]))).model;
    expect(one.outcomes).toEqual(both.outcomes);
    expect(one.version).toBe(3);
    expect(cellRates(one)).toEqual(cellRates(both));
  });

  it("the cell's posterior is the Beta matched to the worlds plus the real counts, and is named real", async () => {
    const { model } = learn(fitted, await readDataset(SCHEMA, file("b.csv", rows(0, 80, "call"))));
    const matched = betaFromDraws(modelRates(fitted)[2]);
    const [rate] = cellRates(model).slice(2);
    expect(rate.mean).toBeCloseTo((matched.alpha + 20) / (matched.alpha + matched.beta + 40), 12);
    expect(rate.low).toBeCloseTo(betaQuantile(0.05, matched.alpha + 20, matched.beta + 20), 12);
    expect(rate).toMatchObject({ label: "real", essSimulated: 0 });
    expect(rate.essReal).toBeCloseTo(matched.alpha + matched.beta + 40, 9);
  });

  it("outcomes counted in the cell and outcomes refitted give the same rate and interval", async () => {
    const schema = parseSchema("{name: two routes, recipient: id, attributes: {owner: {kind: binary, levels: ['no', 'yes']}}, stimulus: {constant: mail}, assignment: randomized, funnel: [{name: visit, column: visit}]}", "routes.yaml");
    const seed = 11;
    const random = RandomStream.of(seed, "two routes");
    const lines = Array.from({ length: 4_000 }, (_, row) => `${row},${random.uniform() < 0.5 ? "yes" : "no"},${random.uniform() < 0.15 ? 1 : 0}`);
    const dataset = async (name: string, part: readonly string[]) => {
      const path = join(folder, name);
      writeFileSync(path, `id,owner,visit\n${part.join("\n")}\n`);
      return readDataset(schema, path);
    };
    const [first, second, all] = [await dataset("f.csv", lines.slice(0, 2_000)), await dataset("s.csv", lines.slice(2_000)), await dataset("all.csv", lines)];
    const fit = { personas: 1, worlds: 800, seed } as const;
    const [counted] = cellRates(learn(fitModel(schema, first, fit), second).model);
    const [refitted] = cellRates(fitModel(schema, all, fit));
    // Two sets of 800 worlds leave 3.5 % of the width between them; the panel of agents 1 % of the rate.
    expect(Math.abs(counted.mean / refitted.mean - 1), `seed ${seed}`).toBeLessThan(0.02);
    expect(Math.abs((counted.high - counted.low) / (refitted.high - refitted.low) - 1), `seed ${seed}`).toBeLessThan(0.1);
  });

  it("rows that were in the fit are refused one by one", async () => {
    const dataset = await readDataset(SCHEMA, file("c.csv", rows(0, 80, "mail")));
    const seen = { ...fitted, fit: { ...fitted.fit, seen: dataset.hashes.slice(0, 8 * 30) } };
    const result = learn(seen, dataset);
    expect([result.rows, result.rejected.seen]).toEqual([50, 30]);
  });

  it("stimuli the model does not know are refused by name, rows sampled by their outcome altogether", async () => {
    const wide = schemaWith("mail: {channel: email}, call: {channel: phone}, fax: {channel: fax}");
    const result = learn(fitted, await readDataset(wide, file("d.csv", [...rows(0, 10, "mail"), ...rows(10, 7, "fax")])));
    expect([result.rows, result.rejected.unknownStimuli]).toEqual([10, { fax: 7 }]);
    const picked = await readDataset(schemaWith("mail: {channel: email}, call: {channel: phone}", "sampling: {baseRate: 0.01}"), file("e.csv", rows(0, 10, "mail")));
    expect(() => learn(fitted, picked)).toThrow(expect.objectContaining({ code: "BAD_DATA" }) as PopulaceError);
  });
});

/** Days from `from` on, `perDay` rows each, visited with that day's rate. */
const dated = (seed: number, days: number, perDay: number, rateOf: (day: number) => number): readonly string[] => {
  const random = RandomStream.of(seed, "dated");
  return Array.from({ length: days * perDay }, (_, row) => {
    const day = Math.floor(row / perDay);
    return `${seed}-${row},${random.uniform() < 0.5 ? "yes" : "no"},${new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10)},${random.uniform() < rateOf(day) ? 1 : 0}`;
  });
};
const DATED = parseSchema("{name: dated, recipient: id, attributes: {owner: {kind: binary, levels: ['no', 'yes']}}, stimulus: {constant: mail}, assignment: randomized, funnel: [{name: visit, column: visit}], time: {column: day, format: date}}", "dated.yaml");
const datedFile = async (name: string, lines: readonly string[]) => {
  const path = join(folder, name);
  writeFileSync(path, `id,owner,day,visit\n${lines.join("\n")}\n`);
  return readDataset(DATED, path);
};

describe("unlearn", () => {
  it("one subject's outcomes taken out leave, to the bit, the model that never saw them", async () => {
    const [others, subject] = [rows(0, 60, "mail"), ["900,yes,mail,1,1", "901,no,call,1,0", "902,yes,call,0,0"]];
    const never = learn(fitted, await readDataset(SCHEMA, file("u1.csv", others))).model;
    for (const order of [[...others, ...subject], [...subject, ...others]]) {
      const all = learn(fitted, await readDataset(SCHEMA, file("u2.csv", order))).model;
      expect(all.landed).not.toEqual(never.landed);
      const result = unlearn(all, await readDataset(SCHEMA, file("u3.csv", subject)));
      expect([result.rows, result.pending, result.unknown]).toEqual([3, 0, 0]);
      expect({ ...result.model, version: never.version }).toEqual(never);
    }
  });

  it("keeps one of two alike rows when one is taken out, and refuses nothing it never counted", async () => {
    const twice = learn(fitted, await readDataset(SCHEMA, file("v1.csv", ["1,yes,mail,1,0", "1,yes,mail,1,0"]))).model;
    const one = unlearn(twice, await readDataset(SCHEMA, file("v2.csv", ["1,yes,mail,1,0", "2,no,mail,0,0"])));
    expect([one.rows, one.unknown]).toEqual([1, 1]);
    expect({ ...one.model, version: 2 }).toEqual(learn(fitted, await readDataset(SCHEMA, file("v3.csv", ["1,yes,mail,1,0"]))).model);
  });

  it("rows inside the response model are pending: a fit is not subtracted from", async () => {
    const data = await datedFile("w.csv", dated(3, 10, 40, () => 0.2));
    const model = fitModel(DATED, data, { personas: 1, worlds: 40 });
    expect(unlearn(model, data)).toMatchObject({ rows: 0, pending: 400, unknown: 0, model });
  });

  it("rows whose persona has changed since cannot be taken from another cell", async () => {
    const data = await readDataset(SCHEMA, file("x.csv", ["1,yes,mail,1,1"]));
    const model = learn(fitted, data).model;
    const [first, second] = model.mixture.personas;
    const swapped = { ...model, mixture: { ...model.mixture, personas: [{ ...second, id: first.id }, { ...first, id: second.id }] } };
    expect(() => unlearn(swapped, data)).toThrow(expect.objectContaining({ code: "INCOMPATIBLE" }) as PopulaceError);
  });
});

describe("the exchange rate", () => {
  /** Outcomes of both personas on both stimuli at `factor` times what the model foretells; 100 lines a cell and file. */
  const outcomesAt = async (seed: number, factor: number, assignment = "randomized") => {
    const schema = { ...SCHEMA, assignment: { kind: assignment } as never };
    const random = RandomStream.of(seed, `factor ${factor}`);
    const rates = modelRates(fitted);
    const world = random.integer(fitted.response.worlds);
    const lines = [0, 1, 2, 3].flatMap((cell) => Array.from({ length: 100 }, (_, row) => {
      const visit = random.uniform() < Math.min(0.95, factor * rates[cell * 2][world]);
      const buy = visit && random.uniform() < rates[cell * 2 + 1][world] / rates[cell * 2][world];
      return `${seed}-${cell}-${row},${cell < 2 ? "yes" : "no"},${cell % 2 === 0 ? "mail" : "call"},${visit ? 1 : 0},${buy ? 1 : 0}`;
    }));
    return readDataset(schema, file(`x-${seed}-${factor}.csv`, lines));
  };

  it("rises where the outcomes are as foretold, falls and demotes where they keep missing", async () => {
    const honest = learn(fitted, await outcomesAt(1, 1)), biased = learn(fitted, await outcomesAt(1, 3));
    expect(honest.exchangeRate.a0).toBeGreaterThan(0.5);
    expect(honest.exchangeRate.demoted).toEqual([]);
    expect(honest.pit).toMatchObject({ cells: 8 });
    expect(biased.exchangeRate.a0).toBeLessThan(0.3);
    expect(biased.exchangeRate.low).toBeLessThan(biased.exchangeRate.a0);
    expect(biased.exchangeRate.levels.filter((level) => level.level === "channel").map((level) => [level.name, level.cells])).toEqual([["email", 4], ["phone", 4]]);
  });

  it("a demoted persona's simulation counts for one observation, its name says so, and better outcomes lift it", async () => {
    const belief = authoredModel(SCHEMA);
    const missed = { ...belief, exchangeRate: { ...belief.exchangeRate, demoted: ["p1"] }, outcomes: belief.outcomes.map(() => ({ exposures: 100, responses: 10 })) };
    const [shunned, trusted] = [cellRates(missed)[0], cellRates({ ...missed, exchangeRate: belief.exchangeRate })[0]];
    expect(shunned.essSimulated).toBeLessThanOrEqual(1);
    expect(trusted.essSimulated).toBeGreaterThan(5);
    const landed = Array.from({ length: 6 }, (_, at) => ({ persona: "p1", stimulus: `s${at}`, step: "visit", channel: "email", class: "p1, email, plain", responseVersion: 1, simulated: { alpha: 100, beta: 900 }, exposures: 1_000, responses: 300 }));
    const noticed = learn({ ...belief, landed }, await outcomesAt(2, 1));
    expect(noticed.exchangeRate.demoted).toEqual(["p1"]);
    expect(noticed.model.mixture.personas.map((persona) => persona.name)).toEqual(["owners (demoted)", "others"]);
    const lifted = learn({ ...noticed.model, landed: [] }, await outcomesAt(3, 1));
    expect(lifted.model.mixture.personas.map((persona) => persona.name)).toEqual(["owners", "others"]);
  });

  it("is taught by randomized outcomes only", async () => {
    const result = learn(fitted, await outcomesAt(1, 3, "unknown"));
    expect(result.rows).toBe(400);
    expect([result.exchangeRate, result.model.landed, result.pit.cells]).toEqual([fitted.exchangeRate, [], 0]);
  });
});

describe("forgetting", () => {
  it("halves an outcome after its half-life, in closed form, and the counts stay whole", async () => {
    const model = fitModel(DATED, await datedFile("f0.csv", dated(5, 20, 40, () => 0.2)), { personas: 1, worlds: 60 });
    const later = await datedFile("f1.csv", [...dated(6, 1, 200, () => 0.5), ...dated(7, 41, 5, () => 0.5).slice(-5).map((line) => `z${line}`)]);
    const { model: learned } = learn(model, later, { halfLife: 10 });
    expect(learned.periods.map((each) => each.exposures)).toEqual([200, 5]);
    const now = learned.periods[1].period, matched = betaFromDraws(modelRates(model)[0]);
    const weight = (period: number): number => 2 ** (-(now - period) / 10);
    const [rate] = cellRates(learned);
    const yes = weight(learned.periods[0].period) * learned.periods[0].responses[0] + learned.periods[1].responses[0];
    const kept = weight(model.fit.latest!);
    expect(rate.mean).toBeCloseTo((kept * matched.alpha + yes) / (kept * (matched.alpha + matched.beta) + weight(learned.periods[0].period) * 200 + 5), 10);
    expect(learned.outcomes[0].exposures).toBe(205);
    expect(cellRates({ ...learned, halfLife: null })[0].ess).toBeGreaterThan(rate.ess);
  });

  it("auto shortens the memory where the world drifts, and only there; the forgetting posterior is then nearer to the last days", async () => {
    const model = fitModel(DATED, await datedFile("g0.csv", dated(8, 20, 40, () => 0.1)), { personas: 1, worlds: 60 });
    const drifting = learn(model, await datedFile("g1.csv", dated(9, 120, 40, (day) => 0.1 + 0.004 * day)), { halfLife: "auto" });
    const steady = learn(model, await datedFile("g2.csv", dated(9, 120, 40, () => 0.1)), { halfLife: "auto" });
    expect(drifting.model.halfLife).toBeLessThanOrEqual(60);
    expect(steady.model.halfLife).toBeNull();
    const [forgetting, remembering] = [cellRates(drifting.model)[0], cellRates({ ...drifting.model, halfLife: null })[0]];
    expect(Math.abs(forgetting.mean - 0.576)).toBeLessThan(Math.abs(remembering.mean - 0.576) / 2);
  });

  it("of next to no time or next to eternity is sound, and what is no time is refused", async () => {
    const model = fitModel(DATED, await datedFile("e0.csv", dated(5, 20, 40, () => 0.2)), { personas: 1, worlds: 60 }), later = await datedFile("e1.csv", dated(6, 40, 5, () => 0.5).slice(-50));
    for (const halfLife of [5e-324, 1e-9, 1, 1e308]) for (const update of ["cells", "logistic"] as const) {
      const { model: learned } = learn(model, later, { halfLife, update });
      expect(modelText(learned)).not.toMatch(/NaN|Infinity/);
      for (const rate of cellRates(learned)) expect(rate.low >= 0 && rate.low <= rate.mean && rate.mean <= rate.high && rate.high <= 1 && rate.ess >= 1 - 1e-9, `${halfLife} ${JSON.stringify(rate)}`).toBe(true);
    }
    const rates = (halfLife: number | null) => cellRates(learn(model, later, { halfLife }).model);
    expect(rates(1e308)).toEqual(rates(null));
    // All that is old is gone but one observation: the last day's five and that one.
    expect(rates(5e-324)[0].ess).toBeCloseTo(6, 9);
    expect(cellRates({ ...model, halfLife: 5e-324, periods: learn(model, later).model.periods.map((each) => ({ ...each, cell: 0, exposures: 0, responses: each.responses.map(() => 0) })) })[0].ess).toBeCloseTo(1, 9);
    for (const halfLife of [0, -1, NaN, Infinity]) expect(() => learn(model, later, { halfLife })).toThrow(expect.objectContaining({ code: "BAD_USAGE", message: expect.stringContaining("above 0") }) as PopulaceError);
  });

  it("needs a time", async () => {
    const data = await readDataset(SCHEMA, file("h.csv", rows(0, 8, "mail")));
    expect(() => learn(fitted, data, { halfLife: 30 })).toThrow(expect.objectContaining({ code: "BAD_DATA" }) as PopulaceError);
  });
});

describe("a logistic update", () => {
  it("absorbs the rows into the response model, once, within a hair of a fit of all rows", async () => {
    const lines = dated(21, 60, 100, (day) => (day < 30 ? 0.12 : 0.13));
    const [first, second, all] = [await datedFile("l1.csv", lines.slice(0, 3_000)), await datedFile("l2.csv", lines.slice(3_000)), await datedFile("l3.csv", lines)];
    const fit = { personas: 1, worlds: 400, seed: 4 } as const;
    const model = fitModel(DATED, first, fit);
    const { model: updated, rows: taken, score } = learn(model, second, { update: "logistic" });
    expect(taken).toBe(3_000);
    expect(score!.memories).toEqual([{ halfLife: null, logLoss: expect.closeTo(0.39, 1) as number }]);
    expect(updated.outcomes.every((cell) => cell.exposures === 0)).toBe(true);
    expect([updated.responseVersion, updated.fit.absorbed, updated.fit.seen.length / 8]).toEqual([2, 6_000, 6_000]);
    const [sequential, refitted] = [cellRates(updated)[0], cellRates(fitModel(DATED, all, fit))[0]];
    // 400 worlds leave 5 % of the interval's width.
    expect(Math.abs(sequential.mean / refitted.mean - 1)).toBeLessThan(0.02);
    expect(Math.abs((sequential.high - sequential.low) / (refitted.high - refitted.low) - 1)).toBeLessThan(0.15);
    expect(learn(updated, second)).toMatchObject({ rows: 0, rejected: { seen: 3_000 } });
    expect(learn(model, second, { update: "logistic" }).model).toEqual(updated);
  });

  it("ten small ones in a row are one large one to the bit, and a chain of small posteriors is not", async () => {
    const model = fitModel(DATED, await datedFile("o0.csv", dated(51, 20, 40, () => 0.02)), { personas: 1, worlds: 200, seed: 4 });
    // Ten times 200 rows in which one in 300 responds.
    const lines = dated(52, 50, 40, () => 0.0035), part = (from: number, to: number) => datedFile(`o${from}-${to}.csv`, lines.slice(from, to));
    let small = model, calls = 0;
    for (let from = 0; from < 2_000; from += 200) {
      small = learn(small, await part(from, from + 200), { update: "logistic" }).model;
      calls += 1;
      expect(small.open?.persona.length).toBe(from + 200);
    }
    const whole = learn(model, await part(0, 2_000), { update: "logistic" }).model;
    expect([calls, small.version, small.fit.absorbed]).toEqual([10, 11, whole.fit.absorbed]);
    expect({ ...small.response, rowRates: small.rowRates }).toEqual({ ...whole.response, rowRates: whole.rowRates });
    expect(parseModel(modelText(small)).open).toEqual(small.open);
    // A release carries no rows.
    expect([small, whole].map((each) => "open" in parseModel(releaseText(each)))).toEqual([false, false]);
    // Closed after every call, as before: each starts from the last Gaussian.
    let chained = model;
    for (let from = 0; from < 2_000; from += 200) {
      const { open: _, ...closed } = learn(chained, await part(from, from + 200), { update: "logistic" }).model;
      chained = closed;
    }
    expect(chained.response).not.toEqual(whole.response);
    // Enough responses close it, and what was open is not counted twice.
    const more = learn(small, await datedFile("o-more.csv", dated(53, 60, 40, () => 0.1).slice(2_000)), { update: "logistic" });
    expect(more.model.open).toBe(undefined);
    expect(more.model.response.stepModels[0].rows).toBe(whole.response.stepModels[0].rows + 400);
  });

  it("chooses the memory that foretold best, and refuses a belief", async () => {
    const model = fitModel(DATED, await datedFile("m0.csv", dated(31, 20, 100, () => 0.1)), { personas: 1, worlds: 60 });
    const turned = await datedFile("m1.csv", dated(32, 200, 30, (day) => 0.1 + 0.002 * day));
    const { model: updated, score } = learn(model, turned, { update: "logistic", halfLife: "auto" });
    const best = score!.memories.reduce((top, each) => (each.logLoss < top.logLoss ? each : top));
    expect(updated.halfLife).toBe(best.halfLife);
    expect(best.halfLife).not.toBeNull();
    const belief = authoredModel(SCHEMA);
    const data = await readDataset(SCHEMA, file("n.csv", rows(0, 8, "mail")));
    expect(() => learn(belief, data, { update: "logistic" })).toThrow(expect.objectContaining({ code: "BAD_MODEL" }) as PopulaceError);
  });
});
