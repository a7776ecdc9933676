// What goes wrong with a real server while the ports are in use, and what they make of it.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import type { Socket } from "node:net";
import { connect } from "@nats-io/transport-node";
import { describe, expect, onTestFinished, test } from "vitest";
import { IO_LIMITS, type LogEntry } from "../mod.ts";
import { describeOnNats } from "./describe.fixture.ts";
import { KB, api, open, opened, rawClient, started, until } from "./helpers.fixture.ts";
import { hushEnding } from "./link.ts";
import { NATS, startNatsCluster } from "./server.fixture.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const numberOf = (entry: LogEntry): number => new DataView(entry.bytes.buffer).getUint32(0);
function numbered(value: number): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setUint32(0, value);
  return body;
}

describeOnNats("through faults of NATS", (program) => {
  test("a server killed and started again loses nothing, repeats nothing, and whoever follows goes on", async () => {
    const server = await started({ program });
    const ports = await opened(server);
    const seen: LogEntry[] = [];
    ports.log.follow("record.*", 0, (entry) => void seen.push(entry));
    const appends: Promise<unknown>[] = [];
    let isDone = false;
    const writing = (async () => {
      for (let index = 0; !isDone; index += 1) {
        appends.push(ports.log.append(`record.${index % 3}`, numbered(index)));
        if (index % 10 === 0) await appends.at(-1);
      }
    })();
    for (let kill = 0; kill < 2; kill += 1) {
      const before = appends.length;
      await until("appends", () => appends.length > before + 100);
      await server.kill();
      await server.start();
    }
    isDone = true;
    await writing;
    await Promise.all(appends);
    const entries = await ports.log.read("record.*", { limit: 1_000_000 });
    expect(entries.map(numberOf).toSorted((left, right) => left - right)).toEqual(appends.map((_, index) => index));
    await until("the follower has all", () => seen.length >= entries.length);
    expect(seen.map((entry) => entry.sequence)).toEqual(entries.map((entry) => entry.sequence));
    expect(ports.connection.counters.reconnects).toBe(2);
  });

  test("compare-and-set and slots know their own work when the answer was lost", async () => {
    const server = await started({ program });
    const ports = await opened(server);
    // Acknowledgments never arrive: the server is frozen after it has read the request, or before.
    let last = 0, revision = 0;
    for (let round = 0; round < 3; round += 1) {
      const appending = ports.log.append("record.c", numbered(round), last);
      const filling = ports.log.fill(`slot.${round}`, numbered(round));
      const updating = revision === 0 ? ports.registry.create("k", numbered(round)) : ports.registry.update("k", numbered(round), revision);
      await new Promise((resolve) => setImmediate(resolve));
      await server.kill();
      await server.start();
      const appended = await appending, updated = await updating;
      expect(appended).toMatchObject({ appended: true });
      expect(await filling).toMatchObject({ filled: true });
      expect(updated.ok).toBe(true);
      last = (appended as { sequence: number }).sequence;
      revision = (updated as { revision: number }).revision;
    }
    expect((await ports.log.read("record.c")).map(numberOf)).toEqual([0, 1, 2]);
  });

  test("a full stream makes writers wait until there is room, and fails by name when there never is", async () => {
    const server = await started({ program });
    const ports = await opened(server), impatient = await opened(server, { role: "node", patienceMs: 300 });
    const body = new Uint8Array(10 * KB);
    for (let index = 0; index < 6; index += 1) await ports.log.fill(`slot.${index}`, body);
    await expect(impatient.log.fill("slot.6", body)).rejects.toMatchObject({ code: "STORE_FAILED", message: expect.stringMatching(/slot\.6 in stream populace_SLOT.*no room.*maximum bytes exceeded.*populace runs remove/) });
    // Filled slots still say so: a full stream is no filled slot.
    expect((await impatient.log.fill("slot.5", bytes(1)))).toEqual({ filled: false, stored: body });
    const waiting = ports.log.fill("slot.6", body);
    await until("back-pressure", () => ports.connection.counters.backPressureWaits > 0);
    await ports.log.purge("slot.0", Number.MAX_SAFE_INTEGER);
    expect((await waiting).filled).toBe(true);
    const slots = (await ports.connection.streams()).find((stream) => stream.name === "populace_SLOT")!;
    expect(slots).toMatchObject({ bytesMax: 64 * KB, messages: 6 });
    expect(slots.bytes / slots.bytesMax).toBeGreaterThan(0.9);
  });

  test("a server that lost its store is furnished anew by the coordinator, and whoever follows begins anew", async () => {
    const server = await started({ program });
    const ports = await opened(server);
    const seen: string[] = [];
    ports.log.follow("record.*", 0, (entry) => void seen.push(`${entry.sequence}:${numberOf(entry)}`));
    for (let index = 0; index < 3; index += 1) await ports.log.append("record.1", numbered(index));
    await ports.log.acknowledge("reader", 3);
    await until("three entries", () => seen.length === 3);
    await server.kill();
    rmSync(server.storeDir, { recursive: true });
    await server.start();
    // All at once, whichever is asked for first, and before any is.
    const witness = await rawClient(server);
    await until("all streams", async () => ((await api(witness, "STREAM.NAMES", {})) as unknown as { readonly streams: readonly string[] | null }).streams?.length === 5);
    expect(await ports.log.append("record.1", numbered(10), 0)).toEqual({ appended: true, sequence: 1 });
    await until("the first new entry", () => seen.includes("1:10"));
    expect(ports.connection.counters.streamLosses).toBeGreaterThan(0);
    expect((await ports.log.consume("reader", "record.*")).map(numberOf)).toEqual([10]);
  });

});

