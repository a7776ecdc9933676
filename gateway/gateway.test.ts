import { request as httpRequest } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import fc from "fast-check";
import { id, PopulaceError, prioritizeCampaigns } from "@populace/domain";
import type { Campaign, Persona, RateEstimate, ScoreTable } from "@populace/domain";
import { memoryPorts, memoryStore, SILENT } from "@populace/io";
import { RELEASE, releaseKey, SETTLED, settledSubject } from "@populace/protocol";
import { createGateway, linkCluster, readOutcomes, startGateway } from "./mod.ts";
import type { ClusterLink, Gateway } from "./mod.ts";
import { readEvents } from "./shell/outbox.ts";

const persona = (name: string, share: number, urban: number): Persona => ({
  id: id(name), name: `<b>${name}</b>`, share, shareAlpha: share * 1000, correlation: [], logDensityFloor: -9, lineage: { event: "fitted", parents: [], atVersion: 1 },
  traits: [{ name: "urban", kind: "binary", unit: "", distribution: { kind: "binary", alpha: urban * 1000, beta: (1 - urban) * 1000 }, shape: [], evidence: { prior: 0, simulated: 0, real: 1000, external: 0 } }],
});
const rate = (mean: number): RateEstimate => ({ mean, low: mean * 0.8, high: mean * 1.2, ess: 900, essSimulated: 0, essReal: 900, label: "real" });
const table: ScoreTable = {
  release: "release-1", model: "test", version: 3, evidence: "randomized", steps: ["open", "click"], currency: "EUR", minorUnits: 100, values: null, defaultValueMinor: null,
  mixture: { codings: [{ name: "urban", kind: "binary", unit: "", transform: "identity", levels: ["no", "yes"], center: 0, scale: 1, slot: 0 }], personas: [persona("city", 0.6, 0.95), persona("country", 0.4, 0.05)] },
  stimuli: ["news", "sale"].map((name) => ({ id: name, name, contact: true, channel: "email", contactCostMinor: 1, offerCostMinor: 0 })),
  rates: [0.4, 0.1, 0.2, 0.02, 0.1, 0.03, 0.3, 0.09].map(rate),
};
const campaigns: Campaign[] = [{ id: "a", stimuli: ["news"], economicValueMinor: 100 }, { id: "b", stimuli: ["sale", "news"], economicValueMinor: 80 }];
const nowMs = Date.UTC(2026, 2, 1, 12);
const city = { id: "r1", attributes: { urban: "yes" } };

let gateway: Gateway;
const store = memoryStore();
beforeAll(async () => {
  gateway = await createGateway({ loadTable: () => table, store, campaigns, nowMs: () => nowMs });
});
afterAll(() => gateway.close());

