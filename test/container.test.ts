// The image of deploy/Containerfile as containers: a coordinator, two nodes and a client, one of the nodes stopped in the middle.
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { samplePlan } from "@populace/kernels/sample-plan";
import { afterAll, describe, expect, it } from "vitest";
import { openCluster } from "../cli/cluster-client.ts";
import { NATS, freePort, startNatsServer } from "../io/nats/server.fixture.ts";
import { rootsOf, truthOf } from "./simulator/truth.ts";

const IMAGE = process.env["POPULACE_IMAGE"] ?? "";
const ENGINE = IMAGE === "" ? "" : ["podman", "docker"].find((name) => spawnSync(name, ["image", "inspect", IMAGE], { stdio: "ignore" }).status === 0) ?? "";
const why = IMAGE === "" ? "name an image of deploy/Containerfile in POPULACE_IMAGE" : ENGINE === "" ? `neither podman nor docker has the image ${IMAGE}` : NATS.path === "" ? NATS.why : "";

describe.skipIf(why !== "")(`the image${why === "" ? "" : ` (skipped: ${why})`}`, () => {
  const names: string[] = [];
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const name of names) spawnSync(ENGINE, ["rm", "--force", name], { stdio: "ignore" });
    for (const child of children) child.kill("SIGKILL");
  });

  function start(role: string, ...args: readonly string[]): { readonly name: string; says(pattern: RegExp): Promise<string>; readonly ended: Promise<number | null> } {
    const name = `populace-test-${process.pid}-${role}`;
    names.push(name);
    // Read-only but for its data, as the manifests run it.
    const child = spawn(ENGINE, ["run", "--rm", "--name", name, "--network", "host", "--read-only", "--tmpfs", "/data:mode=1777", "--tmpfs", "/tmp", IMAGE, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    let said = "";
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => { said += chunk.toString(); });
    return {
      name, ended,
      async says(pattern) {
        while (!pattern.test(said)) {
          if (child.exitCode !== null) throw new Error(`${name} ended:\n${said}`);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        return pattern.exec(said)![0];
      },
    };
  }

  it("runs a cluster to the root of the reference, through the stop of a node, which drains and ends with success", async () => {
    const nats = await startNatsServer();
    try {
      const address = `127.0.0.1:${await freePort()}`;
      const coordinator = start("coordinator", "coordinator", "--nats", nats.url, "--store", "/data/store", "--listen", address);
      await coordinator.says(/store \/data\/store/);
      const nodes = [1, 2].map((number) => start(`node-${number}`, "node", "--nats", nats.url, "--workers", "1"));
      await Promise.all(nodes.map((node) => node.says(/joined/)));
      const plan = samplePlan(51, { agents: [700, 600, 500, 400], ticks: 60, influence: true, worlds: 2, worldShift: 1, traits: 3, steps: 2 });
      const cluster = openCluster({ addresses: [address] });
      const { run } = await cluster.submit(plan, { shards: 4, spanTicks: 1, checkpointTicks: 5 });
      let isStopped = false;
      for await (const { tick } of cluster.watch(run)) {
        if (isStopped || tick < 5) continue;
        isStopped = true;
        execFileSync(ENGINE, ["stop", "--time", "60", nodes[0].name], { stdio: "ignore" });
      }
      expect(await nodes[0].ended).toBe(0);
      expect((await cluster.outcome(run)).roots).toEqual(rootsOf(await truthOf(plan)));
      cluster.close();
    } finally {
      await nats.remove();
    }
  }, 180_000);
});
