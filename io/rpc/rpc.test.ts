import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { PopulaceError } from "@populace/domain";
import { HAS_OPENSSL, NEEDS_OPENSSL, certificate } from "./certificates.fixture.ts";
import { connectGrpc, hostOf, serveGrpc, type TlsFiles } from "./grpc.ts";
import { inProcessRpc } from "./in-process.ts";
import type { RpcCall, RpcClient, RpcServer, RpcService } from "./rpc.ts";

const MESSAGE_BYTES_MAX = 4096;
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

interface Opened {
  readonly client: RpcClient;
  readonly server: RpcServer;
}

type Open = (service: RpcService) => Promise<Opened>;

/** One service with a method for every promise of the port. */
function serviceOf(seen: { calls: RpcCall[]; canceled: PromiseWithResolvers<unknown>; sent: number }): RpcService {
  const waits = (call: RpcCall): Promise<never> => new Promise((_, reject) => call.signal.addEventListener("abort", () => { seen.canceled.resolve(call.signal.reason); reject(call.signal.reason as Error); }, { once: true }));
  return {
    name: "populace.test.Echo",
    methods: {
      Echo: { kind: "unary", handle: (request, call) => { seen.calls.push(call); return Promise.resolve(request.toReversed()); } },
      Grow: { kind: "unary", handle: (request) => Promise.resolve(new Uint8Array(request[0] * 1024)) },
      Refuse: { kind: "unary", handle: () => Promise.reject(new PopulaceError("STALE_TERM", "term 3 < 4; Grüße 漢字", { term: 3, holder: "a\nb" })) },
      Crash: { kind: "unary", handle: () => Promise.reject(new TypeError("a secret")) },
      Wait: { kind: "unary", handle: (_, call) => waits(call) },
      Count: {
        kind: "stream",
        async *handle(request) {
          for (let value = 0; value < request[0]; value += 1) { seen.sent = value + 1; yield bytes(value); await Promise.resolve(); }
          if (request[1] === 1) throw new PopulaceError("NOT_FOUND", "no more of them", { after: request[0] });
        },
      },
      Flood: { kind: "stream", async *handle() { for (let value = 0; value < 100_000; value += 1) { seen.sent = value + 1; yield new Uint8Array(1024); await new Promise((resolve) => setImmediate(resolve)); } } },
      Follow: { kind: "stream", async *handle(_, call) { const gone = waits(call); gone.catch(() => {}); yield bytes(1); await gone; } },
    },
  };
}

