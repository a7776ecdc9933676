import { blocksOf } from "@populace/protocol";
import { readStudy, compilePlan } from "@populace/studies";
import { describe, expect, it } from "vitest";
import { describeOnGpu } from "../kernels/backends/gpu.fixture.ts";
import { tape } from "../kernels/expose/parity.fixture.ts";
import type { ExposeKernel } from "../kernels/expose/port.ts";
import { exposeReference } from "../kernels/expose/reference.ts";
import { exposeWasm } from "../kernels/expose/wasm.ts";
import { exposeWebgpu } from "../kernels/expose/webgpu.ts";
import { coding, contact, handModel } from "../studies/hand-model.fixture.ts";

/** Contacts from elsewhere, some of them several at one tick, before the study's own, under pressure, a gap and leaving. */
function planWithHistories(): ReturnType<typeof compilePlan> {
  const model = handModel({
    codings: [coding("age", "continuous", 0)], steps: ["open", "buy"], sd: 0.3, worlds: 4, leaveLogit: -2, stimuli: [contact("plain"), contact("gift")],
    personas: [0.4, 0.6].map((share, at) => ({ id: `p${at}`, share, distributions: [{ kind: "continuous" as const, mean: at, kappa: 100, shape: 50, rate: 50 }] })),
    terms: [{ kind: "intercept" }, { kind: "trait", trait: 0, level: -1 }, { kind: "stimulus", stimulus: 0 }, { kind: "stimulus", stimulus: 1 }], coefficients: [[-0.5, 0.6, 0, 0.4], [-1, 0.2, 0, 0.3]],
  });
  return compilePlan(model, readStudy({
    seed: 7, agents: 3_000, ticks: 9, everyTicks: 2, pressure: { perContact: 50, perResponse: 30, logitPerUnit: 0.01, leaveLogitPerUnit: 0.02, gapTicks: 2 }, returnRate: 0.1,
    histories: { fresh: { share: 0.5 }, busy: { share: 0.3, contactsAt: [1, 3, 5] }, hot: { share: 0.2, contactsAt: [0, 0, 0, 4] } },
  }, model));
}

/** Every tick of every block, as a kernel lives it. */
async function lived(kernel: ExposeKernel): Promise<readonly string[]> {
  const plan = planWithHistories(), { lines, onTick } = tape(), session = await kernel.open(plan, "procedural");
  await session.live(blocksOf(plan), onTick);
  session.close();
  return lines;
}

describe("a plan with histories", () => {
  it("gives the same bits in WebAssembly as in the reference", async () => {
    const expected = await lived(exposeReference);
    expect(expected.length).toBe(6 * 9);
    expect(await lived(exposeWasm)).toEqual(expected);
  });
});

describeOnGpu("a plan with histories on the GPU", () => {
  it("gives the same bits as the reference", async () => {
    expect(await lived(exposeWebgpu)).toEqual(await lived(exposeReference));
  });
});
