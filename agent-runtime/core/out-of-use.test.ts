import { expect, it } from "vitest";
import { outOfUse } from "./out-of-use.ts";

it("a lost device is out of use for the node, asked for or not", () => {
  expect([outOfUse("webgpu", "UNAVAILABLE", false), outOfUse("webgpu", "UNAVAILABLE", true)]).toEqual(["node", "node"]);
});

it("what was asked for is refused where it cannot be had or has no room; else the node does without it, or the run", () => {
  expect([outOfUse("webgpu", "BACKEND_MISSING", true), outOfUse("webgpu", "TOO_LARGE", true)]).toEqual(["nobody", "nobody"]);
  expect([outOfUse("webgpu", "BACKEND_MISSING", false), outOfUse("webgpu", "TOO_LARGE", false)]).toEqual(["node", "run"]);
});

it("a run that fails elsewhere or otherwise fails", () => {
  expect([outOfUse("wasm", "TOO_LARGE", false), outOfUse("webgpu", "DIVERGENCE", false), outOfUse("wasm", "INTERRUPTED", false)]).toEqual(["nobody", "nobody", "nobody"]);
});
