import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { contractText } from "./contract.ts";
import { controlSource } from "./control-source.ts";
import * as door from "./mod.ts";

const proto = readFileSync(new URL("control.proto", import.meta.url), "utf8");

describe("the wire contract", () => {
  test("contract.generated.txt is fresh (else: node protocol/write-contract.ts, and review the diff)", () => {
    expect(readFileSync(new URL("contract.generated.txt", import.meta.url), "utf8")).toBe(contractText(proto));
  });

  test("control.generated.ts is fresh (else: node protocol/write-contract.ts)", () => {
    expect(readFileSync(new URL("control.generated.ts", import.meta.url), "utf8")).toBe(controlSource(proto));
  });

  test("every message of the subject table has a codec, and every builder fits its pattern", () => {
    const schemas = door.CODECS.map((codec) => codec.schema.split("/")[0]);
    expect(door.SUBJECT_TABLE.map((row) => row.message).filter((message) => !schemas.includes(message))).toEqual([]);
    const built = [
      door.openSubject("<tenant>", "<run>", 1), door.outSubject("<tenant>", "<run>", 1, 2, 3), door.failSubject("<tenant>", "<run>", 1), door.stopSubject("<tenant>", "<run>", 1), door.haltSubject("<tenant>", "<run>", 1),
      door.inputSubject("<tenant>", "<run>", 2), door.commitSubject("<tenant>", "<run>"), door.eventSubject("<tenant>", "<run>"), door.heartbeatSubject("<tenant>", "<incarnation>"),
      door.probeSubject("<tenant>", "<incarnation>"), door.drainSubject("<tenant>", "<incarnation>"), door.leaderBeatSubject("<tenant>"), door.recomputeSubject("<tenant>", "<run>", 1), door.recomputedSubject("<tenant>", "<run>", 1), door.flushedSubject("<tenant>", "<run>"), door.missedSubject("<tenant>", "<run>"), door.heldSubject("<tenant>", "<run>"), door.settledSubject("<tenant>", "<run>"), door.servedSubject("<tenant>"),
      door.leaderKey("<tenant>"), door.viewKey("<tenant>"), door.runKey("<tenant>", "<run>"), door.releaseKey("<tenant>", 4),
    ];
    const patterns = door.SUBJECT_TABLE.map((row) => row.pattern.replace("<attempt>", "1").replace("<tick>", "2").replace("<shard>", "3").replace("<number>", "4"));
    expect(built).toEqual(patterns);
  });

  test("every subject of the log lies in exactly one stream, and in one of its kind", () => {
    const rows = door.SUBJECT_TABLE.filter((row) => /\blog\b/.test(row.port));
    for (const row of rows) {
      const filter = row.pattern.replaceAll(/<[a-z]+>/g, "*");
      const streams = door.STREAM_TABLE.filter((stream) => (stream.subjects as readonly string[]).includes(filter));
      expect(streams.map((stream) => stream.keeps), row.pattern).toEqual([row.port.includes("write-once") ? "slots" : "records"]);
    }
    expect(door.STREAM_TABLE.flatMap((stream) => stream.subjects).length).toBe(rows.length);
  });

  test("a node may write its slots and say what is its own to say; a client writes nothing", () => {
    const { publishes, writes, writesRegistry } = door.accessOf("node");
    const leaders = door.SUBJECT_TABLE.filter((row) => row.writers === "leader").map((row) => row.pattern.replaceAll(/<[a-z]+>/g, "*"));
    expect(publishes).toEqual(expect.arrayContaining(["pop.*.*.*.fail", "pop.*.node.*.heartbeat"]));
    expect([...publishes, ...writes].filter((filter) => leaders.includes(filter))).toEqual([]);
    expect(writes).toEqual(["pop.*.*.*.out.*.*"]);
    expect(writesRegistry).toBe(false);
    expect(door.accessOf("gateway")).toEqual({ publishes: ["pop.*.release.served"], hears: ["pop.*.leader.beat", "pop.*.*.all.settled"], writes: ["pop.*.*.all.event"], reads: ["COMMIT"], writesRegistry: false, writesBlobs: false });
    expect(door.accessOf("client")).toEqual({ publishes: [], hears: [], writes: [], reads: ["COMMIT"], writesRegistry: false, writesBlobs: false });
  });
});