const post = async (payload: unknown, url = "/v1/prioritize", on: Gateway = gateway) => {
  const response = await on.app.inject({ method: "POST", url, headers: { "content-type": "application/json" }, payload: typeof payload === "string" ? payload : JSON.stringify(payload) });
  return { status: response.statusCode, body: response.json(), text: response.body };
};

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("POST /v1/prioritize", () => {
  it("answers what the domain decides, with release, evidence and intervals", async () => {
    const { status, body } = await post({ recipients: [city, { id: "r2", attributes: { urban: false } }], campaigns, topN: 1 });
    expect(status).toBe(200);
    expect(body).toMatchObject({ release: "release-1", model: "test", version: 3, evidence: "randomized", mode: "plain", currency: "EUR", minorUnits: 100 });
    for (const [index, recipient] of [city, { id: "r2", attributes: { urban: false } }].entries()) expect(body.decisions[index]).toMatchObject(JSON.parse(JSON.stringify(prioritizeCampaigns(table, recipient, campaigns, { topN: 1 }))));
    // By hand: city clicks news .1 x 100 = 10, best of b is news .1 x 80 = 8.
    expect(body.decisions[0].ranked[0]).toMatchObject({ campaign: "a", stimulus: "news", score: 10, rate: 0.1, value: 100, low: expect.closeTo(8, 9), high: expect.closeTo(12, 9), label: "real", ess: 900 });
    expect(body.decisions[1].ranked[0]).toMatchObject({ campaign: "b", stimulus: "sale" });
  });

  it("ranks the campaigns it holds, all or by id", async () => {
    const all = await post({ recipient: city });
    expect(all.body.decisions[0].ranked.map((row: { campaign: string }) => row.campaign)).toEqual(["a", "b"]);
    const one = await post({ recipient: city, campaigns: ["b"] });
    expect(one.body.decisions[0].ranked).toHaveLength(1);
    const unknown = await post({ recipient: city, campaigns: ["B2"] });
    expect([unknown.status, unknown.body.error.code]).toEqual([404, "NOT_FOUND"]);
    expect(unknown.body.error.message).toMatch(/did you mean "b"/);
  });

  it("gives equal requests equal decision ids and other ones other ids", async () => {
    const ids = await Promise.all([{ recipient: city }, { recipient: city }, { recipient: city, topN: 1 }, { recipient: { ...city, id: "r9" } }, { recipient: { id: "r1", attributes: {} } }].map(async (body) => (await post(body)).body.decisions[0].decisionId as string));
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(4);
    const draws = await Promise.all([1, 2, 1].map(async (seed) => (await post({ recipient: city, mode: "thompson", seed })).text));
    expect(draws[0]).toBe(draws[2]);
    expect(draws[0]).not.toBe(draws[1]);
  });

  it("suppresses everything for who did not consent", async () => {
    const reasons = async (recipient: unknown, more = {}) => (await post({ recipient, ...more })).body.decisions[0].suppressed.map((row: { reason: string }) => row.reason);
    expect(await reasons({ ...city, consent: { purpose: "marketing", until: "2026-02-28" } })).toEqual(["no consent", "no consent"]);
    expect(await reasons({ ...city, consent: { purpose: "research", until: null } })).toEqual(["no consent", "no consent"]);
    expect(await reasons({ ...city, consent: false })).toEqual(["no consent", "no consent"]);
    expect(await reasons({ ...city, consent: { purpose: "marketing", until: "2026-03-01" } })).toEqual([]);
    expect(await reasons(city, { purpose: "marketing" })).toEqual(["no consent", "no consent"]);
    expect(await reasons(city)).toEqual([]);
    const strict = await createGateway({ loadTable: () => table, campaigns, requireConsent: true, nowMs: () => nowMs });
    expect((await post({ recipient: city }, "/v1/prioritize", strict)).body.decisions[0].suppressed).toHaveLength(2);
    await strict.close();
  });

  it.each([
    ["an unknown attribute", { recipient: { id: "r", attributes: { urbam: "yes" } } }, /attribute "urbam" is unknown; did you mean "urban"/],
    ["an unknown stimulus", { recipient: city, campaigns: [{ id: "x", stimuli: ["newz"], economicValueMinor: 1 }] }, /stimulus "newz" is unknown to test; did you mean "news"/],
    ["a negative value", { recipient: city, campaigns: [{ id: "x", stimuli: ["news"], economicValueMinor: -1 }] }, /economicValueMinor must be >= 0/],
    ["a text where a number belongs", { recipient: city, topN: "3" }, /body\/topN must be integer/],
    ["an unknown key", { recipient: city, topn: 3 }, /additional properties.*topn/],
    ["neither recipient nor recipients", { campaigns: [] }, /exactly one/],
    ["no body", "", /Body/],
    ["NaN", '{"recipient": {"id": "r", "attributes": {"urban": NaN}}}', /JSON/],
    ["a number beyond all bounds", '{"recipient": {"id": "r", "attributes": {}}, "scoreMinMinor": 1e999}', /scoreMinMinor/],
    ["a prototype key", '{"recipient": {"id": "r", "attributes": {"__proto__": {"x": 1}}}}', /prototype|JSON/i],
    ["a constructor key", '{"recipient": {"id": "r", "attributes": {"constructor": {"prototype": {"x": 1}}}}}', /prototype|JSON/i],
    ["a list", "[]", /object/],
  ])("refuses %s", async (_name, payload, message) => {
    const { status, body } = await post(payload);
    expect(status).toBe(400);
    expect(body.error.code).toBe("BAD_REQUEST");
    expect(body.error.message).toMatch(message);
    expect(body.error.details).toBeTypeOf("object");
  });

  it("refuses a huge body, a foreign content type and unknown routes with our own error form", async () => {
    const huge = await post(`{"recipient": {"id": "${"x".repeat(1_100_000)}", "attributes": {}}}`);
    expect([huge.status, huge.body.error.code]).toEqual([413, "TOO_LARGE"]);
    const foreign = await gateway.app.inject({ method: "POST", url: "/v1/prioritize", headers: { "content-type": "text/xml" }, payload: "<a/>" });
    expect([foreign.statusCode, foreign.json().error.code]).toEqual([400, "BAD_REQUEST"]);
    const lost = await gateway.app.inject({ url: "/v2/nothing" });
    expect([lost.statusCode, lost.json().error.code]).toEqual([404, "NOT_FOUND"]);
  });

  it("answers any JSON with a decision or a refusal, never a failure", async () => {
    const value = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom("__proto__", "constructor", "toString"));
    const nearly = fc.record({ recipient: fc.oneof(value, fc.record({ id: fc.string(), attributes: fc.dictionary(fc.string(), value), consent: value }, { requiredKeys: [] })), recipients: value, campaigns: fc.oneof(value, fc.array(fc.record({ id: fc.string(), stimuli: fc.array(fc.constantFrom("news", "sale", "x")), economicValueMinor: value }, { requiredKeys: [] }))), topN: value, mode: value, purpose: value, seed: value }, { requiredKeys: [] });
    await fc.assert(
      fc.asyncProperty(fc.oneof(nearly.map((body) => JSON.stringify(body)), fc.string(), fc.json()), async (payload) => {
        const { status, body } = await post(payload);
        expect([200, 400, 404, 413]).toContain(status);
        if (status !== 200) expect(Object.keys(body)).toEqual(["error"]);
        expect(JSON.stringify(body)).not.toMatch(/\.ts:|node_modules/);
      }),
      { numRuns: 300 },
    );
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });
});

