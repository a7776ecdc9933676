import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { currentGpu } from "../backends/gpu-adapter.ts";
import { describeOnGpu } from "../backends/gpu.fixture.ts";
import { Gpu, GpuLost } from "../backends/gpu.ts";
import { drawnCodes, packedCodes, ROUNDED_PLAN } from "./codes.fixture.ts";
import { differences, PARITY_CASES, tape } from "./parity.fixture.ts";
import type { ExposeBlock } from "./plan.ts";
import { exposeReference, initialClimate } from "./reference.ts";
import { samplePlan } from "./sample-plan.ts";
import { initialState } from "./state.ts";
import { exposeOnGpu, exposeSources, exposeWebgpu } from "./webgpu.ts";

const plan = samplePlan(31, { agents: [700, 300, 513], ticks: 9, worlds: 3, worldShift: 8, scenarios: 2, stimuli: 3, traits: 7, ordinals: 2 });
const blocks: readonly ExposeBlock[] = [{ persona: 2, firstAgent: 0, agents: 513 }, { persona: 0, firstAgent: 256, agents: 444 }, { persona: 0, firstAgent: 0, agents: 256 }, { persona: 1, firstAgent: 0, agents: 300 }];

describeOnGpu("expose in submissions", () => {
  it("of one or a few blocks, or some ticks of one, gives the same bits", async () => {
    for (const [cut, at] of [[{ visitsMax: 4000 }, 0], [{ outBytesMax: 3000 }, 0], [{ visitsMax: 1 }, 4], [{ visitsMax: 3000 }, 7]] as const) {
      expect(await differences(exposeOnGpu(cut), PARITY_CASES[at])).toEqual([]);
    }
  });

  it("hands ticks over block by block in the order given, and calls pause before each submission", async () => {
    const expected = tape(), found = tape(), pause = vi.fn();
    await (await exposeReference.open(plan, "procedural")).live(blocks, expected.onTick);
    await (await exposeOnGpu({ visitsMax: 5000 }).open(plan, "procedural", pause)).live(blocks, found.onTick);
    expect(found.lines).toEqual(expected.lines);
    expect(pause.mock.calls.length).toBeGreaterThan(blocks.length);
  });

  it("stops where pause throws, and the session goes on afterwards", async () => {
    let calls = 0;
    const session = await exposeOnGpu({ visitsMax: 5000 }).open(plan, "procedural", () => { if (++calls === 4) throw new Error("enough"); });
    const stopped = tape(), whole = tape(), expected = tape();
    await expect(session.live(blocks, stopped.onTick)).rejects.toThrow("enough");
    await session.live(blocks, whole.onTick);
    await (await exposeReference.open(plan, "procedural")).live(blocks, expected.onTick);
    expect(stopped.lines).toEqual(expected.lines.slice(0, stopped.lines.length));
    expect(whole.lines).toEqual(expected.lines);
    session.close();
  });

  it("asks for so many blocks at once that a device is filled", async () => {
    const few = await exposeWebgpu.open(samplePlan(1, { agents: [1000, 200], ticks: 1 }), "procedural"), large = await exposeWebgpu.open(samplePlan(1, { agents: [5_000_000], ticks: 1 }), "procedural");
    expect([few.batchBlocks, large.batchBlocks]).toEqual([2098, 32]);
  });

  it("refuses a plan for which the device has no room, and whole lives under influence", async () => {
    const buffer = vi.spyOn(Gpu.prototype, "buffer").mockImplementation(async function (this: Gpu, label, bytes) {
      buffer.mockRestore();
      return this.buffer(label, bytes + this.limits.storageBytesMax);
    });
    await expect(exposeWebgpu.open(plan, "procedural")).rejects.toMatchObject({ code: "TOO_LARGE", message: expect.stringMatching(/the plan needs \d+ bytes, a buffer holds at most \d+/) });
    const coupled = await exposeWebgpu.open(samplePlan(1, { agents: [10], ticks: 1, influence: true }), "procedural");
    await expect(coupled.live([{ persona: 0, firstAgent: 0, agents: 10 }], () => {})).rejects.toMatchObject({ code: "INTERNAL" });
  });
});

describeOnGpu("codes on the GPU", (gpu) => {
  it.each([
    ["16-bit, correlated", ROUNDED_PLAN],
    ["8-bit, independent", samplePlan(42, { agents: [20_000], ticks: 1, worlds: 2, worldShift: 0, traits: 12, levels: 3 })],
    ["factors", samplePlan(43, { agents: [5000], ticks: 1, factors: 12 })],
  ])("are those of the reference: %s", async (_, sample) => {
    expect(await drawnCodes(await gpu(), exposeSources().codes, sample)).toEqual(packedCodes(sample));
  });
});

describeOnGpu("expose on a device that is lost", () => {
  beforeEach(() => void vi.spyOn(process, "emitWarning").mockReturnValue());
  afterEach(() => void vi.restoreAllMocks());

  it("begins whole lives again on a new device and hands no tick over twice", async () => {
    const expected = tape(), found = tape();
    await (await exposeReference.open(plan, "procedural")).live(blocks, expected.onTick);
    const session = await exposeOnGpu({ visitsMax: 5000 }).open(plan, "procedural");
    const losses: Promise<void>[] = [];
    await session.live(blocks, (index, tick, output) => {
      found.onTick(index, tick, output);
      if (found.lines.length % 13 === 6 && losses.length < 2) losses.push(currentGpu().then((device) => { device.destroy(); }));
    });
    await Promise.all(losses);
    expect(losses).toHaveLength(2);
    expect(found.lines).toEqual(expected.lines);
    expect(process.emitWarning).toHaveBeenCalledWith(expect.stringContaining("was lost"), "GpuLost");
    session.close();
  });

  it("has lost what it held: it says so, and can hold anew", async () => {
    const session = await exposeWebgpu.open(plan, "stored"), still = initialClimate(plan);
    const held = await session.hold(blocks[0]);
    await session.step([held], 0, 2, still, () => {});
    const state = await session.stateOf(held);
    (await currentGpu()).destroy();
    await expect(session.step([held], 2, 1, still, () => {})).rejects.toBeInstanceOf(GpuLost);
    await expect(session.stateOf(held)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    session.release(held);
    const again = await session.hold(blocks[0], state);
    const found = tape(), expected = tape(), reference = await exposeReference.open(plan, "stored");
    await session.step([again], 2, 7, still, found.onTick);
    await reference.step([await reference.hold(blocks[0], state)], 2, 7, still, expected.onTick);
    expect(found.lines).toEqual(expected.lines);
    expect(await session.stateOf(await session.hold(blocks[3]))).toEqual(initialState(300, 2));
    session.close();
  });
});