function rpcContract(name: string, open: Open): void {
  const opened = async (): Promise<Opened & { seen: Parameters<typeof serviceOf>[0]; call: (method: string, request?: Uint8Array, options?: Parameters<RpcClient["unary"]>[3]) => Promise<Uint8Array> }> => {
    const seen = { calls: [] as RpcCall[], canceled: Promise.withResolvers<unknown>(), sent: 0 };
    const { client, server } = await open(serviceOf(seen));
    return { client, server, seen, call: (method, request = bytes(), options = {}) => client.unary("populace.test.Echo", method, request, options) };
  };
  const stream = (client: RpcClient, method: string, request: Uint8Array, options: Parameters<RpcClient["stream"]>[3] = {}): AsyncIterable<Uint8Array> => client.stream("populace.test.Echo", method, request, options);

  describe(`${name}: remote calls`, () => {
    test("answer once, with headers, aligned bytes of their own, also empty ones", async () => {
      const { call, seen, client, server } = await opened();
      const reply = await call("Echo", bytes(1, 2, 3));
      expect(reply).toEqual(bytes(3, 2, 1));
      expect(reply.byteOffset).toBe(0);
      expect(await call("Echo")).toEqual(bytes());
      expect(seen.calls[0].headers["populace-test"]).toBe("yes");
      client.close();
      await server.close();
    });

    test("stream in order to the end, and an error after some answers arrives after them", async () => {
      const { client, server } = await opened();
      const heard: number[] = [];
      for await (const reply of stream(client, "Count", bytes(200, 0))) heard.push(reply[0]);
      expect(heard).toEqual(Array.from({ length: 200 }, (_, value) => value));
      const before: number[] = [];
      await expect((async () => { for await (const reply of stream(client, "Count", bytes(3, 1))) before.push(reply[0]); })()).rejects.toMatchObject({ code: "NOT_FOUND", message: "no more of them", details: { after: 3 } });
      expect(before).toEqual([0, 1, 2]);
      client.close();
      await server.close();
    });

    test("carry a refusal whole; a fault of the program keeps its text at home", async () => {
      const { call, client, server } = await opened();
      await expect(call("Refuse")).rejects.toMatchObject({ code: "STALE_TERM", message: "term 3 < 4; Grüße 漢字", details: { term: 3, holder: "a\nb" } });
      const crash = await call("Crash").catch((error: unknown) => error);
      expect(crash).toMatchObject({ code: "INTERNAL" });
      expect(String(crash)).not.toContain("secret");
      await expect(call("Missing")).rejects.toMatchObject({ code: "NOT_FOUND", details: { status: "UNIMPLEMENTED" } });
      client.close();
      await server.close();
    });

    test("interrupted by the caller end on both sides", async () => {
      const { call, seen, client, server } = await opened();
      const controller = new AbortController();
      const waiting = call("Wait", bytes(), { signal: controller.signal });
      setTimeout(() => controller.abort(), 50);
      await expect(waiting).rejects.toMatchObject({ code: "INTERRUPTED" });
      expect(await seen.canceled.promise).toMatchObject({ code: "INTERRUPTED" });
      await expect(call("Echo", bytes(), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "INTERRUPTED" });
      client.close();
      await server.close();
    });

    test("left by the reader are canceled at the server, which has sent little more than was read", async () => {
      const { seen, client, server } = await opened();
      for await (const _ of stream(client, "Follow", bytes())) break;
      expect(await seen.canceled.promise).toMatchObject({ code: "INTERRUPTED" });
      for await (const _ of stream(client, "Flood", bytes())) break;
      const sent = seen.sent;
      expect(sent).toBeLessThan(2000);
      client.close();
      await server.close();
    });

    test("without an answer by their deadline are UNAVAILABLE, and the handler is told", async () => {
      const { call, seen, client, server } = await opened();
      await expect(call("Wait", bytes(), { deadlineMs: 60 })).rejects.toMatchObject({ code: "UNAVAILABLE", details: { status: "DEADLINE_EXCEEDED" } });
      expect(await seen.canceled.promise).toBeInstanceOf(PopulaceError);
      client.close();
      await server.close();
    });

    test("beyond the limit of a message are TOO_LARGE in both directions, and the client goes on", async () => {
      const { call, client, server } = await opened();
      await expect(call("Echo", new Uint8Array(MESSAGE_BYTES_MAX + 1))).rejects.toMatchObject({ code: "TOO_LARGE" });
      await expect(call("Grow", bytes(5))).rejects.toMatchObject({ code: "TOO_LARGE" });
      expect((await call("Grow", bytes(4))).length).toBe(4096);
      client.close();
      await server.close();
    });

    test("under way when the server stops are INTERRUPTED, later ones UNAVAILABLE", async () => {
      const { call, client, server } = await opened();
      const begun = Promise.withResolvers<void>();
      const waiting = (async () => { for await (const _ of stream(client, "Follow", bytes())) begun.resolve(); })();
      waiting.catch(() => {});
      await begun.promise;
      await server.close();
      await expect(waiting).rejects.toMatchObject({ code: "INTERRUPTED" });
      await expect(call("Echo")).rejects.toMatchObject({ code: "UNAVAILABLE" });
      client.close();
    });
  });
}

