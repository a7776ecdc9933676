import { PopulaceError } from "@populace/domain/error";
import { type GpuDevice, gpuFailure } from "./gpu-device.ts";
import type { CompiledPipeline, GpuPipeline } from "./gpu-pipeline.ts";
import { type GpuBuffer, type GpuMemory, USAGE } from "./gpu-pool.ts";

/** Dispatches in one batch; each takes `paramsAlignment` bytes (256 on most devices), so these take 4 MiB. */
const DISPATCHES_MAX = 16_384;
/** Sets of buffers that a pipeline remembers; all are forgotten beyond. */
const BINDINGS_MAX = 512;
const MAP_READ = 1;

type Step =
  | { readonly kind: "clear"; readonly buffer: GpuMemory; readonly offset: number; readonly bytes: number }
  | { readonly kind: "copy"; readonly from: GpuMemory; readonly fromOffset: number; readonly to: GpuMemory; readonly toOffset: number; readonly bytes: number }
  | { readonly kind: "dispatch"; readonly pipeline: CompiledPipeline; readonly bindings: GPUBindGroup; readonly columns: number; readonly rows: number; readonly paramsAt: number };

interface Read {
  readonly buffer: GpuMemory;
  readonly offset: number;
  readonly target: Uint8Array;
}

/**
 * Steps that run in the order in which they were recorded, each seeing what those before it wrote, in one submission: on a real
 * GPU a submission and the wait for it cost more than many dispatches. It runs once.
 */
export class GpuBatch {
  readonly #device: GpuDevice;
  readonly #label: string;
  readonly #steps: Step[] = [];
  readonly #reads: Read[] = [];
  /** The parameters of all dispatches, each set at a multiple of the device's alignment. */
  #params = new Uint32Array(0);
  #paramsUsed = 0;
  #dispatches = 0;
  #isSpent = false;

  constructor(device: GpuDevice, label: string) {
    device.throwIfLost();
    this.#device = device;
    this.#label = label;
  }

  /** Fills a buffer, or a part of it in whole words, with zeros. */
  clear(buffer: GpuBuffer, offsetBytes = 0, bytes = buffer.bytes - offsetBytes): this {
    this.#within(buffer, offsetBytes, bytes);
    this.#steps.push({ kind: "clear", buffer: buffer as GpuMemory, offset: offsetBytes, bytes });
    return this;
  }

  /** Copies whole words from one buffer to another. */
  copy(from: GpuBuffer, fromOffsetBytes: number, to: GpuBuffer, toOffsetBytes: number, bytes: number): this {
    this.#within(from, fromOffsetBytes, bytes);
    this.#within(to, toOffsetBytes, bytes);
    this.#steps.push({ kind: "copy", from: from as GpuMemory, fromOffset: fromOffsetBytes, to: to as GpuMemory, toOffset: toOffsetBytes, bytes });
    return this;
  }

