// A gateway of a cluster, as real processes with the credentials of their roles: what it serves and what becomes of its outcomes while it is cut off, while
// coordinators and NATS are killed, and after it was started again alone.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createNatsKey, natsServerConfig, openNatsPorts } from "@populace/io/nats";
import { COMMIT, ROLE_NAMES, STREAM_TABLE, accessOf, bodyOf, commitSubject, encodeLedgerPlan, eventIdOf } from "@populace/protocol";
import { ledgerPlanOf, modelText, readModel, scoreTableOf, writeModel } from "@populace/studies";
import { expect, onTestFinished, test } from "vitest";
import { openCluster } from "../cli/cluster-client.ts";
import { describeOnNats } from "../io/nats/describe.fixture.ts";
import { NATS, freePort, startNatsServer } from "../io/nats/server.fixture.ts";
import { sha256Hex } from "@populace/io";
import { coding, contact, handModel } from "../studies/hand-model.fixture.ts";
import { startPopulace, type PopulaceProcess } from "./helpers/populace-process.ts";
import { populaceJson, temporaryFolder } from "./helpers/process.ts";
import { startChaosProxy } from "./nemesis/chaos-proxy.ts";
import { INVARIANTS } from "./simulator/invariants.ts";
import type { ClusterRecord } from "./simulator/records.ts";

const MB = 1024 * 1024;
const MODEL = handModel({
  codings: [coding("owner", "binary", 0, ["no", "yes"])],
  personas: [{ id: "calm", share: 0.6, distributions: [{ kind: "binary", alpha: 10, beta: 90 }] }, { id: "keen", share: 0.4, distributions: [{ kind: "binary", alpha: 90, beta: 10 }] }],
  stimuli: [contact("discount"), contact("news")], steps: ["visit", "buy"],
  terms: [{ kind: "intercept" }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }], coefficients: [[-2, -0.5, 0.8], [-1.2, 0.3, 0.4]], sd: 0.1, worlds: 40,
});
const outcome = (number: number, more: object = {}): object => ({ id: `order-${number}`, recipient: `r${number}`, attributes: { owner: "yes" }, stimulus: "news", reached: "visit", at: "2026-03-01T10:00:00Z", ...more });
const eventId = (number: number): string => sha256Hex(new TextEncoder().encode(`order-${number}`)).slice(0, 32);

interface Ready {
  readonly status: string;
  readonly releaseNumber: number;
  readonly staleSeconds: number | null;
  readonly outcomesWaiting: number;
}