describeOnNats("through faults of NATS that look alike on every server", (program) => {
  test("a frozen server is noticed, the bus queues within its bound, and what it keeps arrives afterwards", async () => {
    const server = await started({ program });
    const ports = await opened(server);
    const heard: number[] = [];
    ports.bus.subscribe("n", (_, body) => void heard.push(new DataView(body.buffer).getUint32(0)));
    await server.kill("SIGSTOP");
    await until("the silence is noticed", () => !ports.connection.isLive());
    for (let index = 0; index < IO_LIMITS.busQueueMax + 5; index += 1) ports.bus.publish("n", numbered(index));
    expect(ports.connection.counters.busDropped).toBe(5);
    await server.kill("SIGCONT");
    await until("the newest arrives", () => heard.at(-1) === IO_LIMITS.busQueueMax + 4);
    expect(heard.length).toBe(IO_LIMITS.busQueueMax);
    expect(ports.connection.isLive()).toBe(true);
  });

  test("entries are read one by one or by a consumer, however many, and never by a consumer that has nothing to deliver", async () => {
    const server = await started({});
    const { log } = await opened(server);
    const made: string[] = [];
    const witness = await rawClient(server);
    witness.subscribe("$JS.API.CONSUMER.CREATE.>", { callback: (_, message) => void made.push(message.subject) });
    await witness.flush();
    const consumers: number[] = [];
    for (let count = 1; count <= 14; count += 1) {
      await log.append("record.a", numbered(count));
      const before = made.length;
      expect((await log.read("record.a")).map(numberOf)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
      await witness.flush();
      consumers.push(made.length - before);
    }
    expect(consumers.slice(0, 7)).toEqual([0, 0, 0, 0, 0, 0, 1]);
    expect(consumers.slice(7).every((each) => each === 1)).toBe(true);
  });

  test("a follower whose consumer was taken away goes on without a gap", async () => {
    const server = await started({ program });
    const ports = await opened(server);
    const seen: number[] = [];
    ports.log.follow("record.*", 0, (entry) => void seen.push(numberOf(entry)));
    await ports.log.append("record.1", numbered(0));
    await until("the first entry", () => seen.length === 1);
    const client = await rawClient(server);
    const { consumers } = (await api(client, "CONSUMER.NAMES.populace_RECORD", {})) as unknown as { consumers: string[] };
    for (const consumer of consumers) await api(client, `CONSUMER.DELETE.populace_RECORD.${consumer}`, {});
    expect(consumers.length).toBeGreaterThan(0);
    for (let index = 1; index < 5; index += 1) await ports.log.append("record.1", numbered(index));
    await until("all entries", () => seen.length === 5);
    expect(seen).toEqual([0, 1, 2, 3, 4]);
  });

  test("a socket that is thrown away fails in silence: the library takes its listeners off first", async () => {
    const client = await rawClient(await started({ program }));
    const { socket } = (client as unknown as { protocol: { transport: { socket: Socket } } }).protocol.transport;
    hushEnding(client);
    socket.removeAllListeners();
    expect(socket.emit("error", new Error("write after end"))).toBe(true);
    socket.destroy();
  });

  test("closing ends what waits, and nothing may be asked afterwards", async () => {
    const server = await started({ program });
    const ports = await open(server);
    await server.kill();
    const waiting = ports.log.append("record.1", bytes(1));
    const rejected = expect(waiting).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await ports.close();
    await rejected;
    await expect(ports.log.last("record.1")).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("closed") });
    expect(await ports.connection.closed).toBe(null);
  });
}, [NATS]);

