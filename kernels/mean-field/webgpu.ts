/** The kernel `mean-field` on the GPU, over the codes that expose's program draws. */
import { withRecovery } from "../backends/gpu-adapter.ts";
import type { Gpu, GpuBatch, GpuBuffer, GpuPipeline } from "../backends/gpu.ts";
import { checkPlan } from "../expose/check-plan.ts";
import type { ExposePlan } from "../expose/plan.ts";
import { SIGMOID_TABLE } from "../expose/tables.ts";
import { GROUP_AGENTS } from "../expose/thinning.ts";
import { planOnGpu } from "../expose/webgpu-plan.ts";
import { readWgsl } from "../lib/wgsl.ts";
import { checkHistogram, checkPanel } from "./check.ts";
import { HISTOGRAM_BINS, type HistogramOf, type MeanFieldKernel, type MeanFieldSession } from "./port.ts";

/** Agents x worlds x stimuli x steps of one submission: some milliseconds of a real GPU, more of an emulated one. */
const VISITS_MAX = 2 ** 27, VISITS_MAX_EMULATED = 2 ** 20;
/** Worlds of one submission: a dispatch or two each. */
const WORLDS_MAX = 1024;
/** Parts of a panel: enough threads for any GPU, few enough that their sums meet seldom. */
const SLICES_MAX = 64;

/** What a session has on one device. */
interface OnDevice {
  readonly gpu: Gpu;
  readonly codes: GpuPipeline;
  readonly rates: GpuPipeline;
  readonly histogram: GpuPipeline;
  readonly plan: GpuBuffer;
  readonly sigmoidTable: GpuBuffer;
  readonly shown: GpuBuffer;
}

/** The kernel on the GPU of the calling thread. What a lost device was asked is asked of the next. */
export const meanFieldWebgpu: MeanFieldKernel = { open };

