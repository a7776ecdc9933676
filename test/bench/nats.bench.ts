import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { openNatsPorts, type NatsPorts, type StreamSpec } from "@populace/io/nats";
import { openStore } from "@populace/io";
import { startNatsServer } from "../../io/nats/server.fixture.ts";
import { nats } from "../../tools/nats.ts";
import { type Bench, type BenchRow, compared } from "./bench.ts";
import { ROOT } from "../helpers/data.ts";

const MB = 1024 * 1024;
const STREAMS: readonly StreamSpec[] = [
  { name: "SLOT", subjects: ["slot.*.*"], keeps: "slots", bytesMax: 1024 * MB, atLimit: "wait" },
  { name: "COMMIT", subjects: ["commit"], keeps: "records", bytesMax: 256 * MB, atLimit: "wait" },
];
const COMMIT_BYTES = 400, FRAME_BYTES = 4096, ROWS_A_FRAME = Math.floor(FRAME_BYTES / 26), SLOTS = 256, SLOT_BYTES = 4096;

/**
 * The ports over NATS beside the bare client, on a server of this machine: what supervision, bounds, compare-and-set and reading from the leader cost.
 * Client, server and both ends share the cores.
 */
export const bench: Bench = {
  name: "nats",
  async run({ tiny }) {
    const { env, note } = await nats(ROOT);
    const rows: BenchRow[] = [];
    const program = { name: "nats-server", path: env["POPULACE_NATS_SERVER"] ?? "", why: note };
    if (program.path === "") return [{ what: `the ports over NATS (absent: ${note})`, ours: 0, peer: null, peerName: "-", ratio: null, unit: "-", floor: null, target: null, hash: "absent" }];
    const folder = mkdtempSync(join(tmpdir(), "populace-bench-nats-"));
    const server = await startNatsServer({ program });
    const open = (role: "coordinator" | "node"): Promise<NatsPorts> => openNatsPorts({ servers: [server.url], name: role, role, streams: STREAMS, storeDir: join(folder, role), blobBytesMax: 512 * MB });
    const ports = await open("coordinator"), node = await open("node");
    const raw = await connect({ servers: server.url, noAsyncTraces: true }), rawNode = await connect({ servers: server.url, noAsyncTraces: true });
    const rawStore = openStore(join(folder, "raw"));
    try {
      const js = jetstream(raw);
      await raw.request("$JS.API.STREAM.CREATE.raw", JSON.stringify({ name: "raw", subjects: ["raw.>"], retention: "limits", storage: "file", discard: "old", num_replicas: 1, max_bytes: 1024 * MB, max_msgs: -1, max_age: 0, max_msg_size: -1, max_consumers: -1 }));
      const rounds = tiny ? 1 : 7;
      const digest = createHash("sha256");
      const hash = (): string => digest.copy().digest("hex");

      const commits = tiny ? 3 : 200, commit = new Uint8Array(COMMIT_BYTES).fill(7);
      let last = 0, key = 0;
      rows.push(await compared({
        what: `commit of a tick: one LMDB transaction, its flush, then COMMIT of ${COMMIT_BYTES} bytes under compare-and-set`, unit: "ms", better: "smaller", rounds, hash,
        floor: null, target: null, peerName: "the same with the bare client, unconditional",
        ours: () => each(commits, async () => {
          await ports.store.transaction((tables) => tables.put("commit", String(key += 1), commit));
          await ports.store.flushed();
          const result = await ports.log.append("commit", commit, last);
          if (!result.appended) throw new Error("refused");
          last = result.sequence;
        }),
        peer: () => each(commits, async () => {
          await rawStore.transaction((tables) => tables.put("commit", String(key += 1), commit));
          await rawStore.flushed();
          await js.publish("raw.commit", commit);
        }),
      }));
      rows.push(await compared({
        what: "the same without LMDB: the append alone", unit: "ms", better: "smaller", rounds, hash, floor: null, target: null, peerName: "the bare client's publish, unconditional",
        ours: () => each(commits, async () => {
          last = ((await ports.log.append("commit", commit, last)) as { sequence: number }).sequence;
        }),
        peer: () => each(commits, () => js.publish("raw.commit", commit)),
      }));
      rows.push(await compared({
        what: "a node reads the commit it has not seen, from the stream's leader", unit: "ms", better: "smaller", rounds, hash, floor: null, target: null, peerName: "one bare request",
        ours: () => each(commits, async () => {
          if ((await node.log.read("commit", { after: last - 1 })).length !== 1) throw new Error("another number of commits");
        }),
        peer: () => each(commits, () => rawNode.request("$JS.API.STREAM.MSG.GET.raw", JSON.stringify({ last_by_subj: "raw.commit" }))),
      }));

      const ticks = tiny ? 1 : 10, body = new Uint8Array(SLOT_BYTES).fill(3);
      let round = 0;
      rows.push(await compared({
        what: `write-once slots of ${SLOT_BYTES} bytes, ${SLOTS} a tick, filled by a node and followed by the coordinator`, unit: "slots/s", better: "larger", rounds, hash,
        floor: null, target: `${44 * SLOTS} (44 ticks/s)`, peerName: "bare publishes to a plain stream, nobody reads",
        ours: async () => {
          const filter = `slot.${round += 1}.*`;
          const done = Promise.withResolvers<void>();
          let seen = 0;
          const stop = ports.log.follow(filter, 0, () => { if ((seen += 1) === ticks * SLOTS) done.resolve(); });
          const rate = await perSecond(ticks * SLOTS, async () => {
            for (let tick = 0; tick < ticks; tick += 1) {
              const results = await Promise.all(Array.from({ length: SLOTS }, (_, slot) => node.log.fill(`slot.${round}.${tick * SLOTS + slot}`, body)));
              if (!results.every((result) => result.filled)) throw new Error("a slot was filled");
            }
            await done.promise;
          });
          stop();
          digest.update(String(seen));
          await ports.log.purge(filter, Number.MAX_SAFE_INTEGER);
          return rate;
        },
        peer: () => perSecond(ticks * SLOTS, async () => {
          for (let tick = 0; tick < ticks; tick += 1) await Promise.all(Array.from({ length: SLOTS }, () => js.publish("raw.slot", body)));
        }),
      }));

      const frames = tiny ? 20 : 5000, frame = new Uint8Array(FRAME_BYTES).fill(5);
      rows.push(await compared({
        what: `bus: rows of 26 bytes in frames of ${FRAME_BYTES} bytes, one connection to another`, unit: "rows/s", better: "larger", rounds, hash, floor: null, target: "8,900,000 between two processes", peerName: "the bare client",
        ours: async () => {
          const done = Promise.withResolvers<void>();
          let heard = 0;
          const stop = node.bus.subscribe("rows", () => { if ((heard += 1) === frames) done.resolve(); });
          // An answer on the same connection: the server knows the subscription.
          await node.registry.get("none");
          const rate = await perSecond(frames * ROWS_A_FRAME, async () => {
            for (let index = 0; index < frames; index += 1) ports.bus.publish("rows", frame);
            await done.promise;
          });
          stop();
          return rate;
        },
        peer: async () => {
          const done = Promise.withResolvers<void>();
          let heard = 0;
          const subscription = rawNode.subscribe("rows", { callback: () => { if ((heard += 1) === frames) done.resolve(); } });
          await rawNode.flush();
          const rate = await perSecond(frames * ROWS_A_FRAME, async () => {
            for (let index = 0; index < frames; index += 1) raw.publish("rows", frame);
            await done.promise;
          });
          subscription.unsubscribe();
          return rate;
        },
      }));

      const large = new Uint8Array((tiny ? 1 : 32) * MB);
      const chunk = new Uint8Array(512 * 1024);
      rows.push(await compared({
        what: `a blob of ${large.length / MB} MB put by a node and read by the coordinator, hashed at both ends`, unit: "MB/s", better: "larger", rounds: Math.min(rounds, 3), hash, floor: null, target: "50 (NATS's object store at its best)",
        peerName: "bare publishes of the same pieces, nobody reads or hashes",
        ours: async () => {
          new DataView(large.buffer).setUint32(0, round += 1);
          let address = "";
          const rate = await perSecond(large.length / MB, async () => {
            address = await node.blobs.put(large);
            if ((await ports.blobs.get(address))?.length !== large.length) throw new Error("another blob");
          });
          await ports.blobs.remove(address);
          return rate;
        },
        peer: () => perSecond(large.length / MB, () => Promise.all(Array.from({ length: Math.ceil(large.length / chunk.length) }, () => js.publish("raw.blob", chunk)))),
      }));
      return rows;
    } finally {
      await ports.close();
      await node.close();
      await rawStore.close();
      await raw.close();
      await rawNode.close();
      await server.remove();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Milliseconds of one action, over so many in sequence. */
async function each(times: number, action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  for (let index = 0; index < times; index += 1) await action();
  return (performance.now() - started) / times;
}

async function perSecond(amount: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return amount / ((performance.now() - started) / 1000);
}
