/** The kernel `expose` on the GPU: uploads a plan, cuts work into submissions of many blocks, and hands their counts over block by block. */
import { PopulaceError } from "@populace/domain/error";
import { withRecovery } from "../backends/gpu-adapter.ts";
import type { Gpu, GpuBuffer, GpuPipeline } from "../backends/gpu.ts";
import { inFlight } from "../backends/in-flight.ts";
import { type WgslSource, readWgsl } from "../lib/wgsl.ts";
import { checkBlock, checkPlan } from "./check-plan.ts";
import type { ExposeBlock, ExposePlan } from "./plan.ts";
import type { Climate, ExposeKernel, ExposeSession, HeldBlock, OnTick, PopulationForm } from "./port.ts";
import { createOutput, initialClimate } from "./reference.ts";
import { cellsOf } from "./script.ts";
import { initialState } from "./state.ts";
import { SIGMOID_TABLE } from "./tables.ts";
import { GROUP_AGENTS } from "./thinning.ts";
import { planOnGpu } from "./webgpu-plan.ts";
import { countWords, groupsOf, handOver, type SpanTables, spanTables, type Task } from "./webgpu-span.ts";
import { type Place, Slabs } from "./webgpu-slabs.ts";

/** Agents x scenarios x ticks of one submission: tens of milliseconds of a real GPU, and longer of an emulated one. */
const VISITS_MAX = 2 ** 27, VISITS_MAX_EMULATED = 2 ** 20;
/** Bytes of counts of one submission, and of codes that are drawn for it alone. */
const OUT_BYTES_MAX = 2 ** 26, CODES_BYTES_MAX = 2 ** 28;
/** Agents that fill any GPU several times over: as many blocks are worth handing over at once, and so many where blocks are small. */
const BATCH_AGENTS = 2 ** 21, BATCH_BLOCKS_MIN = 32;
/** `OWN_WORLD` of codes.wgsl. */
const OWN_WORLD = 0xffff_ffff;

/** The programs of the kernel. */
export interface ExposeSources {
  readonly codes: WgslSource;
  readonly expose: WgslSource;
}

/** How work is cut into submissions. */
interface Cut {
  readonly visitsMax: number;
  readonly outBytesMax: number;
}

/** What a session has on one device. */
interface OnDevice {
  readonly gpu: Gpu;
  readonly codes: GpuPipeline;
  readonly expose: GpuPipeline;
  readonly plan: GpuBuffer;
  readonly sigmoid: GpuBuffer;
  /** Bound as the state of blocks that are not held. */
  readonly nothing: GpuBuffer;
  readonly slabs: Slabs;
}

/** A block whose state is on a device; of no use once that is lost. */
interface BlockOnGpu extends HeldBlock {
  readonly device: OnDevice;
  readonly place: Place;
  /** Nothing happened to it yet, and its place is not written. */
  isFresh: boolean;
  /** Its codes are in its place. */
  hasCodes: boolean;
}

/** A block to be taken through a span; `index` is its place in the caller's list. Not held: through its whole life at once. */
interface Job {
  readonly index: number;
  readonly block: ExposeBlock;
  readonly held: BlockOnGpu | null;
}

/** One submission: blocks that lie in one slab, or in none, through the whole span; or one block through a part of it. */
interface Piece {
  readonly jobs: readonly Job[];
  readonly tick: number;
  readonly span: number;
}

/** The kernel on the GPU of the calling thread. */
export const exposeWebgpu: ExposeKernel = exposeOnGpu({});

/** The kernel with smaller submissions, or of programs that a test has changed. */
export function exposeOnGpu({ sources, ...cut }: Partial<Cut> & { readonly sources?: ExposeSources }): ExposeKernel {
  return { open: (plan, form, pause = () => {}) => openSession(plan, form, pause, sources ?? exposeSources(), cut) };
}

