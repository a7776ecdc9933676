import { connect, type NatsConnection } from "@nats-io/transport-node";
import { onTestFinished } from "vitest";
import { openNatsPorts, type NatsPorts, type NatsPortsOptions, type StreamSpec } from "./mod.ts";
import { type NatsServer, type ServerOptions, startNatsServer } from "./server.fixture.ts";

export const KB = 1024, MB = 1024 * KB;

/** Small streams: slots under "slot", records under "record". */
export const STREAMS: readonly StreamSpec[] = [
  { name: "SLOT", subjects: ["slot.*"], keeps: "slots", bytesMax: 64 * KB, atLimit: "wait" },
  { name: "RECORD", subjects: ["record.*"], keeps: "records", bytesMax: 4 * MB, atLimit: "wait" },
];

/** A server of this test, removed when it has finished. */
export async function started(options: ServerOptions): Promise<NatsServer> {
  const server = await startNatsServer(options);
  onTestFinished(() => server.remove());
  return server;
}

/** Ports over a server, as a coordinator unless told; the caller closes them. */
export function open(server: { readonly url: string }, options: Partial<NatsPortsOptions> = {}): Promise<NatsPorts> {
  return openNatsPorts({ servers: [server.url], name: "test", role: "coordinator", streams: STREAMS, storeDir: null, blobBytesMax: MB, startMs: 3000, ...options });
}

/** The same, closed when the test has finished. */
export async function opened(server: { readonly url: string }, options: Partial<NatsPortsOptions> = {}): Promise<NatsPorts> {
  const ports = await open(server, options);
  onTestFinished(() => ports.close());
  return ports;
}

/** A question to JetStream past the ports. */
export async function api(client: NatsConnection, verb: string, question: object): Promise<{ readonly error?: { readonly description: string }; readonly config: object }> {
  return JSON.parse((await client.request(`$JS.API.${verb}`, JSON.stringify(question))).string()) as never;
}

/** A client of the library, past the ports; closed when the test has finished. */
export async function rawClient(server: { readonly url: string }): Promise<NatsConnection> {
  const client = await connect({ servers: server.url });
  onTestFinished(() => client.close());
  return client;
}

/** Waits for something that the code under test does by itself. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