describe("POST /v1/outcomes", () => {
  const outcome = { id: "o1", recipient: "r1", attributes: { urban: "yes" }, stimulus: "news", reached: "open", at: "2026-03-01T10:00:00Z" };

  it("keeps each outcome once, in order, with its consent", async () => {
    expect(await post({ outcomes: [outcome, { ...outcome, id: "o2", reached: null }] }, "/v1/outcomes")).toMatchObject({ status: 202, body: { accepted: 2, doubled: 0, withoutConsent: 0 } });
    expect(await post({ outcomes: [outcome, { ...outcome, id: "o3", consent: { purpose: "marketing", until: null } }, { ...outcome, id: "o4", consent: false }] }, "/v1/outcomes")).toMatchObject({ status: 202, body: { accepted: 1, doubled: 1, withoutConsent: 1 } });
    expect(readOutcomes(store).map((row) => [row.sequence, row.outcome.id])).toEqual([[1, "o1"], [2, "o2"], [3, "o3"]]);
    expect(readOutcomes(store, 2)[0]!.outcome).toEqual({ ...outcome, id: "o3", consent: { purpose: "marketing", until: null } });
  });

  it("refuses what cannot be counted with the reason, and lets the others flow", async () => {
    const before = readOutcomes(store).length;
    for (const [change, message] of [[{ stimulus: "sales" }, /did you mean "sale"/], [{ reached: "buy" }, /expected one of open, click/], [{ at: "yesterday" }, /RFC 3339/], [{ attributes: { x: 1 } }, /attribute "x" is unknown/], [{ valueMinor: -1 }, /valueMinor/]] as const) {
      const { status, body } = await post({ outcomes: [{ ...outcome, id: "bad", ...change }] }, "/v1/outcomes");
      expect([status, body.error.code]).toEqual([400, "BAD_REQUEST"]);
      expect(body.error.message).toMatch(message);
    }
    expect(readOutcomes(store)).toHaveLength(before);
    // Clocks differ by some minutes; beyond that it has not happened yet.
    expect(await post({ outcomes: [{ ...outcome, id: "soon", at: "2026-03-01T12:04:59Z" }] }, "/v1/outcomes")).toMatchObject({ status: 202, body: { accepted: 1 } });
    expect(await post({ outcomes: [{ ...outcome, id: "to come", at: "2026-03-01T12:05:01Z" }] }, "/v1/outcomes")).toMatchObject({ status: 400, body: { error: { code: "BAD_REQUEST", message: expect.stringMatching(/outcome 0 \("to come"\): field at: 2026-03-01T12:05:01Z is still to come/) } } });
    const mixed = await post({ outcomes: [{ ...outcome, id: "poison", stimulus: "sales" }, { ...outcome, id: "good" }, { ...outcome, id: "late", at: "yesterday" }] }, "/v1/outcomes");
    expect(mixed).toMatchObject({ status: 202, body: { accepted: 1, doubled: 0, refused: [{ id: "poison", reason: expect.stringMatching(/did you mean "sale"/) }, { id: "late", reason: expect.stringMatching(/RFC 3339/) }] } });
    expect((await gateway.app.inject({ url: "/v1/outcomes/refused" })).json()).toEqual({ refused: mixed.body.refused });
    expect(readOutcomes(store).at(-1)!.outcome.id).toBe("good");
  });

  it("goes into a ledger when it is no older than the ledger's horizon, by the day, whose duplicates are refused until ids are forgotten", async () => {
    const run = "ab".repeat(32), ports = memoryPorts(), own = memoryStore();
    await ports.registry.create(releaseKey("default", 1), RELEASE.encode({ number: 1, content: await ports.blobs.put(new TextEncoder().encode(JSON.stringify(table))), model: "", ledger: run, runs: [], note: "" }));
    let todayMs = nowMs;
    const start = async (): Promise<{ readonly link: ClusterLink; readonly on: Gateway }> => {
      const link = linkCluster({ store: own, tenant: "default", logger: SILENT, nowMs: () => todayMs, open: async () => ({ ...ports, connection: { isLive: () => true, closed: new Promise(() => {}) }, close: async () => {} }) });
      await until(() => link.release() !== null);
      return { link, on: await createGateway({ cluster: link, store: own, nowMs: () => todayMs }) };
    };
    const settle = async ({ link }: { readonly link: ClusterLink }): Promise<void> => {
      ports.bus.publish(settledSubject("default", run), SETTLED.encode({ run, tick: 0, manifest: readEvents(own).map(({ text }) => text) }));
      await until(() => link.waiting() === 0);
    };
    const first = await start();
    const tooOld = await post({ outcomes: [{ ...outcome, at: "2025-11-30T23:59:59Z" }] }, "/v1/outcomes", first.on);
    expect(tooOld).toMatchObject({ status: 400, body: { error: { code: "BAD_REQUEST", message: expect.stringMatching(/outcome 0 \("o1"\): field at: 2025-11-30T23:59:59Z is older than the 90 days .*expected 2025-12-01 or later/) } } });
    expect(await post({ outcomes: [{ ...outcome, at: "2025-12-01T00:00:00Z" }, { ...outcome, id: "old", at: "2025-11-01T10:00:00Z" }] }, "/v1/outcomes", first.on)).toMatchObject({ status: 202, body: { accepted: 1, doubled: 0, refused: [{ id: "old" }] } });
    await settle(first);
    expect(await post({ outcomes: [outcome] }, "/v1/outcomes", first.on)).toMatchObject({ status: 202, body: { accepted: 0, doubled: 1 } });
    todayMs += 91 * 86_400_000;
    expect(await post({ outcomes: [{ ...outcome, id: "o2", at: "2026-05-31T10:00:00Z" }] }, "/v1/outcomes", first.on)).toMatchObject({ status: 202, body: { accepted: 1 } });
    await settle(first);
    await first.on.close();
    await first.link.close();
    const second = await start();
    await until(() => second.link.counters.idsForgotten > 0);
    expect(second.link.counters.idsForgotten).toBe(1);
    expect(await post({ outcomes: [{ ...outcome, at: "2025-12-01T00:00:00Z" }] }, "/v1/outcomes", second.on)).toMatchObject({ status: 400, body: { error: { message: expect.stringMatching(/is older than the 90 days/) } } });
    expect(await post({ outcomes: [{ ...outcome, id: "o2", at: "2026-05-31T10:00:00Z" }] }, "/v1/outcomes", second.on)).toMatchObject({ status: 202, body: { accepted: 0, doubled: 1 } });
    expect((await second.on.app.inject({ url: "/metrics" })).body).toContain("populace_gateway_ids_forgotten_total 1");
    await second.on.close();
    await second.link.close();
    await ports.close();
  });

  it("is refused without a store", async () => {
    const bare = await createGateway({ loadTable: () => table });
    expect(await post({ outcomes: [outcome] }, "/v1/outcomes", bare)).toMatchObject({ status: 503, body: { error: { code: "UNAVAILABLE" } } });
    await bare.close();
  });
});

