import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll } from "vitest";
import { portContract } from "../contract.ts";
import { openNatsPorts, type NatsPorts, type NatsPortsOptions, type StreamSpec } from "./mod.ts";
import { describeOnNats } from "./describe.fixture.ts";
import { type NatsServer, startNatsServer } from "./server.fixture.ts";

const MB = 1024 * 1024;
const STREAMS: readonly StreamSpec[] = [
  { name: "SLOT", subjects: ["slot.>", "s.>"], keeps: "slots", bytesMax: MB, atLimit: "wait" },
  { name: "RECORD", subjects: ["c", "other", "e", "l", "f.*", "p.>"], keeps: "records", bytesMax: MB, atLimit: "wait" },
];

describeOnNats("NATS", (program) => {
  const folder = mkdtempSync(join(tmpdir(), "populace-nats-store-"));
  let server: NatsServer;
  let count = 0;
  beforeAll(async () => { server = await startNatsServer({ program }); });
  afterAll(async () => {
    await server.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const optionsOf = (number: number): NatsPortsOptions => ({
    servers: [server.url], name: "contract", role: "coordinator", cluster: `contract-${number}`, streams: STREAMS, storeDir: join(folder, String(number)), blobBytesMax: 16 * MB,
  });
  portContract(
    program.name,
    () => openNatsPorts(optionsOf((count += 1))),
    async (ports) => {
      await (ports as NatsPorts).close();
      await server.kill();
      await server.start();
      return openNatsPorts(optionsOf(count));
    },
    async (_, address) => {
      const client = await connect({ servers: server.url });
      await client.request(`$JS.API.STREAM.PURGE.contract-${count}_BLOB`, JSON.stringify({ filter: `contract-${count}.blob.${address}.0` }));
      await client.request(`contract-${count}.blob.${address}.0`, Uint8Array.of(1, 2, 2));
      await client.close();
    },
  );
});
