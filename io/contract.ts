import { describe, expect, test } from "vitest";
import { IO_LIMITS } from "./limits.ts";
import type { Blobs, Bus, Clock, Log, LogEntry, Registry, RegistryResult, Store } from "./ports.ts";

/**
 * What every twin of a port must do. A twin's own test calls `portContract(name, open)`; `open` gives fresh ports and a way to
 * open the same place again after a close (null for twins that forget).
 */
export interface ContractPorts {
  readonly bus: Bus;
  readonly log: Log;
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly store: Store;
  readonly clock: Clock;
  close(): Promise<void>;
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const revisionOf = (result: RegistryResult): number => {
  if (!result.ok) throw new Error("the registry refused what it had to accept");
  return result.revision;
};
const text = (value: Uint8Array): string => Buffer.from(value).toString("latin1");

/** Flips a bit of a stored blob, behind the port's back. */
type DamageBlob = (ports: ContractPorts, address: string) => Promise<void>;

const damageInStore: DamageBlob = ({ store }, address) => store.transaction((tables) => {
  const stored = new Uint8Array(tables.get("blobs", address)!);
  stored[0] ^= 1;
  tables.put("blobs", address, stored);
});

/** Slots lie under "slot." and "s.", everything else holds records: twins may keep the two apart. */
export function portContract(name: string, open: () => ContractPorts | Promise<ContractPorts>, reopen: ((ports: ContractPorts) => Promise<ContractPorts>) | null, damageBlob: DamageBlob = damageInStore): void {
  describe(`${name}: bus`, () => {
    test("delivers in order to those who match, later and as a copy, and to nobody who left", async () => {
      const { bus, close } = await open();
      const heard: string[] = [];
      const all = Promise.withResolvers<void>();
      bus.subscribe("pop.*.x", (subject, body) => void heard.push(`${subject}=${body[0]}`));
      bus.subscribe("pop.>", (subject) => { if (subject === "pop.end") all.resolve(); });
      bus.subscribe("pop.a.x", () => void heard.push("left"))();
      const body = bytes(1);
      bus.publish("pop.a.x", body);
      body[0] = 9;
      bus.publish("pop.b.x", bytes(2));
      bus.publish("pop.b.x.y", bytes(3));
      bus.publish("pop.end", bytes());
      expect(heard).toEqual([]);
      await all.promise;
      expect(heard).toEqual(["pop.a.x=1", "pop.b.x=2"]);
      await close();
    });

    test("outlives a subscriber that throws or rejects", async () => {
      const { bus, close } = await open();
      const heard: number[] = [];
      const end = Promise.withResolvers<void>();
      bus.subscribe("a", (_, body) => { if (body[0] === 0) throw new Error("thrown"); heard.push(body[0]); });
      bus.subscribe("a", async (_, body) => { if (body[0] === 0) throw new Error("rejected"); if (body[0] === 2) end.resolve(); });
      for (const value of [0, 1, 2]) bus.publish("a", bytes(value));
      await end.promise;
      expect(heard).toEqual([1, 2]);
      await close();
    });

    test("keeps a bounded number of messages for a slow subscriber, the newest, and nobody else waits for it", async () => {
      const { bus, close } = await open();
      const heard: number[] = [];
      const entered = Promise.withResolvers<void>(), gate = Promise.withResolvers<void>(), end = Promise.withResolvers<void>(), other = Promise.withResolvers<void>();
      const numbered = (index: number): Uint8Array => {
        const body = new Uint8Array(4);
        new DataView(body.buffer).setUint32(0, index);
        return body;
      };
      bus.subscribe("n", async (_, body) => {
        heard.push(new DataView(body.buffer, body.byteOffset).getUint32(0));
        entered.resolve();
        await gate.promise;
        if (heard.at(-1) === IO_LIMITS.busQueueMax + 5) end.resolve();
      });
      bus.subscribe("m", () => other.resolve());
      bus.publish("n", numbered(0));
      await entered.promise;
      for (let index = 1; index <= IO_LIMITS.busQueueMax + 5; index += 1) bus.publish("n", numbered(index));
      bus.publish("m", numbered(0));
      await other.promise;
      gate.resolve();
      await end.promise;
      expect(heard.length).toBe(IO_LIMITS.busQueueMax + 1);
      expect(heard[1]).toBe(6);
      await close();
    });
  });

  describe(`${name}: log`, () => {
    test("compare-and-set on the subject's last sequence lets exactly one of two rivals append", async () => {
      const { log, close } = await open();
      const first = await log.append("c", bytes(1), 0);
      expect(first.appended).toBe(true);
      const sequence = (first as { sequence: number }).sequence;
      await log.append("other", bytes(7));
      const rivals = await Promise.all([log.append("c", bytes(2), sequence), log.append("c", bytes(3), sequence)]);
      expect(rivals.filter((result) => result.appended).length).toBe(1);
      const refused = rivals.find((result) => !result.appended) as { lastSequence: number };
      expect(refused.lastSequence).toBe((await log.last("c"))!.sequence);
      expect((await log.read("c")).length).toBe(2);
      await close();
    });

    test("a slot keeps its first body and gives it back to later ones", async () => {
      const { log, close } = await open();
      const results = await Promise.all([log.fill("slot.1", bytes(1)), log.fill("slot.1", bytes(2)), log.fill("slot.2", bytes(3))]);
      expect(results[0].filled).toBe(true);
      expect(results[1]).toEqual({ filled: false, stored: bytes(1) });
      expect(results[2].filled).toBe(true);
      expect((await log.last("slot.1"))!.bytes).toEqual(bytes(1));
      expect(await log.last("slot.3")).toBe(null);
      await close();
    });

    test("reads by filter in sequence order, after a sequence, and up to a limit", async () => {
      const { log, close } = await open();
      for (const [index, subject] of ["p.a.x", "p.b.x", "p.a.y", "p.a", "p.a.x.z", "p.a.x"].entries()) await log.append(subject, bytes(index));
      const values = async (filter: string, options = {}): Promise<number[]> => (await log.read(filter, options)).map((entry) => entry.bytes[0]);
      expect(await values("p.*.x")).toEqual([0, 1, 5]);
      expect(await values("p.a.>")).toEqual([0, 2, 4, 5]);
      expect(await values("p.a")).toEqual([3]);
      expect(await values("p.a.x")).toEqual([0, 5]);
      const entries = await log.read("p.>");
      expect(await values("p.>", { after: entries[2].sequence })).toEqual([3, 4, 5]);
      expect(await values("p.>", { limit: 2 })).toEqual([0, 1]);
      await expect(log.append("p.*", bytes())).rejects.toMatchObject({ code: "BAD_REQUEST" });
      await expect(log.read("p.>.x")).rejects.toMatchObject({ code: "BAD_REQUEST" });
      await close();
    });

    test("a cursor repeats what was not acknowledged and never goes back", async () => {
      const { log, close } = await open();
      for (const value of [1, 2, 3]) await log.append("e", bytes(value));
      const first = await log.consume("reader", "e", 2);
      expect(first.map((entry) => entry.bytes[0])).toEqual([1, 2]);
      expect((await log.consume("reader", "e", 2)).length).toBe(2);
      await log.acknowledge("reader", first[1].sequence);
      await log.acknowledge("reader", first[0].sequence);
      expect((await log.consume("reader", "e")).map((entry) => entry.bytes[0])).toEqual([3]);
      expect((await log.consume("another", "e")).length).toBe(3);
      await close();
    });

    test("follow gives what is stored, then what comes, each once and in order, despite errors", async () => {
      const { log, close } = await open();
      await log.append("f.1", bytes(1));
      const seen: LogEntry[] = [];
      const end = Promise.withResolvers<void>();
      const stop = log.follow("f.*", 0, (entry) => {
        seen.push(entry);
        if (seen.length === 2) throw new Error("planted");
        if (seen.length === 21) end.resolve();
      });
      await Promise.all(Array.from({ length: 20 }, (_, index) => log.append(`f.${index}`, bytes(index))));
      await end.promise;
      expect(seen.map((entry) => entry.sequence)).toEqual(seen.map((entry) => entry.sequence).toSorted((left, right) => left - right));
      expect(new Set(seen.map((entry) => entry.sequence)).size).toBe(21);
      stop();
      await log.append("f.1", bytes(9));
      expect(seen.length).toBe(21);
      await close();
    });

    test("bytes are copied on the way in and aligned at 8 on the way out; one read gives as many as there are", async () => {
      const { log, close } = await open();
      const body = bytes(1, 2, 3);
      const appending = log.append("p.a", body);
      body[0] = 9;
      await appending;
      for (let index = 0; index < 40; index += 1) await log.append(`p.b.${index % 2}`, bytes(index));
      const [entry] = await log.read("p.a");
      expect(entry.bytes).toEqual(bytes(1, 2, 3));
      expect(entry.bytes.byteOffset % 8).toBe(0);
      expect((await log.read("p.b.*")).map((each) => each.bytes[0])).toEqual(Array.from({ length: 40 }, (_, index) => index));
      expect((await log.read("p.b.*", { limit: 20 })).length).toBe(20);
      expect((await log.read("p.b.1")).map((each) => each.bytes[0])).toEqual(Array.from({ length: 20 }, (_, index) => 2 * index + 1));
      await close();
    });

    test("purge removes below a sequence only, a purged slot can be filled anew, sequences go on", async () => {
      const { log, close } = await open();
      await log.fill("s.1", bytes(1));
      await log.fill("s.2", bytes(2));
      const [, second] = await log.read("s.*");
      expect(await log.purge("s.*", second.sequence)).toBe(1);
      expect((await log.read("s.*")).map((entry) => entry.subject)).toEqual(["s.2"]);
      const again = await log.fill("s.1", bytes(3));
      expect(again.filled && again.sequence > second.sequence).toBe(true);
      expect(await log.purge("s.>", Number.MAX_SAFE_INTEGER)).toBe(2);
      expect(await log.last("s.1")).toBe(null);
      await close();
    });
  });

  describe(`${name}: registry`, () => {
    test("create and update are compare-and-set; revisions grow and survive a removal", async () => {
      const { registry, close } = await open();
      const revisions = [revisionOf(await registry.create("k", bytes(1)))];
      expect(await registry.create("k", bytes(2))).toMatchObject({ ok: false, current: { revision: revisions[0], bytes: bytes(1) } });
      const rivals = await Promise.all([registry.update("k", bytes(3), revisions[0]), registry.update("k", bytes(4), revisions[0])]);
      expect(rivals.filter((result) => result.ok).length).toBe(1);
      revisions.push(revisionOf(rivals.find((result) => result.ok)!));
      expect((await registry.get("k"))!.revision).toBe(revisions[1]);
      expect(await registry.update("k", bytes(5), revisions[0])).toMatchObject({ ok: false, current: { revision: revisions[1] } });
      revisions.push(revisionOf(await registry.remove("k", revisions[1])));
      expect(await registry.get("k")).toBe(null);
      expect(await registry.update("k", bytes(5), revisions[2])).toEqual({ ok: false, current: null });
      expect(await registry.remove("k", revisions[2])).toEqual({ ok: false, current: null });
      revisions.push(revisionOf(await registry.create("k", bytes(6))));
      expect(revisions[0]).toBeGreaterThan(0);
      expect(revisions).toEqual([...new Set(revisions)].toSorted((left, right) => left - right));
      await close();
    });

    test("list and watch know filters; watch begins with what is there", async () => {
      const { registry, close } = await open();
      const first = revisionOf(await registry.create("t.run.1", bytes(1)));
      await registry.create("u.run.1", bytes(9));
      const seen: string[] = [];
      const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const stop = registry.watch("t.run.*", (key, entry) => {
        seen.push(`${key}=${entry === null ? "gone" : entry.bytes[0]}`);
        steps[seen.length - 1]?.resolve();
        if (seen.length === 1) throw new Error("planted");
      });
      await steps[0].promise;
      const second = revisionOf(await registry.update("t.run.1", bytes(2), first));
      await steps[1].promise;
      await registry.remove("t.run.1", second);
      await steps[2].promise;
      stop();
      expect(seen).toEqual(["t.run.1=1", "t.run.1=2", "t.run.1=gone"]);
      await registry.create("t.run.2", bytes(3));
      await registry.create("t.run.10", bytes(4));
      expect((await registry.list("t.run.*")).map((entry) => `${entry.key}=${entry.bytes[0]}`)).toEqual(["t.run.10=4", "t.run.2=3"]);
      await close();
    });
  });

  describe(`${name}: blobs`, () => {
    test("address is the SHA-256 of the bytes; unknown is null; what comes back is the caller's own", async () => {
      const { blobs, close } = await open();
      // FIPS 180-4 example: SHA-256 of "abc".
      const address = await blobs.put(Buffer.from("abc"));
      expect(address).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
      const got = (await blobs.get(address))!;
      got[0] = 0;
      expect(text((await blobs.get(address))!)).toBe("abc");
      expect(await blobs.has(address)).toBe(true);
      expect(await blobs.get("0".repeat(64))).toBe(null);
      await blobs.remove(address);
      expect(await blobs.has(address)).toBe(false);
      await close();
    });

    test("a flipped bit is found before use", async () => {
      const ports = await open();
      const address = await ports.blobs.put(bytes(1, 2, 3));
      await damageBlob(ports, address);
      await expect(ports.blobs.get(address)).rejects.toMatchObject({ code: "CORRUPT" });
      await ports.blobs.remove(address);
      expect(await ports.blobs.put(bytes(1, 2, 3))).toBe(address);
      expect(await ports.blobs.get(address)).toEqual(bytes(1, 2, 3));
      await ports.close();
    });

    test("large and empty ones come back whole, however many put them at once", async () => {
      const { blobs, close } = await open();
      const large = Uint8Array.from({ length: 3_000_001 }, (_, index) => (index * 2_654_435_761) >>> 24);
      const [first, second] = await Promise.all([blobs.put(large), blobs.put(large)]);
      expect(second).toBe(first);
      expect(Buffer.compare((await blobs.get(first))!, large)).toBe(0);
      expect(await blobs.get(await blobs.put(bytes()))).toEqual(bytes());
      await close();
    });
  });

  describe(`${name}: store`, () => {
    test("a transaction that throws leaves nothing, its neighbors in the same turn stand", async () => {
      const { store, close } = await open();
      const results = await Promise.allSettled([
        store.transaction((tables) => tables.put("t", "a", bytes(1))),
        store.transaction((tables) => {
          tables.put("t", "b", bytes(2));
          tables.remove("t", "a");
          throw new Error("planted");
        }),
        store.transaction((tables) => tables.put("t", "c", tables.get("t", "a")!)),
      ]);
      expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect(String((results[1] as PromiseRejectedResult).reason)).toContain("planted");
      expect(store.range("t").map((row) => row.key)).toEqual(["a", "c"]);
      await close();
    });

    test("ranges know prefix, order, limit and keep tables apart", async () => {
      const { store, close } = await open();
      await store.transaction((tables) => {
        for (const key of ["b 2", "b 10", "a", "b", "bc"]) tables.put("t", key, bytes(key.length));
        tables.put("tt", "b", bytes());
        tables.put("s", "b", bytes());
      });
      expect(store.range("t").map((row) => row.key)).toEqual(["a", "b", "b 10", "b 2", "bc"]);
      expect(store.range("t", { prefix: "b " }).map((row) => row.key)).toEqual(["b 10", "b 2"]);
      expect(store.range("t", { prefix: "b ", from: "b 11" }).map((row) => row.key)).toEqual(["b 2"]);
      expect(store.range("t", { prefix: "b ", from: "b 3" })).toEqual([]);
      expect(store.range("t", { prefix: "b", reverse: true, limit: 2 }).map((row) => row.key)).toEqual(["bc", "b 2"]);
      expect(store.range("t", { prefix: "b 2" })[0].bytes).toEqual(bytes(3));
      const long = ["x".repeat(200), `${"x".repeat(200)} 1`, `${"x".repeat(200)}y`];
      await store.transaction((tables) => long.forEach((key, index) => tables.put("long", key, bytes(index))));
      expect(store.range("long").map((row) => row.key)).toEqual(long);
      expect(store.get("long", long[1])).toEqual(bytes(1));
      expect(() => store.get("t", "ü")).toThrow(expect.objectContaining({ code: "BAD_REQUEST" }));
      await close();
    });
  });

  describe(`${name}: clock`, () => {
    test("never goes back, sleeps, and wakes at an abort", async () => {
      const { clock, close } = await open();
      const before = clock.monotonicMs();
      await clock.sleep(2);
      expect(clock.monotonicMs()).toBeGreaterThan(before);
      const controller = new AbortController();
      const long = clock.sleep(60_000, controller.signal);
      controller.abort(new Error("enough"));
      await expect(long).rejects.toThrow("enough");
      await close();
    });
  });

  describe.skipIf(reopen === null)(`${name}: opened again`, () => {
    test("log, sequences, cursors, registry, blobs and store are as they were", async () => {
      let ports = await open();
      const { sequence } = (await ports.log.append("l", bytes(1))) as { sequence: number };
      await ports.log.acknowledge("reader", sequence);
      const revision = revisionOf(await ports.registry.create("k", bytes(2)));
      const address = await ports.blobs.put(bytes(3));
      await ports.store.transaction((tables) => tables.put("t", "x", bytes(4)));
      ports = await reopen!(ports);
      expect((await ports.log.last("l"))!.bytes).toEqual(bytes(1));
      expect(await ports.log.consume("reader", "l")).toEqual([]);
      const next = await ports.log.append("l", bytes(5));
      expect(next.appended && next.sequence > sequence).toBe(true);
      expect(await ports.registry.get("k")).toMatchObject({ revision, bytes: bytes(2) });
      expect(await ports.blobs.get(address)).toEqual(bytes(3));
      expect(ports.store.get("t", "x")).toEqual(bytes(4));
      await ports.close();
    });
  });
}