describe("releases", () => {
  it("are swapped whole, and the last one is served when the next is bad or cannot be had", async () => {
    let next: () => ScoreTable | null = () => null;
    const living = await createGateway({ loadTable: () => next(), campaigns });
    expect((await living.app.inject({ url: "/ready" })).statusCode).toBe(503);
    expect((await living.app.inject({ url: "/health" })).statusCode).toBe(200);
    expect(await post({ recipient: city }, "/v1/prioritize", living)).toMatchObject({ status: 503, body: { error: { code: "UNAVAILABLE" } } });
    next = () => table;
    expect(await living.refresh()).toBe(true);
    expect(await living.refresh()).toBe(false);
    next = () => ({ ...table, release: "release-2", rates: [] });
    expect(await living.refresh()).toBe(false);
    next = () => {
      throw new PopulaceError("UNAVAILABLE", "the store is gone", {});
    };
    expect(await living.refresh()).toBe(false);
    expect((await post({ recipient: city }, "/v1/prioritize", living)).body.release).toBe("release-1");
    // A release without a stimulus that a held campaign names: suppressed, the rest goes on.
    next = () => ({ ...table, release: "release-3", version: 4, stimuli: [table.stimuli[0]!, { ...table.stimuli[1]!, id: "other" }] });
    expect(await living.refresh()).toBe(true);
    const only = await post({ recipient: city, campaigns: ["b"] }, "/v1/prioritize", living);
    expect(only.body).toMatchObject({ release: "release-3", version: 4 });
    expect(only.body.decisions[0].ranked[0].stimulus).toBe("news");
    expect((await living.app.inject({ url: "/metrics" })).body).toMatch(/populace_gateway_refresh_failures_total 2/);
    await living.close();
  });
});

