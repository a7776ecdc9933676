// The short share of the nemesis; the whole of it: npm run nemesis -- --scenario all
import { connect, createServer, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { describeOnNats } from "../../io/nats/describe.fixture.ts";
import { NATS } from "../../io/nats/server.fixture.ts";
import { startChaosProxy, type ChaosProxy } from "./chaos-proxy.ts";
import { runScenario } from "./run-scenario.ts";
import { SCENARIOS } from "./scenarios.ts";

describeOnNats("the nemesis", (program) => {
  test("the leader, stopped between flush and append, finds a rival leading when it goes on, and every invariant holds", async () => {
    const scenario = SCENARIOS.find(({ name }) => name === "stop-leader-before-append")!;
    const report = await runScenario({ ...scenario, ticks: 80 }, { program, seed: 7, minutes: 0 });
    expect(report.violations).toEqual([]);
    expect(report.faults).toEqual({ "SIGSTOP leader after-flush": 1 });
    expect(report.terms).toBeGreaterThanOrEqual(2);
    expect(report.commits).toBeGreaterThanOrEqual(80);
  }, 180_000);
}, [NATS]);

/** A server that answers every byte with itself, behind a proxy, and a client. */
async function echo(): Promise<{ readonly proxy: ChaosProxy; readonly client: Socket; heard(text: string): Promise<void>; readonly ended: Promise<void>; readonly served: () => string }> {
  let served = "", heard = "", look = (): void => {};
  const server = createServer((socket) => socket.on("error", () => {}).on("data", (chunk: Buffer) => {
    served += chunk.toString();
    look();
    socket.write(chunk);
  }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy = await startChaosProxy((server.address() as { port: number }).port);
  const client = connect(proxy.port, "127.0.0.1").on("error", () => {}).on("data", (chunk: Buffer) => {
    heard += chunk.toString();
    look();
  });
  const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
  onTestFinished(async () => {
    client.destroy();
    await proxy.close();
    server.close();
  });
  return {
    proxy, client, ended, served: () => served,
    heard: (text) => new Promise((resolve) => {
      look = () => { if (`${served}|${heard}`.includes(text)) resolve(); };
      look();
    }),
  };
}

test("a cut holds back one direction alone and gives it on, in order, when it is healed", async () => {
  const { proxy, client, heard, served } = await echo();
  proxy.cut("to client");
  client.write("one ");
  await heard("one |");
  proxy.cut("to server");
  client.write("two ");
  proxy.heal();
  await heard("one two |one two ");
  expect(served()).toBe("one two ");
});

test("a slow line delivers everything, in order", async () => {
  const { proxy, client, heard } = await echo();
  proxy.limit(100_000);
  proxy.delay(5);
  const text = Array.from({ length: 2000 }, (_, index) => `${index},`).join("");
  client.write(text);
  await heard(`${text}|${text}`);
});

test("reset and refuse end connections", async () => {
  const first = await echo();
  first.client.write("one ");
  await first.heard("|one ");
  first.proxy.refuse();
  await first.ended;
  const refused = connect(first.proxy.port, "127.0.0.1").on("error", () => {});
  await new Promise<void>((resolve) => refused.once("close", () => resolve()));
  first.proxy.heal();
  const welcome = connect(first.proxy.port, "127.0.0.1");
  await new Promise<void>((resolve) => {
    welcome.once("data", () => resolve());
    welcome.write("again");
  });
  welcome.destroy();
});
