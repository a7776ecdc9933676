// A gateway of a cluster, as real processes with the credentials of their roles: what it serves and what becomes of its outcomes while it is cut off, while
// coordinators and NATS are killed, and after it was started again alone.
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createNatsKey, natsServerConfig, openNatsPorts } from "@populace/io/nats";
import { COMMIT, ROLE_NAMES, STREAM_TABLE, accessOf, bodyOf, commitSubject, eventIdOf } from "@populace/protocol";
import { readModel, writeModel } from "@populace/studies";
import { expect, onTestFinished, test } from "vitest";
import { openCluster } from "../cli/cluster-client.ts";
import { describeOnNats } from "../io/nats/describe.fixture.ts";
import { NATS, freePort, startNatsServer } from "../io/nats/server.fixture.ts";
import { GATEWAY_MODEL, announce, gatewayClient, outcomeOf } from "./helpers/gateway-client.ts";
import { startPopulace, type PopulaceProcess } from "./helpers/populace-process.ts";
import { populaceJson, temporaryFolder } from "./helpers/process.ts";
import { startChaosProxy } from "./nemesis/chaos-proxy.ts";
import { INVARIANTS } from "./simulator/invariants.ts";
import type { ClusterRecord } from "./simulator/records.ts";

const MB = 1024 * 1024;
const MODEL = GATEWAY_MODEL;

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

    const { ready, until, decide, report } = gatewayClient(() => url, records);

    expect(await ready()).toMatchObject({ status: "no release", releaseNumber: 0, staleSeconds: null });
    const ledger = await announce(client, records, MODEL);
    await until(({ status, staleSeconds }) => status === "ready" && staleSeconds === 0);
    expect(await decide()).toEqual({ number: 1, stale: 0 });
    expect(await report(outcomeOf(1), outcomeOf(2, { stimulus: "nwes" }), outcomeOf(1))).toEqual({ accepted: 1, doubled: 1, withoutConsent: 0, refused: [{ id: "order-2", reason: expect.stringMatching(/"nwes" is unknown/) }] });
    await until(({ outcomesWaiting }) => outcomesWaiting === 0);

    // Cut off: decisions go on from the last release, and outcomes wait on its disk.
    proxy.cut("to server", "to client");
    const stale = await until(({ staleSeconds }) => (staleSeconds ?? 0) > 1);
    expect(stale).toMatchObject({ status: "ready", releaseNumber: 1 });
    expect((await decide()).stale).toBeGreaterThanOrEqual(1);
    expect(await report(outcomeOf(3), outcomeOf(4, { reached: "buy" }), outcomeOf(1))).toMatchObject({ accepted: 2, doubled: 1 });
    await announce(client, records, { ...MODEL, version: 2 });
    // The leader dies meanwhile.
    leader.child.kill("SIGKILL");
    expect(await decide()).toMatchObject({ number: 1 });
    proxy.heal();
    await until(({ outcomesWaiting, releaseNumber, staleSeconds }) => outcomesWaiting === 0 && releaseNumber === 2 && staleSeconds === 0);
    await decide();

    // NATS dies and forgets everything; the gateway is killed with an outcome in its store, and started again alone.
    await server.kill();
    expect(await report(outcomeOf(5))).toMatchObject({ accepted: 1 });
    gateway.child.kill("SIGKILL");
    await gateway.ended;
    gateway = startGateway();
    [, url] = await gateway.says(/listening on (http:\S+),/);
    expect(await ready()).toMatchObject({ status: "ready", releaseNumber: 2, outcomesWaiting: 1 });
    expect((await ready()).staleSeconds).toBeGreaterThan(0);
    expect((await decide()).number).toBe(2);
    expect(await report(outcomeOf(6), outcomeOf(5))).toMatchObject({ accepted: 1, doubled: 1 });
    rmSync(server.storeDir, { recursive: true, force: true });
    await server.start();
    await until(({ outcomesWaiting, staleSeconds }) => outcomesWaiting === 0 && staleSeconds === 0);
    await announce(client, records, MODEL, 1);
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