export function exposeSources(): ExposeSources {
  return { codes: readWgsl(new URL("./codes.wgsl", import.meta.url)), expose: readWgsl(new URL("./expose.wgsl", import.meta.url)) };
}

async function openSession(plan: ExposePlan, form: PopulationForm, pause: () => void, sources: ExposeSources, cut: Partial<Cut>): Promise<ExposeSession> {
  checkPlan(plan);
  const { words, codeWords, params, codesParams, exposeParams } = planOnGpu(plan);
  const scenarios = plan.scenarios.length, isStored = form === "stored" && plan.factors === 0;
  const stateBytes = scenarios * 2 * GROUP_AGENTS, codeBytes = codeWords * GROUP_AGENTS * 4;
  const cells = cellsOf(plan), still = initialClimate(plan), output = createOutput(plan);
  const exposuresUntil = plan.personas.map((_, persona) => exposureSums(plan, persona));
  let last: { readonly gpu: Gpu; readonly device: Promise<OnDevice> } | null = null;

  /** What the session has on this device, uploaded where it is a new one. */
  function onDevice(gpu: Gpu): Promise<OnDevice> {
    if (last === null || last.gpu !== gpu) last = { gpu, device: uploaded(gpu) };
    return last.device;
  }

  async function uploaded(gpu: Gpu): Promise<OnDevice> {
    const [codes, expose, planBuffer, sigmoid, nothing] = await Promise.all([
      gpu.pipeline(sources.codes), gpu.pipeline(sources.expose), gpu.buffer("the plan", words.byteLength), gpu.buffer("the sigmoid table", SIGMOID_TABLE.byteLength), gpu.buffer("nothing", 4),
    ]);
    gpu.upload(planBuffer, words);
    gpu.upload(sigmoid, SIGMOID_TABLE);
    return { gpu, codes, expose, plan: planBuffer, sigmoid, nothing, slabs: new Slabs(gpu, stateBytes, isStored ? codeBytes : 0) };
  }

  /** Takes blocks through a span, two submissions under way at a time, and hands their counts over in order. */
  async function run(gpu: Gpu, jobs: readonly Job[], tick: number, span: number, climate: Climate, onTick: OnTick): Promise<void> {
    const pieces = cutUp(gpu, jobs, tick, span);
    let before: Promise<void> = Promise.resolve();
    await inFlight(pieces.length, async (n) => {
      pause();
      const turn = before, { jobs: own, tick: from } = pieces[n], { tables, done } = await submit(gpu, pieces[n], climate);
      before = done.then(async (counted) => {
        await turn;
        own.forEach(({ index }, t) => { handOver(plan, tables.tasks[t], index, from, counted, output, onTick); });
      });
      return { done: before };
    });
  }

  async function submit(gpu: Gpu, { jobs, tick, span }: Piece, climate: Climate): Promise<{ readonly tables: SpanTables; readonly done: Promise<Uint32Array> }> {
    const device = jobs[0].held?.device ?? (await onDevice(gpu)), slab = jobs[0].held?.place.slab ?? null, kept = slab?.codes ?? null;
    let drawn = 0;
    const tables = spanTables(plan, cells, jobs.map(({ block, held }): Task => {
      const place = held?.place.first ?? 0, codesPlace = kept === null ? drawn : place;
      drawn += groupsOf(block);
      return { block, place, isFresh: held?.isFresh ?? true, codesPlace, hasCodes: kept !== null && held!.hasCodes };
    }), tick, span, climate);
    const buffers = await Promise.all([
      device.gpu.buffer("groups", tables.work.byteLength), device.gpu.buffer("undrawn groups", tables.undrawn.byteLength), device.gpu.buffer("scripts", tables.scripts.byteLength),
      device.gpu.buffer("counts", tables.outWords * 4), ...(kept === null ? [device.gpu.buffer("codes", drawn * codeBytes)] : []),
    ]);
    const [work, undrawn, scripts, out] = buffers, codes = kept ?? buffers[4], counted = new Uint32Array(tables.outWords);
    device.gpu.upload(work, tables.work);
    device.gpu.upload(undrawn, tables.undrawn);
    device.gpu.upload(scripts, tables.scripts);
    const done = device.gpu.batch("expose")
      .clear(out)
      .dispatch(device.codes, { plan: device.plan, work: undrawn, codes }, tables.groupsUndrawn, { ...params, ...codesParams, groups: tables.groupsUndrawn, world: OWN_WORLD })
      .dispatch(
        device.expose, { sigmoidTable: device.sigmoid, plan: device.plan, work, scripts, codes, state: slab?.state ?? device.nothing, out },
        tables.groups * scenarios, { ...params, ...exposeParams, groups: tables.groups, firstTick: tick, endTick: tick + span, isKept: Number(slab !== null) },
      )
      .read(out, counted)
      .run()
      .finally(() => { for (const buffer of buffers) device.gpu.release(buffer); })
      .then(() => counted);
    for (const { held } of jobs) if (held !== null) held.isFresh = !(held.hasCodes = true);
    return { tables, done };
  }

  /** What a block takes of a submission's bounds; 1 = all of it. */
  function shareOf(gpu: Gpu, { block }: Pick<Job, "block">, tick: number, span: number): number {
    const { visitsMax = gpu.isHardware ? VISITS_MAX : VISITS_MAX_EMULATED, outBytesMax = OUT_BYTES_MAX } = cut;
    const exposures = exposuresUntil[block.persona][tick + span] - exposuresUntil[block.persona][tick];
    return Math.max((block.agents * scenarios * span) / visitsMax, (countWords(plan, block, exposures) * 4) / outBytesMax, (groupsOf(block) * codeBytes) / CODES_BYTES_MAX);
  }

  /** As many blocks of one slab as fit a submission; a held block that does not fit by itself goes through its span in parts, a tick at least. */
  function cutUp(gpu: Gpu, jobs: readonly Job[], tick: number, span: number): readonly Piece[] {
    const pieces: Piece[] = [], end = tick + span;
    for (let from = 0, to = 0; from < jobs.length; from = to) {
      let share = shareOf(gpu, jobs[to++], tick, span);
      while (to < jobs.length && jobs[to].held?.place.slab === jobs[from].held?.place.slab && (share += shareOf(gpu, jobs[to], tick, span)) <= 1) to++;
      const own = jobs.slice(from, to);
      for (let at = tick, ticks = span; at < end; at += ticks, ticks = end - at) {
        if (own[0].held !== null) while (ticks > 1 && own.length === 1 && shareOf(gpu, own[0], at, ticks) > 1) ticks--;
        pieces.push({ jobs: own, tick: at, span: ticks });
      }
    }
    return pieces;
  }

  async function hold(gpu: Gpu, block: ExposeBlock, state?: Uint8Array): Promise<BlockOnGpu> {
    const device = await onDevice(gpu), place = await device.slabs.take(groupsOf(block));
    if (state !== undefined) gpu.upload(place.slab.state, byGroup(state, block.agents, 2 * scenarios), place.first * stateBytes);
    return { block, device, place, isFresh: state === undefined, hasCodes: false };
  }

  function release({ block, device, place }: BlockOnGpu): void {
    device.slabs.give(place, groupsOf(block));
  }

  await withRecovery(onDevice);
  return {
    batchBlocks: Math.max(BATCH_BLOCKS_MIN, Math.ceil(BATCH_AGENTS / plan.personas.reduce((most, { agents }) => Math.max(most, agents), 1))),
    async hold(block, state) {
      checkBlock(plan, block);
      const bytes = 2 * scenarios * block.agents;
      if (state !== undefined && state.length !== bytes) {
        throw new PopulaceError("CORRUPT", `block state of ${state.length} bytes, expected ${bytes} (${block.agents} agents, ${scenarios} scenarios)`, { block });
      }
      return withRecovery((gpu) => hold(gpu, block, state));
    },
    async step(held, tick, span, climate, onTick) {
      if (held.length === 0) return;
      const jobs = (held as readonly BlockOnGpu[]).map((each, index): Job => ({ index, block: each.block, held: each }));
      await run(jobs[0].held!.device.gpu, jobs, tick, span, climate, onTick);
    },
    async live(blocks, onTick) {
      if (plan.influence !== null) throw new PopulaceError("INTERNAL", "kernel expose: whole lives were asked of a plan with influence", {});
      for (const block of blocks) checkBlock(plan, block);
      const { ticks } = plan;
      // Ticks of blocks handed over: after a loss the block that was under way begins again, and what is known of it already is left out.
      let given = 0;
      await withRecovery(async (gpu) => {
        const held: BlockOnGpu[] = [], first = Math.floor(given / ticks);
        let seen = first * ticks;
        try {
          const jobs: Job[] = [];
          for (let index = first; index < blocks.length; index++) {
            const block = blocks[index], own = shareOf(gpu, { block }, 0, ticks) > 1 ? await hold(gpu, block) : null;
            if (own !== null) held.push(own);
            jobs.push({ index, block, held: own });
          }
          await run(gpu, jobs, 0, ticks, still, (index, tick, counts) => {
            if (seen++ < given) return;
            given++;
            onTick(index, tick, counts);
          });
        } finally {
          held.forEach(release);
        }
      });
    },
    async stateOf(each) {
      const { block, device, place, isFresh } = each as BlockOnGpu;
      if (isFresh) return initialState(block.agents, scenarios);
      const bytes = new Uint8Array(groupsOf(block) * stateBytes);
      await device.gpu.batch("state").read(place.slab.state, bytes, place.first * stateBytes).run();
      return byPlane(bytes, block.agents, 2 * scenarios);
    },
    release: (each) => { release(each as BlockOnGpu); },
    close() {
      void last?.device.then(({ gpu, plan: planBuffer, sigmoid, nothing, slabs }) => {
        for (const buffer of [planBuffer, sigmoid, nothing]) gpu.release(buffer);
        slabs.close();
      }, () => {});
      last = null;
    },
  };
}

