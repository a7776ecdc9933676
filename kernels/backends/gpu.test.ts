import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { assembleWgsl } from "../lib/wgsl.ts";
import { openGpu, withRecovery } from "./gpu-adapter.ts";
import { layOut } from "./gpu-batch.ts";
import { type GpuDevice, gpuFailure } from "./gpu-device.ts";
import { capacityFor } from "./gpu-pool.ts";
import { describeOnGpu } from "./gpu.fixture.ts";
import { Gpu, GpuLost } from "./gpu.ts";

const HERE = new URL("./in-test.wgsl", import.meta.url);

/** out[i] = out[i] * factor + addend, for i below count; one thread a word. */
const AFFINE = assembleWgsl(`
  #include "../lib/integers.wgsl"
  struct Params { count: u32, factor: u32, addend: i32 }
  @group(0) @binding(0) var<storage, read_write> out: array<u32>;
  @group(1) @binding(0) var<uniform> params: Params;
  override threads: u32 = 64u;
  @compute @workgroup_size(threads)
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
    let i = groupIndex(group, groups) * threads + thread;
    if (i >= params.count) { return; }
    out[i] = out[i] * params.factor + u32(params.addend);
  }`, HERE);

describe("the size of a buffer's memory", () => {
  it("is at least what was asked for, at most an eighth more, and the same for like sizes", () => {
    for (const bytes of [1, 256, 257, 4095, 4096, 4097, 1_000_000, 3_000_000_000]) {
      expect(capacityFor(bytes)).toBeGreaterThanOrEqual(bytes);
      expect(capacityFor(bytes)).toBeLessThanOrEqual(Math.max(bytes + 256, bytes * 1.125));
      expect(capacityFor(bytes) % 256).toBe(0);
    }
    expect(capacityFor(1_000_000)).toBe(capacityFor(1_040_000));
  });
});

describe("the layout of workgroups", () => {
  it("is one row while one holds them, then rows with fewer than one column to spare each, and a refusal beyond", () => {
    expect(layOut(0, 100, "k")).toEqual([0, 1]);
    expect(layOut(100, 100, "k")).toEqual([100, 1]);
    expect(layOut(101, 100, "k")).toEqual([51, 2]);
    expect(layOut(10_000, 100, "k")).toEqual([100, 100]);
    expect(() => layOut(10_001, 100, "k")).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
    expect(() => layOut(2 ** 32, 2 ** 20, "k")).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
  });
});

describe("a buffer for which there is no memory", () => {
  it("is tried again once what is kept for reuse is gone, then refused with the numbers", async () => {
    class GPUOutOfMemoryError {
      readonly message = "none left";
    }
    let kept = 1000, destroyed = 0;
    const failing = (until: number): Gpu => {
      let tries = 0;
      const pool = {
        heldBytes: 5000,
        take: (label: string, bytes: number) => ({ label, bytes, failure: Promise.resolve(++tries < until ? new GPUOutOfMemoryError() : null) }),
        destroy: () => { destroyed++; },
        trim: (bytesMax: number) => { kept = bytesMax; },
      };
      // No machine of ours runs out of memory on demand.
      return new Gpu({ name: "a small one", limits: { storageBytesMax: 1e6 }, pool, throwIfLost() {}, guarded: (work: Promise<unknown>) => work } as unknown as GpuDevice, true);
    };
    expect(await failing(2).buffer("agents", 4000)).toMatchObject({ bytes: 4000 });
    expect([kept, destroyed]).toEqual([0, 1]);
    await expect(failing(9).buffer("agents", 4000)).rejects.toMatchObject({ code: "TOO_LARGE", message: expect.stringContaining("agents needs 4000 bytes beside 5000 in use") });
    expect(destroyed).toBe(3);
  });
});