describeOnNats("a gateway of a cluster", (program) => {
  test("serves the last release and says how stale it is, never steps back, and every outcome it acknowledged is counted once, whoever is cut off, killed or started again", async () => {
    const folder = temporaryFolder(), records: ClusterRecord[] = [];
    const keys = ROLE_NAMES.map((role) => ({ role, access: accessOf(role), ...createNatsKey() }));
    for (const { role, seed } of keys) writeFileSync(join(folder, `${role}.seed`), seed);
    const server = await startNatsServer({ program, whole: ({ port, storeDir }) => natsServerConfig({
      serverName: "test", listen: `127.0.0.1:${port}`, storeDir, fileBytesMax: 16 * 1024 * MB, cluster: "populace", streams: STREAM_TABLE.map((stream) => stream.name), users: keys,
    }) });
    onTestFinished(() => server.remove());
    const proxy = await startChaosProxy(server.port);
    onTestFinished(() => proxy.close());
    const start = (args: readonly string[]): PopulaceProcess => {
      const process = startPopulace(args);
      onTestFinished(async () => { process.child.kill("SIGKILL"); await process.ended; });
      return process;
    };
    const seedOf = (role: string): readonly string[] => ["--nats-seed", join(folder, `${role}.seed`)];
    const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const coordinate = (index: number): PopulaceProcess => start(["coordinator", "--nats", server.url, ...seedOf("coordinator"), "--store", join(folder, `coordinator-${index}`), "--listen", addresses[index]]);
    const leader = coordinate(0);
    await leader.says(/store/);
    const client = openCluster({ addresses });
    onTestFinished(() => client.close());
    await client.call("Releases", {});
    await coordinate(1).says(/store/);
    const startGateway = (): PopulaceProcess => start(["gateway", "--nats", `nats://127.0.0.1:${proxy.port}`, ...seedOf("gateway"), "--store", join(folder, "gateway"), "--port", "0"]);
    let gateway = startGateway();
    let [, url] = await gateway.says(/listening on (http:\S+),/);

    const ready = async (): Promise<Ready> => (await (await fetch(`${url}/ready`)).json()) as Ready;
    const until = async (holds: (state: Ready) => boolean): Promise<Ready> => {
      for (;;) {
        const state = await ready();
        if (holds(state)) return state;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const decide = async (): Promise<{ readonly number: number; readonly stale: number }> => {
      const response = await fetch(`${url}/v1/prioritize`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ recipient: { id: "r", attributes: { owner: "yes" } }, campaigns: [{ id: "c", stimuli: ["news"], economicValueMinor: 100 }] }) });
      expect(response.status).toBe(200);
      const { releaseNumber, release } = (await response.json()) as { readonly releaseNumber: number; readonly release: string };
      records.push({ kind: "served", observer: "client", release: releaseNumber, model: release });
      return { number: releaseNumber, stale: Number(response.headers.get("populace-stale-seconds")) };
    };
    const report = async (...outcomes: readonly object[]): Promise<{ readonly accepted: number; readonly doubled: number; readonly refused: readonly { readonly id: string; readonly reason: string }[] }> => {
      const response = await fetch(`${url}/v1/outcomes`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ outcomes }) });
      expect(response.status).toBe(202);
      return (await response.json()) as Awaited<ReturnType<typeof report>>;
    };
    const acknowledged = (...numbers: readonly number[]): void => { for (const number of numbers) records.push({ kind: "acknowledged", eventId: eventId(number) }); };
    const announce = async (model: typeof MODEL): Promise<string> => {
      const utf8 = new TextEncoder(), table = scoreTableOf(model);
      const { number, ledger } = await client.call("Release", { table: utf8.encode(JSON.stringify(table)), model: utf8.encode(modelText(model)), ledger: encodeLedgerPlan(ledgerPlanOf(model)), note: "" });
      records.push({ kind: "announced", release: number, model: table.release });
      return ledger;
    };

    expect(await ready()).toMatchObject({ status: "no release", releaseNumber: 0, staleSeconds: null });
    const ledger = await announce(MODEL);
    await until(({ status, staleSeconds }) => status === "ready" && staleSeconds === 0);
    expect(await decide()).toEqual({ number: 1, stale: 0 });
    expect(await report(outcome(1), outcome(2, { stimulus: "nwes" }), outcome(1))).toEqual({ accepted: 1, doubled: 1, withoutConsent: 0, refused: [{ id: "order-2", reason: expect.stringMatching(/"nwes" is unknown/) }] });
    acknowledged(1);
    await until(({ outcomesWaiting }) => outcomesWaiting === 0);

    // Cut off: decisions go on from the last release, and outcomes wait on its disk.
    proxy.cut("to server", "to client");
    const stale = await until(({ staleSeconds }) => (staleSeconds ?? 0) > 1);
    expect(stale).toMatchObject({ status: "ready", releaseNumber: 1 });
    expect((await decide()).stale).toBeGreaterThanOrEqual(1);
    expect(await report(outcome(3), outcome(4, { reached: "buy" }), outcome(1))).toMatchObject({ accepted: 2, doubled: 1 });
    acknowledged(3, 4);
    await announce({ ...MODEL, version: 2 });
    // The leader dies meanwhile.
    leader.child.kill("SIGKILL");
    expect(await decide()).toMatchObject({ number: 1 });
    proxy.heal();
    await until(({ outcomesWaiting, releaseNumber, staleSeconds }) => outcomesWaiting === 0 && releaseNumber === 2 && staleSeconds === 0);
    await decide();

    // NATS dies and forgets everything; the gateway is killed with an outcome in its store, and started again alone.
    await server.kill();
    expect(await report(outcome(5))).toMatchObject({ accepted: 1 });
    acknowledged(5);
    gateway.child.kill("SIGKILL");
    await gateway.ended;
    gateway = startGateway();
    [, url] = await gateway.says(/listening on (http:\S+),/);
    expect(await ready()).toMatchObject({ status: "ready", releaseNumber: 2, outcomesWaiting: 1 });
    expect((await ready()).staleSeconds).toBeGreaterThan(0);
    expect((await decide()).number).toBe(2);
    expect(await report(outcome(6), outcome(5))).toMatchObject({ accepted: 1, doubled: 1 });
    acknowledged(6);
    rmSync(server.storeDir, { recursive: true, force: true });
    await server.start();
    await until(({ outcomesWaiting, staleSeconds }) => outcomesWaiting === 0 && staleSeconds === 0);
    expect((await client.call("Release", { backTo: 1 })).number).toBe(3);
    records.push({ kind: "announced", release: 3, model: scoreTableOf(MODEL).release });
    await until(({ releaseNumber }) => releaseNumber === 3);
    await decide();

    const observer = await openNatsPorts({ servers: [server.url], name: "observer", role: "client", credentials: { nkeySeedFile: join(folder, "client.seed") }, streams: STREAM_TABLE, storeDir: null });
    onTestFinished(() => observer.close());
    for (const { bytes } of await observer.log.read(commitSubject("default", ledger))) {
      const { run, tick, manifest } = COMMIT.decode(await bodyOf(bytes, observer.blobs, "a commit"));
      records.push({ kind: "ledgered", run, tick, eventIds: manifest.map(eventIdOf) });
    }
    for (const promise of ["I8", "I9"]) expect([...INVARIANTS[promise](records, { expected: new Map(), recoveryMs: 0, mustFinish: false })], promise).toEqual([]);

    // What was counted becomes a model, once.
    const path = join(folder, "model.json"), cluster = ["--cluster", addresses.join(",")];
    writeModel(path, MODEL);
    expect(await populaceJson(["learn", "--model", path, ...cluster])).toMatchObject({ rows: 5, refused: 0, version: 2, updated: expect.arrayContaining([expect.objectContaining({ persona: "keen", stimulus: "news", step: "buy", exposures: 5, responses: 1 })]) });
    expect(await populaceJson(["learn", "--model", path, ...cluster])).toMatchObject({ rows: 0, version: 2, updated: [] });
    expect(readModel(path).ledger?.run).toBe(ledger);
    expect((await populaceJson<{ releases: { number: number }[] }>(["release", "--list", ...cluster])).releases.map(({ number }) => number)).toEqual([1, 2, 3]);
    gateway.child.kill("SIGTERM");
    expect(await gateway.ended).toBe(0);
  }, 180_000);
}, [NATS]);