const canMount = spawnSync("unshare", ["--mount", "--map-root-user", "true"]).status === 0;

describeOnNats("a full disk under NATS", (program) => {
  test.skipIf(!canMount)(`makes writers wait and then fails by name${canMount ? "" : " (skipped: no file system of its own may be mounted here)"}`, async () => {
    const server = await started({ program, command: (path, args, storeDir) => ["unshare", "--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"', storeDir, path, ...args] });
    const ports = await opened(server, { patienceMs: 1500 });
    const filled = (async () => {
      for (let index = 0; index < 60; index += 1) await ports.log.append("record.1", new Uint8Array(64 * KB));
    })();
    await expect(filled).rejects.toMatchObject({ code: expect.stringMatching(/^(STORE_FAILED|UNAVAILABLE)$/), message: expect.stringContaining("record.1 in stream populace_RECORD") });
  });
});

describe.skipIf(NATS.path === "")(`three servers${NATS.path === "" ? ` (skipped: ${NATS.why})` : ""}`, () => {
  test("go on when the leader of a stream is killed, and nothing acknowledged is missing", async () => {
    const servers = await startNatsCluster(3, {});
    onTestFinished(() => Promise.all(servers.map((server) => server.remove())).then(() => {}));
    const ports = await opened({ url: servers[0]!.url }, { servers: servers.map((server) => server.url), replicas: 3, startMs: 30_000 });
    for (let index = 0; index < 50; index += 1) await ports.log.append("record.1", numbered(index));
    const client = await connect({ servers: servers.map((server) => server.url) });
    onTestFinished(() => client.close());
    const { cluster } = JSON.parse((await client.request("$JS.API.STREAM.INFO.populace_RECORD", "{}")).string()) as { cluster: { leader: string } };
    const leader = servers.find((server) => cluster.leader === `server-${server.port}`)!;
    await leader.kill();
    for (let index = 50; index < 60; index += 1) await ports.log.append("record.1", numbered(index));
    expect((await ports.log.read("record.1")).map(numberOf)).toEqual(Array.from({ length: 60 }, (_, index) => index));
    const single = await started({});
    await expect(open(single, { replicas: 3, startMs: 300 })).rejects.toMatchObject({ code: "SERVER_UNFIT", message: expect.stringMatching(/wants 3 replicas.*start as many servers/) });
    await expect(open({ url: servers.find((server) => server !== leader)!.url }, { replicas: 1, startMs: 10_000 })).rejects.toMatchObject({ code: "SERVER_UNFIT", message: expect.stringContaining("num_replicas is 3, expected 1") });
  }, 120_000);
});