describe("what people and machines read", () => {
  it("shows personas, model, OpenAPI, metrics and a page in which names are only text", async () => {
    const personas = (await gateway.app.inject({ url: "/v1/personas" })).json();
    expect(personas.personas[1]).toMatchObject({ id: "country", share: 0.4, lineage: { event: "fitted" } });
    expect(personas.personas[0].rates).toHaveLength(4);
    expect((await gateway.app.inject({ url: "/v1/model" })).json()).toMatchObject({ steps: ["open", "click"], attributes: [{ name: "urban", levels: ["no", "yes"] }], campaigns: ["a", "b"], consentPurpose: null });
    const openapi = (await gateway.app.inject({ url: "/openapi.json" })).json();
    expect(openapi.openapi).toBe("3.1.0");
    expect(Object.keys(openapi.paths)).toEqual(expect.arrayContaining(["/v1/prioritize", "/v1/outcomes", "/v1/personas", "/v1/model", "/health", "/ready"]));
    expect((await gateway.app.inject({ url: "/metrics" })).body).toMatch(/populace_gateway_decisions_total/);
    const page = await gateway.app.inject({ url: "/" });
    expect(page.headers["content-type"]).toMatch(/text\/html/);
    expect(page.headers["content-security-policy"]).toMatch(/default-src 'none'/);
    expect(page.body).toContain("40.0 %");
    expect(page.body).toContain("<svg");
    expect(page.body).not.toContain("<b>city");
    expect(page.body).not.toContain("<script");
  });

  it("listens on a free port and says which", async () => {
    const running = await startGateway({ loadTable: () => table, campaigns, port: 0 });
    const status = await new Promise<number>((resolve, reject) => httpRequest(`${running.url}/ready`, (response) => resolve(response.resume().statusCode!)).on("error", reject).end());
    expect(status).toBe(200);
    await expect(startGateway({ loadTable: () => table, port: Number(new URL(running.url).port) })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await running.close();
  });
});