describeOnGpu("a batch", (gpu) => {
  it("runs its steps in order, each on what the step before left", async () => {
    const device = await gpu(), affine = await device.pipeline(AFFINE);
    const [a, b] = [await device.buffer("a", 400), await device.buffer("b", 400)];
    device.upload(a, Uint32Array.from({ length: 100 }, (_, i) => i));
    const first = new Uint32Array(100), second = new Uint32Array(50);
    await device.batch("order")
      .dispatch(affine, { out: a }, 2, { count: 100, factor: 3, addend: 1 })
      .copy(a, 0, b, 0, 400)
      .dispatch(affine, { out: a }, 2, { count: 50, factor: 2, addend: -5 })
      .clear(b, 0, 40)
      .dispatch(affine, { out: b }, 2, { count: 100, factor: 1, addend: 7 })
      .dispatch(affine, { out: b }, 0, { count: 100, factor: 9, addend: 9 })
      .read(a, first)
      .read(b, second, 200)
      .run();
    expect([...first]).toEqual(Array.from({ length: 100 }, (_, i) => (i < 50 ? ((3 * i + 1) * 2 - 5) >>> 0 : 3 * i + 1)));
    expect([...second]).toEqual(Array.from({ length: 50 }, (_, i) => 3 * (i + 50) + 8));
    const start = new Uint32Array(11);
    await device.batch("start").read(b, start).run();
    expect([...start]).toEqual([7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 38]);
    device.release(a);
    device.release(b);
  });

  it("takes a thousand dispatches with parameters of their own in one submission", async () => {
    const device = await gpu(), affine = await device.pipeline(AFFINE, { threads: 1 });
    expect(affine.threadsPerGroup).toBe(1);
    const out = await device.buffer("out", 4);
    const batch = device.batch("many").clear(out);
    let expected = 0;
    for (let i = 0; i < 1000; i++) {
      batch.dispatch(affine, { out }, 1, { count: 1, factor: 2 * i + 1, addend: -i });
      expected = (Math.imul(expected, 2 * i + 1) - i) >>> 0;
    }
    const result = new Uint32Array(1);
    await batch.read(out, result).run();
    expect(result[0]).toBe(expected);
    device.release(out);
  });

  it("reaches every word when the workgroups fill more than one dimension", async () => {
    const device = await gpu(), affine = await device.pipeline(AFFINE, { threads: 1 });
    const count = 2 * device.limits.groupsPerDimensionMax + 3;
    const out = await device.buffer("out", count * 4);
    const result = new Uint32Array(count);
    await device.batch("wide").clear(out).dispatch(affine, { out }, count, { count, factor: 1, addend: 1 }).read(out, result).run();
    expect(result.every((value) => value === 1)).toBe(true);
    device.release(out);
  });

  it("runs after those whose run was called before, whoever is awaited first", async () => {
    const device = await gpu(), affine = await device.pipeline(AFFINE);
    const out = await device.buffer("out", 4);
    const seen = Array.from({ length: 20 }, () => new Uint32Array(1));
    device.upload(out, Uint32Array.of(0));
    await Promise.all(seen.map((target, i) => device.batch(`number ${i}`).dispatch(affine, { out }, 1, { count: 1, factor: 2, addend: 1 }).read(out, target).run()));
    expect(seen.map(([value]) => value)).toEqual(seen.map((_, i) => 2 ** (i + 1) - 1));
    device.release(out);
  });

  it("moves bytes that are no whole words, to and from a shared buffer as well", async () => {
    const device = await gpu();
    const out = await device.buffer("out", 7);
    expect(out.bytes).toBe(8);
    const shared = new Uint8Array(new SharedArrayBuffer(16), 3, 7);
    shared.set([1, 2, 3, 4, 5, 6, 7]);
    device.upload(out, shared);
    const whole = new Uint8Array(8), odd = new Uint8Array(new SharedArrayBuffer(8), 1, 5);
    await device.batch("bytes").read(out, whole).read(out, odd).read(out, new Uint8Array(0)).run();
    await device.batch("nothing").read(out, new Uint8Array(0)).run();
    expect([...whole]).toEqual([1, 2, 3, 4, 5, 6, 7, 0]);
    expect([...odd]).toEqual([1, 2, 3, 4, 5]);
    device.release(out);
  });

  it("refuses what would be a mistake: names, parameters, ranges, a second run", async () => {
    const device = await gpu(), affine = await device.pipeline(AFFINE);
    const out = await device.buffer("out", 8);
    const batch = device.batch("mistakes");
    const mistakes: readonly (() => unknown)[] = [
      () => batch.dispatch(affine, {}, 1, { count: 1, factor: 1, addend: 1 }),
      () => batch.dispatch(affine, { out, other: out }, 1, { count: 1, factor: 1, addend: 1 }),
      () => batch.dispatch(affine, { out }, 1, { count: 1, factor: 1 }),
      () => batch.dispatch(affine, { out }, 1, { count: -1, factor: 1, addend: 1 }),
      () => batch.dispatch(affine, { out }, 1, { count: 1, factor: 1, addend: 2 ** 31 }),
      () => batch.clear(out, 4, 8),
      () => batch.clear(out, 2, 4),
      () => batch.copy(out, 0, out, 4, 8),
      () => batch.read(out, new Uint8Array(9)),
      () => device.upload(out, new Uint8Array(9)),
      () => device.upload(out, new Uint8Array(4), 2),
    ];
    for (const mistake of mistakes) expect(mistake).toThrow(expect.objectContaining({ code: "INTERNAL" }));
    const spent = device.batch("spent");
    await spent.run();
    expect(() => spent.run()).toThrow(expect.objectContaining({ code: "INTERNAL" }));
    device.release(out);
    expect(() => device.release(out)).toThrow(/released twice/);
  });

  it("reports what the device refuses, and the device goes on", async () => {
    const device = await gpu(), affine = await device.pipeline(AFFINE);
    const out = await device.buffer("out", 8);
    // A copy within one buffer is not allowed; it is no mistake that the batch looks for.
    await expect(device.batch("copies onto itself").copy(out, 0, out, 4, 4).run()).rejects.toMatchObject({ code: "INTERNAL", message: expect.stringContaining("copies onto itself") });
    const result = new Uint32Array(1);
    await device.batch("goes on").clear(out).dispatch(affine, { out }, 1, { count: 1, factor: 1, addend: 5 }).read(out, result).run();
    expect(result[0]).toBe(5);
    device.release(out);
  });
});