  /**
   * Runs a program in so many workgroups, 0 for none, with buffers and parameters by the names that the program gives them.
   * Where there are more groups than one dimension holds, they are laid out in two (`groupIndex` in integers.wgsl counts
   * them); TOO_LARGE when two do not hold them either.
   */
  dispatch(pipeline: GpuPipeline, buffers: Readonly<Record<string, GpuBuffer>>, groups: number, params: Readonly<Record<string, number>> = {}): this {
    const [columns, rows] = layOut(groups, this.#device.limits.groupsPerDimensionMax, pipeline.name);
    const compiled = pipeline as CompiledPipeline;
    const bindings = this.#bind(compiled, buffers);
    const paramsAt = this.#record(compiled, params);
    if (groups > 0) this.#steps.push({ kind: "dispatch", pipeline: compiled, bindings, columns, rows, paramsAt });
    return this;
  }

  /** After all steps, copies bytes of the buffer into `target`; they are there when `run` resolves. */
  read(buffer: GpuBuffer, target: ArrayBufferView, offsetBytes = 0): this {
    this.#within(buffer, offsetBytes, wholeWords(target.byteLength));
    if (target.byteLength > 0) this.#reads.push({ buffer: buffer as GpuMemory, offset: offsetBytes, target: new Uint8Array(target.buffer, target.byteOffset, target.byteLength) });
    return this;
  }

  /**
   * Submits everything before it returns, so batches run in the order of these calls; resolves when the device is done and every
   * target of `read` is filled. Rejects with GpuLost, TOO_LARGE (no memory for the submission) or INTERNAL (a mistake of ours).
   */
  run(): Promise<void> {
    if (this.#isSpent) throw new PopulaceError("INTERNAL", `GPU batch ${this.#label} ran already`);
    this.#isSpent = true;
    this.#device.throwIfLost();
    const { raw: dawn, pool } = this.#device;
    const scopes = ["validation", "out-of-memory", "internal"] as const;
    for (const scope of scopes) dawn.pushErrorScope(scope);
    const params = this.#paramsUsed === 0 ? null : pool.take(`${this.#label} params`, this.#paramsUsed * 4, USAGE.uniform | USAGE.copyTarget);
    const readBytes = this.#reads.reduce((sum, { target }) => sum + wholeWords(target.length), 0);
    const staging = readBytes === 0 ? null : pool.take(`${this.#label} reads`, readBytes, USAGE.mapRead | USAGE.copyTarget);
    if (params !== null) dawn.queue.writeBuffer(params.raw, 0, this.#params, 0, this.#paramsUsed);
    dawn.queue.submit([this.#encoded(params, staging)]);
    const failures = Promise.all([...scopes.map(() => dawn.popErrorScope()), params?.failure ?? null, staging?.failure ?? null]);
    const done = staging === null ? dawn.queue.onSubmittedWorkDone() : staging.raw.mapAsync(MAP_READ, 0, readBytes);
    return this.#device.guarded(this.#finish(failures, done, params, staging, readBytes));
  }

  async #finish(failures: Promise<readonly (GPUError | null)[]>, done: Promise<unknown>, params: GpuMemory | null, staging: GpuMemory | null, readBytes: number): Promise<void> {
    const { pool, name } = this.#device;
    const [ended, found] = await Promise.allSettled([done, failures]);
    this.#device.throwIfLost();
    const failure = (found.status === "fulfilled" ? found.value.find((each) => each !== null) : null) ?? this.#device.takeStray();
    if (failure !== null || ended.status === "rejected") {
      for (const memory of [params, staging]) if (memory !== null) pool.destroy(memory);
      if (failure !== null) throw gpuFailure(failure, name, `batch ${this.#label} of ${this.#dispatches} dispatches and ${readBytes} bytes to read beside ${pool.heldBytes} in use`);
      throw (ended as PromiseRejectedResult).reason;
    }
    if (staging !== null) {
      const mapped = new Uint8Array(staging.raw.getMappedRange(0, readBytes));
      let at = 0;
      for (const { target } of this.#reads) {
        target.set(mapped.subarray(at, at + target.length));
        at += wholeWords(target.length);
      }
      staging.raw.unmap();
      pool.give(staging);
    }
    if (params !== null) pool.give(params);
  }

  #encoded(params: GpuMemory | null, staging: GpuMemory | null): GPUCommandBuffer {
    const encoder = this.#device.raw.createCommandEncoder({ label: this.#label });
    let pass: GPUComputePassEncoder | null = null;
    let current: CompiledPipeline | null = null;
    let bound: GPUBindGroup | null = null;
    let paramsBound: GPUBindGroup | null = null;
    for (const step of this.#steps) {
      if (step.kind === "dispatch") {
        pass ??= encoder.beginComputePass({ label: this.#label });
        if (step.pipeline !== current) {
          pass.setPipeline(step.pipeline.raw);
          paramsBound = params === null ? null : this.#bindParams(step.pipeline, params);
        }
        if (step.bindings !== bound) pass.setBindGroup(0, step.bindings);
        if (paramsBound !== null) pass.setBindGroup(1, paramsBound, [step.paramsAt]);
        pass.dispatchWorkgroups(step.columns, step.rows);
        current = step.pipeline;
        bound = step.bindings;
        continue;
      }
      pass?.end();
      pass = current = bound = null;
      if (step.kind === "clear") encoder.clearBuffer(step.buffer.raw, step.offset, step.bytes);
      else encoder.copyBufferToBuffer(step.from.raw, step.fromOffset, step.to.raw, step.toOffset, step.bytes);
    }
    pass?.end();
    let at = 0;
    for (const { buffer, offset, target } of this.#reads) {
      const bytes = wholeWords(target.length);
      encoder.copyBufferToBuffer(buffer.raw, offset, staging!.raw, at, bytes);
      at += bytes;
    }
    return encoder.finish();
  }

  /** The bind group of these buffers, remembered: a buffer that is used again keeps its id and memory. */
  #bind(pipeline: CompiledPipeline, buffers: Readonly<Record<string, GpuBuffer>>): GPUBindGroup {
    const memories = pipeline.source.buffers.map(({ name }) => {
      const buffer = buffers[name] as GpuMemory | undefined;
      if (buffer === undefined) throw new PopulaceError("INTERNAL", `${pipeline.name}: no buffer for ${name} among ${Object.keys(buffers).join(", ")}`);
      return buffer;
    });
    if (memories.length !== Object.keys(buffers).length) throw new PopulaceError("INTERNAL", `${pipeline.name}: takes ${pipeline.source.buffers.map(({ name }) => name).join(", ")}; given ${Object.keys(buffers).join(", ")}`);
    return remembered(pipeline, memories.map(({ id, bytes }) => `${id}:${bytes}`).join(), () =>
      this.#device.raw.createBindGroup({
        label: pipeline.name,
        layout: pipeline.buffersLayout,
        entries: memories.map(({ raw, bytes }, binding) => ({ binding, resource: { buffer: raw, size: bytes } })),
      }));
  }

  #bindParams(pipeline: CompiledPipeline, params: GpuMemory): GPUBindGroup | null {
    const layout = pipeline.paramsLayout;
    if (layout === null) return null;
    return remembered(pipeline, `params ${params.id}`, () =>
      this.#device.raw.createBindGroup({ label: `${pipeline.name} params`, layout, entries: [{ binding: 0, resource: { buffer: params.raw, size: pipeline.source.params.length * 4 } }] }));
  }

  /** Appends a dispatch's parameters and answers where they begin, in bytes. */
  #record(pipeline: CompiledPipeline, params: Readonly<Record<string, number>>): number {
    if (this.#dispatches++ === DISPATCHES_MAX) throw new PopulaceError("INTERNAL", `GPU batch ${this.#label} has more than ${DISPATCHES_MAX} dispatches; run it in pieces`);
    const fields = pipeline.source.params;
    if (fields.length !== Object.keys(params).length) throw new PopulaceError("INTERNAL", `${pipeline.name}: takes the parameters ${fields.map(({ name }) => name).join(", ")}; given ${Object.keys(params).join(", ")}`);
    if (fields.length === 0) return 0;
    const alignmentWords = this.#device.limits.paramsAlignment / 4;
    const at = this.#paramsUsed;
    this.#paramsUsed += Math.ceil(fields.length / alignmentWords) * alignmentWords;
    if (this.#paramsUsed > this.#params.length) {
      const grown = new Uint32Array(2 * this.#paramsUsed);
      grown.set(this.#params);
      this.#params = grown;
    }
    fields.forEach(({ name, isSigned }, index) => {
      const value = params[name];
      const isWord = Number.isInteger(value) && (isSigned ? value! >= -0x8000_0000 && value! <= 0x7fff_ffff : value! >= 0 && value! <= 0xffff_ffff);
      if (!isWord) throw new PopulaceError("INTERNAL", `${pipeline.name}: parameter ${name} is ${value}, which is no ${isSigned ? "i32" : "u32"}`);
      this.#params[at + index] = value!;
    });
    return at * 4;
  }

  #within(buffer: GpuBuffer, offsetBytes: number, bytes: number): void {
    if (offsetBytes % 4 !== 0 || bytes % 4 !== 0 || offsetBytes < 0 || bytes < 0 || offsetBytes + bytes > buffer.bytes) {
      throw new PopulaceError("INTERNAL", `GPU batch ${this.#label}: ${bytes} bytes at ${offsetBytes} are no whole words within ${buffer.label} of ${buffer.bytes} bytes`);
    }
  }
}

function wholeWords(bytes: number): number {
  return (bytes + 3) & ~3;
}

/** Columns and rows that hold so many groups with fewer than one row to spare. */
export function layOut(groups: number, perDimensionMax: number, name: string): readonly [columns: number, rows: number] {
  if (groups > perDimensionMax * perDimensionMax || groups > 0xffff_ffff) {
    throw new PopulaceError("TOO_LARGE", `${name}: ${groups} workgroups; one dispatch holds ${perDimensionMax} in each of two dimensions`, { groups, perDimensionMax });
  }
  const rows = Math.max(1, Math.ceil(groups / perDimensionMax));
  return [Math.ceil(groups / rows), rows];
}

function remembered(pipeline: CompiledPipeline, key: string, make: () => GPUBindGroup): GPUBindGroup {
  const known = pipeline.bindings.get(key);
  if (known !== undefined) return known;
  if (pipeline.bindings.size >= BINDINGS_MAX) pipeline.bindings.clear();
  const made = make();
  pipeline.bindings.set(key, made);
  return made;
}
