// Who is let in, what a server must be, and what each role may do there.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { afterAll, expect, test } from "vitest";
import { describeOnNats } from "./describe.fixture.ts";
import { MB, STREAMS, api, open, opened, rawClient, started } from "./helpers.fixture.ts";
import { createNatsKey, natsServerConfig, type NatsAccess, type NatsPorts, type NatsRole } from "./mod.ts";
import { NATS, type NatsProgram, type NatsServer } from "./server.fixture.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-nats-access-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describeOnNats("at the start, NATS", (program) => {
  test("without JetStream, or not there, or without room is a named error", async () => {
    const bare = await started({ program, jetStream: false });
    await expect(open(bare)).rejects.toMatchObject({ code: "SERVER_UNFIT", message: expect.stringMatching(/has no JetStream.*"-js"/) });
    await bare.kill();
    await expect(open(bare, { startMs: 0 })).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining(bare.url) });
    const small = await started({ program, fileBytesMax: 6 * MB });
    await expect(open(small)).rejects.toMatchObject({ code: "STORE_FAILED", message: expect.stringMatching(/no room for the streams: all streams together need at least \d+ bytes: raise max_file_store/) });
  });

  test("of little room is given smaller streams, every one by the same share and none below the least; another coordinator takes them as they are", async () => {
    const large = { streams: STREAMS.map((stream) => ({ ...stream, bytesMax: 256 * MB })), blobBytesMax: 512 * MB };
    for (const options of [{ fileBytesMax: 64 * MB }, { fileBytesMax: 1024 * MB, config: "accounts { POPULACE: { users: [ { user: \"populace\", password: \"right\" } ], jetstream: { max_file: 67108864, max_mem: 1 } } }", login: true }]) {
      const server = await started({ program, ...options });
      const more = { ...large, ..."login" in options ? { credentials: { user: "populace", password: "right" } } : {} };
      const ports = await opened(server, more);
      const fills = await ports.connection.streams(), bytesOf = (name: string): number => fills.find((fill) => fill.name === `populace_${name}`)!.bytesMax;
      const sum = fills.reduce((total, { bytesMax }) => total + bytesMax, 0);
      expect(sum).toBeLessThanOrEqual(64 * MB);
      expect(sum).toBeGreaterThan(44 * MB);
      expect(bytesOf("SLOT")).toBe(bytesOf("RECORD"));
      expect(bytesOf("BLOB") / bytesOf("SLOT")).toBeCloseTo(2, 5);
      expect(ports.connection.bytesMaxOf("SLOT")).toBe(bytesOf("SLOT"));
      expect(await ports.connection.streams()).not.toContainEqual(expect.objectContaining({ name: "populace_PROBE" }));
      const second = await opened(server, more);
      expect(second.connection.bytesMaxOf("SLOT")).toBe(bytesOf("SLOT"));
    }
  });

  test("with a wrong credential is FORBIDDEN, with a missing seed file FILE_MISSING", async () => {
    const server = await started({ program, config: 'authorization { users: [ { user: "populace", password: "right" } ] }' });
    await (await open(server, { credentials: { user: "populace", password: "right" } })).close();
    await expect(open(server, { credentials: { user: "populace", password: "wrong" } })).rejects.toMatchObject({ code: "FORBIDDEN", message: expect.stringContaining("refuses the credential") });
    await expect(open(server)).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(open(server, { credentials: { nkeySeedFile: join(folder, "none.seed") } })).rejects.toMatchObject({ code: "FILE_MISSING", message: expect.stringContaining("none.seed") });
  });

  test("whose streams were altered, or are not there, names the stream, the setting and the way out", async () => {
    const server = await started({ program });
    await expect(open(server, { role: "node", startMs: 300 })).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/no stream populace_SLOT.*populace coordinator/) });
    const early = open(server, { role: "node", startMs: 20_000 });
    await (await open(server)).close();
    await (await early).close();
    const client = await rawClient(server);
    const { config } = await api(client, "STREAM.INFO.populace_SLOT", {});
    expect((await api(client, "STREAM.UPDATE.populace_SLOT", { ...config, max_msgs_per_subject: 5 })).error).toBe(undefined);
    for (const role of ["coordinator", "node"] as const) {
      await expect(open(server, { role })).rejects.toMatchObject({ code: "SERVER_UNFIT", message: expect.stringMatching(/populace_SLOT.*max_msgs_per_subject is 5, expected 1.*nats stream edit/) });
    }
    await api(client, "STREAM.UPDATE.populace_SLOT", config);
    // Another limit is the coordinator's business alone, who takes what is not below the least.
    await api(client, "STREAM.UPDATE.populace_RECORD", { ...(await api(client, "STREAM.INFO.populace_RECORD", {})).config, max_bytes: 5 * MB });
    await (await open(server)).close();
    await api(client, "STREAM.UPDATE.populace_RECORD", { ...(await api(client, "STREAM.INFO.populace_RECORD", {})).config, max_bytes: MB });
    await (await open(server, { role: "node" })).close();
    await expect(open(server)).rejects.toMatchObject({ code: "SERVER_UNFIT", message: expect.stringContaining("max_bytes is 1048576, expected at least 2097152") });
  });
});

