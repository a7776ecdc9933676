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
      door.openSubject("<tenant>", "<run>", 1), door.outSubject("<tenant>", "<run>", 1, 2, 3), door.failSubject("<tenant>", "<run>", 1), door.stopSubject("<tenant>", "<run>", 1),
      door.inputSubject("<tenant>", "<run>", 2), door.commitSubject("<tenant>", "<run>"), door.heartbeatSubject("<tenant>", "<incarnation>"),
      door.probeSubject("<tenant>", "<incarnation>"), door.drainSubject("<tenant>", "<incarnation>"), door.leaderBeatSubject("<tenant>"), door.recomputeSubject("<tenant>", "<run>", 1), door.recomputedSubject("<tenant>", "<run>", 1),
      door.leaderKey("<tenant>"), door.viewKey("<tenant>"), door.runKey("<tenant>", "<run>"), door.releaseKey("<tenant>"),
    ];
    const patterns = door.SUBJECT_TABLE.map((row) => row.pattern.replace("<attempt>", "1").replace("<tick>", "2").replace("<shard>", "3"));
    expect(built).toEqual(patterns);
  });
});
