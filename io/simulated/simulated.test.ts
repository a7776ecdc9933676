import { describe, expect, test } from "vitest";
import { type ContractPorts, portContract } from "../contract.ts";
import { CALM, REQUEST_TIMEOUT_MS, SERVICE, simulatedDisk, simulatedHub, simulatedNetwork, simulatedService, simulatedWorld, type Chance } from "./mod.ts";

/** mulberry32: any seeded uniform source will do. */
function seeded(seed: number): Chance {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function place(seed = 1) {
  const world = simulatedWorld(seeded(seed)), network = simulatedNetwork(world), service = simulatedService(world.chance), disk = simulatedDisk(world);
  const hub = simulatedHub(world, network, service);
  let lives = 0;
  function open(): ContractPorts {
    const life = world.life(`process-${(lives += 1)}`);
    let isClosed = false;
    void world.run(() => isClosed);
    const own = disk.open(life);
    return {
      ...hub.portsOf(life),
      // The contract flips its bit through the store, where other twins keep their blobs.
      store: { ...own, transaction: (action) => own.transaction((tables) => action({ ...tables, put: (table, key, bytes) => (table === "blobs" ? service.corruptBlob(key, bytes) : tables.put(table, key, bytes)) })) },
      async close() {
        await own.flushed();
        life.kill();
        isClosed = true;
      },
    };
  }
  return { world, network, service, disk, hub, open };
}

let current = place();
portContract("simulated", () => (current = place()).open(), async (ports) => {
  await ports.close();
  return current.open();
});

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const until = async (world: ReturnType<typeof place>["world"], promise: Promise<unknown>): Promise<unknown> => {
  let settled: unknown = null;
  promise.then((value) => { settled = value ?? "undefined"; }, (error: unknown) => { settled = error; });
  await world.run(() => settled !== null);
  return settled;
};

describe("the simulated world", () => {
  test("the same chance gives the same course of events, another one another", async () => {
    async function course(seed: number): Promise<string[]> {
      const { world, network, hub } = place(seed);
      network.setWeather({ ...CALM, lossRate: 0.2, duplicateRate: 0.3, delayRate: 0.3, delayMs: 50 });
      const [a, b] = [world.life("a"), world.life("b")], heard: string[] = [];
      hub.portsOf(b).bus.subscribe("x", (_, body) => void heard.push(`${body[0]} ${world.nowMs()}`));
      a.clock.every(1, () => hub.portsOf(a).bus.publish("x", bytes(heard.length)));
      await world.run(() => heard.length >= 50);
      return heard;
    }
    expect(await course(7)).toEqual(await course(7));
    expect(await course(7)).not.toEqual(await course(8));
  });

  test("an answer lost in a one-way cut is refused in time, and what was asked for has happened", async () => {
    const { world, network, service, hub } = place();
    const { log } = hub.portsOf(world.life("a"));
    network.cut(SERVICE, "a");
    expect(await until(world, log.append("s", bytes(1), 0))).toMatchObject({ code: "UNAVAILABLE" });
    expect(world.nowMs()).toBeCloseTo(REQUEST_TIMEOUT_MS, 0);
    expect(service.last("s")!.bytes).toEqual(bytes(1));
    network.heal(SERVICE, "a");
    network.cut("a", SERVICE);
    expect(await until(world, log.append("s", bytes(2)))).toMatchObject({ code: "UNAVAILABLE" });
    expect(service.last("s")!.bytes).toEqual(bytes(1));
  });

  test("a paused life hears everything afterwards, a killed one nothing, and neither calls anybody meanwhile", async () => {
    const { world, service, hub } = place();
    const [sleeper, dead] = [world.life("sleeper"), world.life("dead")], heard: string[] = [];
    for (const life of [sleeper, dead]) {
      life.clock.every(10, () => void heard.push(`${life.name} timer`));
      hub.portsOf(life).bus.subscribe("x", () => void heard.push(`${life.name} message`));
    }
    sleeper.pause();
    dead.kill();
    void hub.portsOf(dead).log.append("s", bytes(1));
    hub.portsOf(world.life("other")).bus.publish("x", bytes(1));
    let isOver = false;
    world.after(100, () => sleeper.resume());
    world.after(105, () => { isOver = true; });
    await world.run(() => isOver);
    expect(heard.toSorted()).toEqual(["sleeper message", "sleeper timer"]);
    expect(service.last("s")).toBe(null);
  });

  test("a trap springs before the port call it waits for, and a clock that leaps wakes its sleepers", async () => {
    const { world, service, hub } = place();
    const life = world.life("a"), { log, clock } = hub.portsOf(life);
    life.atStep(2, () => life.kill());
    await until(world, log.append("s", bytes(1)));
    void log.append("s", bytes(2));
    await world.run(() => false);
    expect(service.last("s")!.bytes).toEqual(bytes(1));
    const other = world.life("b"), before = world.nowMs();
    const slept = other.clock.sleep(3_600_000);
    other.leap(3_600_000);
    await until(world, slept);
    expect(world.nowMs()).toBe(before);
    expect(clock.monotonicMs()).toBe(before);
  });

  test("a power cut keeps what was flushed and a beginning of the rest; a full disk refuses and keeps nothing", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { world, disk } = place(seed);
      const store = disk.open(world.life("a"));
      const put = (key: string): Promise<void> => store.transaction((tables) => tables.put("t", key, bytes(Number(key))));
      await until(world, put("1"));
      await until(world, store.flushed());
      for (const key of ["2", "3", "4"]) await until(world, put(key));
      expect([bytes(1), bytes(2)].map(disk.isDurable)).toEqual([true, false]);
      disk.powerCut();
      const left = store.range("t").map(({ key }) => key);
      expect(["1", "1 2", "1 2 3", "1 2 3 4"]).toContain(left.join(" "));
      disk.setFull(true);
      expect(await until(world, put("5"))).toMatchObject({ code: "STORE_FAILED" });
      expect(store.range("t").map(({ key }) => key)).toEqual(left);
    }
  });

  test("a log at its byte limit refuses new entries by name, keeps what it has, and takes more when there is room again", async () => {
    const { world, service, hub } = place();
    const { log } = hub.portsOf(world.life("a"));
    await until(world, log.fill("slot", bytes(1)));
    service.setFull(true);
    expect(await until(world, log.fill("other", bytes(2)))).toMatchObject({ code: "STORE_FAILED" });
    expect(await until(world, log.append("s", bytes(2)))).toMatchObject({ code: "STORE_FAILED" });
    expect(await until(world, log.fill("slot", bytes(2)))).toEqual({ filled: false, stored: bytes(1) });
    service.setFull(false);
    expect(await until(world, log.fill("other", bytes(2)))).toMatchObject({ filled: true });
  });

  test("a log that forgot its newest entries gives their sequences again, and followers begin again", async () => {
    const { world, service, hub } = place();
    const { log } = hub.portsOf(world.life("a")), seen: number[] = [];
    log.follow("s", 0, (entry) => void seen.push(entry.bytes[0]));
    for (const value of [1, 2, 3]) await until(world, log.append("s", bytes(value)));
    await world.run(() => seen.length === 3);
    expect(service.forgetNewest(2)).toBe(2);
    expect(await until(world, log.append("s", bytes(4), 1))).toEqual({ appended: true, sequence: 2 });
    await world.run(() => seen.length === 5);
    expect(seen).toEqual([1, 2, 3, 1, 4]);
  });
});