describeOnGpu("a device", (gpu) => {
  it("keeps released memory for buffers of like size", async () => {
    const device = await gpu();
    const first = await device.buffer("first", 100_000);
    const held = device.heldBytes;
    device.release(first);
    const second = await device.buffer("second", 99_000);
    expect(device.heldBytes).toBe(held);
    expect(second.bytes).toBe(99_000);
    device.release(second);
  });

  it("refuses a buffer beyond its limit with the numbers, and reports exhausted memory as TOO_LARGE", async () => {
    const device = await gpu();
    const bytes = device.limits.storageBytesMax + 4;
    await expect(device.buffer("everyone", bytes)).rejects.toMatchObject({ code: "TOO_LARGE", details: { label: "everyone", bytes, bytesMax: bytes - 4 } });
    const { globals } = await import("webgpu");
    const { GPUOutOfMemoryError } = globals as { GPUOutOfMemoryError: new (message: string) => GPUError };
    expect(gpuFailure(new GPUOutOfMemoryError("none left"), device.name, "agents need 5 bytes")).toMatchObject({ code: "TOO_LARGE", message: expect.stringContaining("agents need 5 bytes") });
  });

  it("names file and line of a program that does not compile, and of one that does not fit", async () => {
    const device = await gpu();
    const broken = assembleWgsl('#include "../lib/integers.wgsl"\n@compute @workgroup_size(1) fn main() {\n  let x: u32 = -1;\n}', HERE);
    await expect(device.pipeline(broken)).rejects.toMatchObject({ code: "INTERNAL", message: expect.stringMatching(/in-test\.wgsl:3:\d+: /) });
    await expect(device.pipeline(AFFINE, { threads: 1 << 20 })).rejects.toMatchObject({ code: "INTERNAL", message: expect.stringContaining("in-test.wgsl does not fit") });
  });

  it("works in several threads at once, and a thread that used it ends by itself", async () => {
    const script = `
      const { currentGpu } = await import(${JSON.stringify(new URL("./gpu-adapter.ts", import.meta.url).href)});
      const gpu = await currentGpu(), out = await gpu.buffer("out", 4), result = new Uint32Array(1);
      gpu.upload(out, Uint32Array.of(7));
      await gpu.batch("thread").read(out, result).run();
      (await import("node:worker_threads")).parentPort.postMessage(result[0]);`;
    const threads = Array.from({ length: 3 }, () => new Promise<unknown[]>((resolve, reject) => {
      const said: unknown[] = [];
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
      worker.on("message", (message) => said.push(message)).on("error", reject).on("exit", (code) => resolve([...said, code]));
    }));
    expect(await Promise.all(threads)).toEqual([[7, 0], [7, 0], [7, 0]]);
  });
});

