import { existsSync } from "node:fs";
import { join } from "node:path";
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { openNatsPorts } from "@populace/io/nats";
import { describe, expect, onTestFinished, test } from "vitest";
import { describeOnNats } from "../io/nats/describe.fixture.ts";
import { startNatsServer } from "../io/nats/server.fixture.ts";
import { ROOT } from "./helpers/data.ts";
import { run, temporaryFolder } from "./helpers/process.ts";

describe("tools/nats.ts", () => {
  test("says why there is none and leaves nothing behind where packages cannot be had", async () => {
    const root = temporaryFolder();
    const script = `const { nats } = await import(${JSON.stringify(join(ROOT, "tools", "nats.ts"))}); console.log(JSON.stringify(await nats(${JSON.stringify(root)})));`;
    const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", script], { env: { PATH: root } });
    expect(JSON.parse(stdout), stderr).toMatchObject({ env: { POPULACE_NATS_SERVER: "", POPULACE_NO_NATS: expect.stringMatching(/^apt-get cannot be run/), POPULACE_NO_NATS_CURRENT: expect.stringMatching(/^python3 cannot be run/) } });
    expect(existsSync(join(root, ".tools", "nats-server"))).toBe(false);
  });
});

describeOnNats("the registry as NATS's own tools see it", (program) => {
  test("is one of its key-value buckets", async () => {
    const server = await startNatsServer({ program });
    onTestFinished(() => server.remove());
    const ports = await openNatsPorts({ servers: [server.url], name: "test", role: "coordinator", streams: [], storeDir: null, blobBytesMax: 1024 * 1024 });
    onTestFinished(() => ports.close());
    const client = await connect({ servers: server.url });
    onTestFinished(() => client.close());
    const created = await ports.registry.create("t.leader", Uint8Array.of(1, 2));
    await ports.registry.create("t.view", Uint8Array.of(3));
    const bucket = await new Kvm(client).open("populace_registry");
    const entry = (await bucket.get("t.leader"))!;
    expect(new Uint8Array(entry.value)).toEqual(Uint8Array.of(1, 2));
    expect(created).toEqual({ ok: true, revision: entry.revision });
    await ports.registry.remove("t.leader", entry.revision);
    expect((await bucket.get("t.leader"))?.operation).toBe("DEL");
  });
});