describeOnNats("permissions of NATS", (program) => {
  const NOTHING: NatsAccess = { publishes: [], hears: [], writes: [], reads: [], writesRegistry: false, writesBlobs: false };
  const ACCESS: Partial<Record<NatsRole, NatsAccess>> = {
    coordinator: { publishes: ["open"], hears: ["beat.*"], writes: ["record.*"], reads: ["SLOT", "RECORD"], writesRegistry: true, writesBlobs: true },
    node: { ...NOTHING, publishes: ["beat.*"], hears: ["open"], writes: ["slot.*"], reads: ["SLOT", "RECORD"], writesBlobs: true },
    client: { ...NOTHING, reads: ["RECORD"] },
  };

  test("let each role do its work and no more: a node cannot purge, alter or delete a stream, nor write a record", async () => {
    const keys = new Map(Object.keys(ACCESS).map((role) => [role as NatsRole, createNatsKey()]));
    for (const [role, { seed }] of keys) writeFileSync(join(folder, `${role}.seed`), `${seed}\n`);
    const operator = createNatsKey();
    const server = await configured(program, (place) => natsServerConfig({
      ...place, cluster: "populace", streams: STREAMS.map((stream) => stream.name), operatorKey: operator.publicKey, users: [...keys].map(([role, { publicKey }]) => ({ publicKey, role, access: ACCESS[role]! })),
    }));
    const as = (role: NatsRole): Promise<NatsPorts> => opened(server, { role, name: role, credentials: { nkeySeedFile: join(folder, `${role}.seed`) }, patienceMs: 2000 });
    const coordinator = await as("coordinator"), node = await as("node"), client = await as("client");

    const beats = Promise.withResolvers<number>(), opens = Promise.withResolvers<number>();
    coordinator.bus.subscribe("beat.*", (_, body) => beats.resolve(body[0]));
    node.bus.subscribe("open", (_, body) => opens.resolve(body[0]));
    await coordinator.registry.create("leader", bytes(1));
    expect((await node.registry.get("leader"))!.bytes).toEqual(bytes(1));
    node.bus.publish("beat.1", bytes(2));
    coordinator.bus.publish("open", bytes(3));
    expect(await Promise.all([beats.promise, opens.promise])).toEqual([2, 3]);
    expect((await node.log.fill("slot.1", bytes(4))).filled).toBe(true);
    expect((await coordinator.log.append("record.1", bytes(5))).appended).toBe(true);
    for (let index = 0; index < 10; index += 1) await coordinator.log.append("record.1", bytes(index));
    expect((await client.log.read("record.*")).length).toBe(11);
    const followed = Promise.withResolvers<void>();
    coordinator.log.follow("slot.*", 0, () => followed.resolve());
    await followed.promise;
    const address = await node.blobs.put(bytes(1, 2, 3));
    expect(await coordinator.blobs.get(address)).toEqual(bytes(1, 2, 3));

    await expect(node.log.append("record.1", bytes(6))).rejects.toMatchObject({ code: "FORBIDDEN", message: expect.stringContaining("credential of the right role") });
    await expect(node.log.purge("slot.*", Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(node.registry.create("leader2", bytes(6))).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(client.log.read("slot.*")).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(client.blobs.put(bytes(1))).rejects.toMatchObject({ code: "FORBIDDEN" });
    // Not by way of the ports either.
    const raw = await connect({ servers: server.url, inboxPrefix: "_INBOX_populace_node", authenticator: nkeyAuthenticator(Buffer.from(keys.get("node")!.seed)) });
    for (const verb of ["PURGE", "DELETE", "UPDATE", "CREATE"]) {
      await expect(raw.request(`$JS.API.STREAM.${verb}.populace_SLOT`, "{}", { timeout: 1000 })).rejects.toThrow(/permission/i);
    }
    await raw.close();
    expect(await coordinator.log.purge("slot.*", Number.MAX_SAFE_INTEGER)).toBe(1);
    expect(node.connection.counters.denied).toBeGreaterThan(0);
    await expect(open(server)).rejects.toMatchObject({ code: "FORBIDDEN" });
  });
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

describeOnNats("TLS of NATS", (program) => {
  test.skipIf(!hasOpenssl)(`lets in who shows a certificate of the same authority${hasOpenssl ? "" : " (skipped: no openssl here to make certificates with)"}`, async () => {
    const openssl = (...args: string[]): unknown => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
    writeFileSync(join(folder, "names.cnf"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem");
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=own", "-keyout", "own.key", "-out", "own.csr");
    openssl("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names.cnf", "-out", "own.pem");
    const own = { caFile: join(folder, "ca.pem"), certFile: join(folder, "own.pem"), keyFile: join(folder, "own.key") };
    const { seed, publicKey } = createNatsKey();
    writeFileSync(join(folder, "tls.seed"), seed);
    const access: NatsAccess = { publishes: [], hears: [], writes: ["record.*"], reads: ["SLOT", "RECORD"], writesRegistry: true, writesBlobs: true };
    const server = await configured(program, (place) => natsServerConfig({ ...place, cluster: "populace", streams: STREAMS.map((stream) => stream.name), users: [{ publicKey, role: "coordinator", access }], tls: own }));
    const credentials = { nkeySeedFile: join(folder, "tls.seed") };
    const ports = await opened(server, { credentials, tls: own });
    expect((await ports.log.append("record.1", bytes(1))).appended).toBe(true);
    await expect(open(server, { credentials, startMs: 0 })).rejects.toMatchObject({ code: "FORBIDDEN", message: expect.stringContaining("authority that signed") });
    await expect(open(server, { credentials, startMs: 0, tls: { caFile: own.caFile } })).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("certificate and key") });
  });
}, [NATS]);

/** A server with a configuration of ours alone. */
async function configured(program: NatsProgram, text: (place: { serverName: string; listen: string; storeDir: string; fileBytesMax: number }) => string): Promise<NatsServer> {
  return started({ program, whole: (place) => text({ serverName: `server-${place.port}`, listen: `127.0.0.1:${place.port}`, storeDir: place.storeDir, fileBytesMax: 1024 * MB }) });
}