describeOnGpu("a lost device", (gpu) => {
  beforeEach(() => void vi.spyOn(process, "emitWarning").mockReturnValue());
  afterEach(() => void vi.restoreAllMocks());

  it("rejects what is pending and whatever comes later with GpuLost", async () => {
    const device = await openGpu(), affine = await device.pipeline(AFFINE);
    const out = await device.buffer("out", 4 << 20);
    const batch = device.batch("under way");
    for (let i = 0; i < 10; i++) batch.dispatch(affine, { out }, (1 << 20) / 64, { count: 1 << 20, factor: 3, addend: 1 });
    const pending = batch.read(out, new Uint32Array(1 << 20)).run();
    const later = device.batch("later");
    device.destroy();
    await expect(pending).rejects.toBeInstanceOf(GpuLost);
    await expect(pending).rejects.toMatchObject({ code: "UNAVAILABLE", details: { device: device.name } });
    expect(device.loss).toBeInstanceOf(GpuLost);
    await expect(device.buffer("out", 4)).rejects.toBeInstanceOf(GpuLost);
    await expect(device.pipeline(AFFINE, { threads: 32 })).rejects.toBeInstanceOf(GpuLost);
    expect(() => device.upload(out, new Uint8Array(4))).toThrow(GpuLost);
    expect(() => device.batch("new")).toThrow(GpuLost);
    expect(() => later.run()).toThrow(GpuLost);
    device.release(out);
  });

  it("is replaced: withRecovery repeats the work on a new one, and says so", async () => {
    const losses: GpuLost[] = [], used = new Set<Gpu>();
    const result = await withRecovery(async (device) => {
      used.add(device);
      const out = await device.buffer("out", 4), value = new Uint32Array(1);
      device.upload(out, Uint32Array.of(used.size));
      const run = device.batch("answer").read(out, value).run();
      if (used.size < 3) device.destroy();
      await run;
      return value[0];
    }, (loss) => losses.push(loss));
    expect(result).toBe(3);
    expect(used.size).toBe(3);
    expect(losses).toHaveLength(2);
    for (const { message } of losses) expect(process.emitWarning).toHaveBeenCalledWith(message, "GpuLost");
    expect((await gpu()).loss).toBeNull();
  });

  it("is given up after the third loss, and other failures are not repeated", async () => {
    let runs = 0;
    await expect(withRecovery(async (device) => {
      runs++;
      device.destroy();
      await device.buffer("never", 4);
    }, () => {})).rejects.toBeInstanceOf(GpuLost);
    expect(runs).toBe(3);
    await expect(withRecovery(() => {
      runs++;
      return Promise.reject(new RangeError("of the work itself"));
    }, () => {})).rejects.toThrow("of the work itself");
    expect(runs).toBe(4);
  });
});