/** By tick, how many exposures a persona meets before it, over all scenarios. */
function exposureSums(plan: ExposePlan, persona: number): Uint32Array {
  const sums = new Uint32Array(plan.ticks + 1);
  for (let place = 0; place < plan.ticks * plan.ordinalsMax; place++) {
    for (const { schedule } of plan.scenarios) if (schedule[place * plan.personas.length + persona] >= 0) sums[Math.floor(place / plan.ordinalsMax) + 1]++;
  }
  for (let tick = 0; tick < plan.ticks; tick++) sums[tick + 1] += sums[tick];
  return sums;
}

/** Canonical state, plane after plane, as expose.wgsl has it: all planes of 256 agents, then of the next. */
function byGroup(state: Uint8Array, agents: number, planes: number): Uint8Array {
  const groups = Math.ceil(agents / GROUP_AGENTS), bytes = new Uint8Array(groups * planes * GROUP_AGENTS);
  for (let g = 0, at = 0; g < groups; g++) {
    for (let plane = 0; plane < planes; plane++, at += GROUP_AGENTS) bytes.set(state.subarray(plane * agents + g * GROUP_AGENTS, plane * agents + Math.min(agents, (g + 1) * GROUP_AGENTS)), at);
  }
  return bytes;
}

/** The reverse. */
function byPlane(bytes: Uint8Array, agents: number, planes: number): Uint8Array {
  const state = new Uint8Array(planes * agents);
  for (let first = 0, at = 0; first < agents; first += GROUP_AGENTS) {
    for (let plane = 0; plane < planes; plane++, at += GROUP_AGENTS) state.set(bytes.subarray(at, at + Math.min(GROUP_AGENTS, agents - first)), plane * agents + first);
  }
  return state;
}
