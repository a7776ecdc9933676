import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelText, readStudy, scoreTableOf, compilePlan, summarizeRun } from "@populace/studies";
import { coding, contact, handModel } from "../studies/hand-model.fixture.ts";
import { runHere } from "../studies/local-run.fixture.ts";
import { createGateway } from "@populace/gateway";
import type { Gateway } from "@populace/gateway";

/** As a fitted model has it: with the value by which the data name it. */
const DISCOUNT = { ...contact("discount"), value: "Discount" };
/** A discount acts through its price cut, which the model knows as a feature, so that it can say something of a new one. */
const MODEL = handModel({
  codings: [coding("income", "continuous", 0), coding("owner", "binary", 1)],
  personas: [
    { id: "calm", share: 0.6, distributions: [{ kind: "continuous", mean: 0, kappa: 400, shape: 200, rate: 200 }, { kind: "binary", alpha: 30, beta: 70 }] },
    { id: "keen", share: 0.4, distributions: [{ kind: "continuous", mean: 0.8, kappa: 400, shape: 200, rate: 80 }, { kind: "binary", alpha: 70, beta: 30 }] },
  ],
  stimuli: [DISCOUNT, contact("news")], steps: ["visit", "buy"],
  terms: [{ kind: "intercept" }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }, { kind: "trait", trait: 1, level: -1 }],
  coefficients: [[-2, -0.5, 0.9, 0.8], [-1.2, 0.3, -0.7, 0.4]], sd: 0.1, worlds: 60,
});
const table = scoreTableOf(MODEL);
let gateway: Gateway;
let isThere = true;
beforeAll(async () => {
  gateway = await createGateway({ loadTable: () => table, loadModel: async (release) => (isThere && release === table.release ? modelText(MODEL) : null) });
});
afterAll(() => gateway.close());

const ask = async (body: unknown, on: Gateway = gateway) => {
  const response = await on.app.inject({ method: "POST", url: "/v1/simulate", headers: { "content-type": "application/json" }, payload: JSON.stringify(body) });
  return { status: response.statusCode, body: response.json() };
};

