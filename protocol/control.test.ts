import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CONTROL, checkControlVersion, controlVersionText } from "./control.ts";

describe("control messages", () => {
  test("come back with integers above 2^32, negative ones, and absent options still absent", () => {
    const run = {
      run: "ab", state: "running", reason: "", code: "", attempt: 2, tick: -1, ticks: 30, root: "cd", agents: 2 ** 32 - 1, exposures: 2 ** 53 - 1, exposuresTotal: 2 ** 40, seconds: 1.5, backends: ["wasm", "webgpu"],
      execution: { shards: 0, backend: "auto" }, priority: -3, label: "sweep a", planHash: "ef", tenant: "local", kind: "behavior",
    };
    expect(CONTROL.Watch.decodeReply(CONTROL.Watch.encodeReply(run))).toEqual(run);
    expect(CONTROL.Get.decodeReply(CONTROL.Get.encodeReply({}))).toMatchObject({ run: "", tick: 0, label: "", backends: [], execution: null });
  });

  test("carry bytes, whatever their alignment", () => {
    const plan = Uint8Array.from({ length: 1000 }, (_, index) => index);
    const sent = CONTROL.Submit.encodeRequest({ plan, label: "b" });
    const shifted = new Uint8Array(sent.length + 1);
    shifted.set(sent, 1);
    expect(CONTROL.Submit.decodeRequest(shifted.subarray(1))).toMatchObject({ plan, label: "b", fresh: false });
  });

  test("equal the wire format written out by hand: field 2 of RunRequest is 0x12, then length and text", () => {
    expect(CONTROL.Cancel.encodeRequest({ tenant: "t", run: "abc" })).toEqual(Uint8Array.from([0x0a, 1, 0x74, 0x12, 3, 0x61, 0x62, 0x63]));
    expect(CONTROL.Moves.encodeRequest({ join: 300 })).toEqual(Uint8Array.from([0x18, 0xac, 0x02]));
  });

  test("that are none are BAD_REQUEST", () => {
    expect(() => CONTROL.Get.decodeRequest(Uint8Array.from([0x12, 200, 1]))).toThrow(expect.objectContaining({ code: "BAD_REQUEST", message: expect.stringContaining("RunRequest") }));
  });

  test("of unknown fields are read without them, so that a newer minor version can add some", () => {
    expect(CONTROL.Get.decodeRequest(Uint8Array.from([0x12, 1, 0x61, 0xf8, 0x3f, 1]))).toEqual({ tenant: "", run: "a" });
  });
});

describe("the version window", () => {
  const server = { major: 2, minor: 5, minorMin: 3 };

  test.each(["2.3", "2.4", "2.5"])("lets %s in", (header) => {
    expect(() => checkControlVersion(header, server)).not.toThrow();
  });

  test.each([["2.6", "upgrade the coordinators"], ["3.0", "upgrade the coordinators"], ["2.2", "upgrade the caller"], ["1.9", "upgrade the caller"], [undefined, "upgrade the caller"], ["two", "upgrade the caller"]])("refuses %s and says whom to change", (header, fix) => {
    expect(() => checkControlVersion(header, server)).toThrow(expect.objectContaining({ code: "INCOMPATIBLE", message: expect.stringContaining(fix) }));
  });

  test("is that of these messages and calls (else: raise the minor version in control.ts, say there what came, and write both here)", () => {
    const proto = readFileSync(new URL("control.proto", import.meta.url), "utf8").split("\n").map((line) => line.replace(/\/\/.*/, "").trim()).filter((line) => line !== "").join("\n");
    expect([controlVersionText(), createHash("sha256").update(proto).digest("hex")]).toEqual(["1.6", "ee281fd4f8737ca32069f463c1052fd9acdabe2502fed3a7a533bff5f768c2ad"]);
  });

  test("refuses a release by force of a caller that is upgraded already: a coordinator of 1.2 would not know of the force", () => {
    expect(() => checkControlVersion(controlVersionText(), { major: 1, minor: 2, minorMin: 0 })).toThrow(expect.objectContaining({ code: "INCOMPATIBLE", message: expect.stringMatching(/speaks version 1\.6 .*upgrade the coordinators first/) }));
  });

  test("holds what this build itself says, and a caller that says nothing", () => {
    expect(() => checkControlVersion(controlVersionText())).not.toThrow();
    expect(() => checkControlVersion(undefined)).not.toThrow();
  });
});