rpcContract("gRPC", async (service) => {
  const server = await serveGrpc({ listen: "127.0.0.1:0", services: [service], messageBytesMax: MESSAGE_BYTES_MAX });
  return { server, client: connectGrpc({ address: server.address, headers: { "populace-test": "yes" }, messageBytesMax: MESSAGE_BYTES_MAX }) };
});

rpcContract("in process", (service) => {
  const { server, connect } = inProcessRpc([service], { messageBytesMax: MESSAGE_BYTES_MAX });
  return Promise.resolve({ server, client: connect({ "populace-test": "yes" }) });
});

describe("addresses", () => {
  test("are HOST:PORT; anything else is refused with an example", () => {
    expect(hostOf("localhost:7600")).toEqual({ host: "localhost", port: 7600 });
    expect(hostOf("[::1]:0")).toEqual({ host: "[::1]", port: 0 });
    for (const wrong of ["7600", "localhost", "localhost:", "a:99999", "http://a:1", ""]) expect(() => hostOf(wrong)).toThrow(expect.objectContaining({ code: "BAD_USAGE" }));
  });

  test("of other machines are refused in plain text unless that is said, for both sides", async () => {
    await expect(serveGrpc({ listen: "0.0.0.0:0", services: [] })).rejects.toMatchObject({ code: "BAD_USAGE", message: expect.stringContaining("--tls-ca") });
    expect(() => connectGrpc({ address: "example.org:7600" })).toThrow(expect.objectContaining({ code: "BAD_USAGE" }));
    const server = await serveGrpc({ listen: "0.0.0.0:0", services: [], isInsecure: true });
    await server.close();
  });

  test("in use are UNAVAILABLE", async () => {
    const server = await serveGrpc({ listen: "127.0.0.1:0", services: [] });
    await expect(serveGrpc({ listen: server.address, services: [] })).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("--listen") });
    await server.close();
  });
});

describe.skipIf(!HAS_OPENSSL)(`mutual TLS${NEEDS_OPENSSL}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "populace-tls-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  test("lets in who shows a certificate of the same authority, and nobody else", async () => {
    const own = certificate(folder, "own"), foreign = certificate(folder, "foreign");
    const service: RpcService = { name: "populace.test.Echo", methods: { Echo: { kind: "unary", handle: (request) => Promise.resolve(request) } } };
    const server = await serveGrpc({ listen: "127.0.0.1:0", services: [service], tls: own });
    const ask = async (security: { readonly tls?: TlsFiles }): Promise<unknown> => {
      const client = connectGrpc({ address: server.address, ...security });
      return client.unary("populace.test.Echo", "Echo", bytes(7), { deadlineMs: 5000 }).catch((error: unknown) => error).finally(() => client.close());
    };
    expect(await ask({ tls: own })).toEqual(bytes(7));
    expect(await ask({})).toMatchObject({ code: "UNAVAILABLE" });
    expect(await ask({ tls: foreign })).toMatchObject({ code: "UNAVAILABLE" });
    // Trusts the server and shows a certificate that the server does not trust.
    expect(await ask({ tls: { ...foreign, caFile: own.caFile } })).toMatchObject({ code: "UNAVAILABLE" });
    await server.close();
    // A server with a certificate of the right authority for another machine.
    const elsewhere = certificate(folder, "elsewhere", "IP:127.0.0.2,DNS:localhost");
    const other = await serveGrpc({ listen: "127.0.0.1:0", services: [service], tls: elsewhere });
    const client = connectGrpc({ address: other.address, tls: elsewhere });
    await expect(client.unary("populace.test.Echo", "Echo", bytes(7), { deadlineMs: 5000 })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    client.close();
    await other.close();
  });

  test("names the file that is missing", async () => {
    await expect(serveGrpc({ listen: "127.0.0.1:0", services: [], tls: { caFile: join(folder, "none.pem"), certFile: "c", keyFile: "k" } })).rejects.toMatchObject({ code: "FILE_MISSING", message: expect.stringContaining("none.pem") });
  });
});