describe("POST /v1/simulate", () => {
  it("answers the rates that a run of one tick has, to the bit, with intervals and evidence", async () => {
    const { status, body } = await ask({ stimulus: "news", agents: 100_000, seed: 7 });
    expect(status).toBe(200);
    expect(body).toMatchObject({ release: table.release, evidence: "randomized", stimulus: "news", agents: 100_000, exposures: 100_000, milliseconds: expect.any(Number) });
    const study = readStudy({ agents: 100_000, ticks: 1, seed: 7, stimuli: ["news"], population: { form: "coded" } }, MODEL), plan = compilePlan(MODEL, study);
    const rows = summarizeRun(MODEL, study, plan, runHere(plan)).map(({ persona, step, mean, low, high, ess, label, responses, exposures }) => ({ persona, step, mean, low, high, ess, label, responses, exposures }));
    expect(body.rates).toEqual(JSON.parse(JSON.stringify(rows)));
    expect(body.rates.map((row: { persona: string }) => row.persona)).toEqual(["calm", "calm", "keen", "keen", "*", "*"]);
    for (const row of body.rates) expect(row.low < row.mean && row.mean < row.high && row.label === "simulated only").toBe(true);
  });

  it("answers for a stimulus nobody has seen, with wider intervals, for the personas asked", async () => {
    const known = (await ask({ stimulus: "discount", agents: 50_000 })).body.rates.at(-1);
    const { status, body } = await ask({ stimulus: { id: "coupon", channel: "email", offer: { priceCut: 0.2 }, copy: { subject: "A fifth off" } }, agents: 50_000, personas: ["keen"] });
    expect(status).toBe(200);
    expect(body.rates.map((row: { persona: string }) => row.persona)).toEqual(["keen", "keen", "*", "*"]);
    const fresh = body.rates.at(-1);
    expect((fresh.high - fresh.low) / fresh.mean).toBeGreaterThan(2 * (known.high - known.low) / known.mean);
  });

  it("gives the same question the same answer at once, whoever asks beside it", async () => {
    const answers = await Promise.all([1, 2, 3, 1, 2, 3].map((seed) => ask({ stimulus: "news", agents: 30_000, seed })));
    answers.forEach(({ status, body }, at) => {
      expect(status).toBe(200);
      expect(body.rates).toEqual(answers[at % 3]!.body.rates);
    });
    expect(answers[0]!.body.rates).not.toEqual(answers[1]!.body.rates);
  });

  it.each([
    ["an unknown stimulus", { stimulus: "newz" }, "BAD_STUDY", /unknown stimulus "newz"; did you mean "news"/],
    ["an unknown persona", { stimulus: "news", personas: ["keem"] }, "BAD_STUDY", /unknown persona "keem"; did you mean "keen"/],
    ["a new stimulus by the id of an old one", { stimulus: { id: "news" } }, "BAD_STUDY", /already a stimulus/],
    ["more agents than a question may have", { stimulus: "news", agents: 1e9 }, "BAD_REQUEST", /agents/],
    ["a price cut above everything", { stimulus: { id: "x", offer: { priceCut: 2 } } }, "BAD_REQUEST", /priceCut|stimulus/],
    ["an unknown key", { stimulus: "news", agent: 5 }, "BAD_REQUEST", /agent/],
    ["no stimulus", {}, "BAD_REQUEST", /stimulus/],
  ])("refuses %s", async (_name, payload, code, message) => {
    const { status, body } = await ask(payload);
    expect([status, body.error.code]).toEqual([400, code]);
    expect(body.error.message).toMatch(message);
    // What was refused is not remembered as an answer, and the thread goes on.
    expect((await ask({ stimulus: "news", agents: 1000 })).status).toBe(200);
  });

  it("says so when it has no model", async () => {
    const bare = await createGateway({ loadTable: () => table });
    expect(await ask({ stimulus: "news" }, bare)).toMatchObject({ status: 503, body: { error: { code: "UNAVAILABLE", message: expect.stringContaining("without models") } } });
    await bare.close();
    isThere = false;
    const lost = await createGateway({ loadTable: () => ({ ...table, release: "lost" }), loadModel: async () => null });
    expect(await ask({ stimulus: "news" }, lost)).toMatchObject({ status: 503, body: { error: { code: "UNAVAILABLE", message: expect.stringContaining("release lost") } } });
    await lost.close();
    isThere = true;
    const damaged = await createGateway({ loadTable: () => ({ ...table, release: "damaged" }), loadModel: async () => modelText(MODEL).replace("calm", "calx") });
    expect(await ask({ stimulus: "news" }, damaged)).toMatchObject({ status: 422, body: { error: { code: "BAD_MODEL" } } });
    await damaged.close();
  });

  it("answers from the next release once it is served, and the last question of the old one too", async () => {
    let served = table, text = modelText(MODEL);
    const living = await createGateway({ loadTable: () => served, loadModel: async () => text });
    const before = await ask({ stimulus: "news", agents: 200_000 }, living);
    // Asked before the swap and answered after it, or after both: in either case by the release it names.
    const pending = ask({ stimulus: "news", agents: 5_000_000 }, living);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
    const next = { ...MODEL, version: MODEL.version + 1, response: { ...MODEL.response, stepModels: MODEL.response.stepModels.map((step, k) => (k > 0 ? step : { ...step, mean: step.mean.map((value, at) => (at === 0 ? value + 1 : value)), draws: step.draws.map((value, at) => (at % 4 === 0 ? value + 1 : value)) })) } };
    served = scoreTableOf(next);
    text = modelText(next);
    expect(await living.refresh()).toBe(true);
    const after = await ask({ stimulus: "news", agents: 200_000 }, living);
    const rateOf = (reply: typeof after): number => reply.body.rates[0].mean;
    expect(after.body.release).toBe(served.release);
    expect(rateOf(after)).toBeGreaterThan(1.5 * rateOf(before));
    const late = await pending, like = late.body.release === served.release ? after : before;
    expect(late.status).toBe(200);
    expect(Math.abs(rateOf(late) / rateOf(like) - 1)).toBeLessThan(0.05);
    await living.close();
  });
});