async function open(plan: ExposePlan): Promise<MeanFieldSession> {
  checkPlan(plan);
  const { words, codeWords, params, codesParams } = planOnGpu(plan), { worlds, cells, personas } = plan;
  const steps = plan.steps.length, shown = [...new Set(cells.map((cell) => cell.stimulus))];
  let last: OnDevice | null = null;

  /** What the session has on this device, uploaded where it is a new one. */
  async function onDevice(gpu: Gpu): Promise<OnDevice> {
    if (last !== null && last.gpu === gpu) return last;
    const sources = ["../expose/codes.wgsl", "./rates.wgsl", "./histogram.wgsl"].map((path) => gpu.pipeline(readWgsl(new URL(path, import.meta.url))));
    const [[codes, rates, histogram], planBuffer, sigmoidTable, shownBuffer] = await Promise.all([
      Promise.all(sources), gpu.buffer("the plan", words.byteLength), gpu.buffer("the sigmoid table", SIGMOID_TABLE.byteLength), gpu.buffer("stimuli", shown.length * 4),
    ]);
    gpu.upload(planBuffer, words);
    gpu.upload(sigmoidTable, SIGMOID_TABLE);
    gpu.upload(shownBuffer, Uint32Array.from(shown));
    return (last = { gpu, codes, rates, histogram, plan: planBuffer, sigmoidTable, shown: shownBuffer });
  }

  /** What codes.wgsl is told of so many agents of a persona: groups, one after the other. */
  const groupsFrom = (persona: number, first: number, groups: number): Uint32Array => Uint32Array.from({ length: 3 * groups }, (_, at) => [persona, first + Math.floor(at / 3) * GROUP_AGENTS, Math.floor(at / 3)][at % 3]);

  const draw = (batch: GpuBatch, device: OnDevice, work: GpuBuffer, codes: GpuBuffer, groups: number, world: number): GpuBatch =>
    batch.dispatch(device.codes, { plan: device.plan, work, codes }, groups, { ...params, ...codesParams, groups, world });

  async function ratesOn(gpu: Gpu, panel: number): Promise<Float64Array> {
    const device = await onDevice(gpu), groups = Math.ceil(panel / GROUP_AGENTS), slices = Math.min(groups, SLICES_MAX), worldWords = shown.length * steps * 3;
    const visitsMax = gpu.isHardware ? VISITS_MAX : VISITS_MAX_EMULATED;
    const atOnce = Math.max(1, Math.min(worlds, WORLDS_MAX, Math.floor(visitsMax / (panel * Math.max(1, shown.length) * steps))));
    const buffers = await Promise.all([gpu.buffer("groups", groups * 12), gpu.buffer("codes", groups * GROUP_AGENTS * codeWords * 4), gpu.buffer("sums", atOnce * worldWords * 4)]);
    const [work, codes, out] = buffers, sums = new Uint32Array(atOnce * worldWords), rates = new Float64Array(worlds * cells.length * personas.length * steps);
    for (let persona = 0; persona < personas.length; persona++) {
      gpu.upload(work, groupsFrom(persona, 0, groups));
      for (let first = 0; first < worlds; first += atOnce) {
        const batch = gpu.batch("rates").clear(out), end = Math.min(worlds, first + atOnce);
        for (let world = first; world < end; world++) {
          // Factors are the same in every world.
          if (plan.factors === 0 || world === first) draw(batch, device, work, codes, groups, world);
          batch.dispatch(
            device.rates, { sigmoidTable: device.sigmoidTable, plan: device.plan, codes, shownStimuli: device.shown, out }, slices * shown.length,
            { ...params, panel, persona, world, shown: shown.length, slices, sums: (world - first) * worldWords },
          );
        }
        await batch.read(out, sums).run();
        for (let world = first; world < end; world++) {
          cells.forEach(({ stimulus }, cell) => {
            for (let k = 0; k < steps; k++) {
              const at = (world - first) * worldWords + 3 * (shown.indexOf(stimulus) * steps + k);
              // The parts of an integer below 2^52.
              const sum = sums[at] + sums[at + 1] * 2 ** 11 + sums[at + 2] * 2 ** 22;
              rates[((world * cells.length + cell) * personas.length + persona) * steps + k] = sum / (panel * 2 ** 32);
            }
          });
        }
      }
    }
    for (const buffer of buffers) gpu.release(buffer);
    return rates;
  }

  async function histogramOn(gpu: Gpu, { persona, world, stimulus, step, firstAgent, agents }: HistogramOf): Promise<Uint32Array> {
    const device = await onDevice(gpu), groups = Math.ceil(agents / GROUP_AGENTS), histogram = new Uint32Array(HISTOGRAM_BINS);
    const buffers = await Promise.all([gpu.buffer("groups", groups * 12), gpu.buffer("codes", groups * GROUP_AGENTS * codeWords * 4), gpu.buffer("histogram", histogram.byteLength)]);
    const [work, codes, out] = buffers;
    gpu.upload(work, groupsFrom(persona, firstAgent, groups));
    await draw(gpu.batch("histogram").clear(out), device, work, codes, groups, world)
      .dispatch(device.histogram, { sigmoidTable: device.sigmoidTable, plan: device.plan, codes, histogram: out }, groups, { ...params, agents, persona, world, stimulus, step })
      .read(out, histogram)
      .run();
    for (const buffer of buffers) gpu.release(buffer);
    return histogram;
  }

  await withRecovery(onDevice);
  return {
    async rates(panelAgents) {
      checkPanel(panelAgents);
      return withRecovery((gpu) => ratesOn(gpu, panelAgents));
    },
    async histogram(of) {
      checkHistogram(plan, of);
      return withRecovery((gpu) => histogramOn(gpu, of));
    },
    close() {
      if (last === null) return;
      for (const buffer of [last.plan, last.sigmoidTable, last.shown]) last.gpu.release(buffer);
      last = null;
    },
  };
}
