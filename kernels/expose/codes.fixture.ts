// The codes of agents as codes.wgsl draws them, beside those of the reference: a rounding that is wrong moves too few of them for any response to tell.
import type { Gpu } from "../backends/gpu.ts";
import type { WgslSource } from "../lib/wgsl.ts";
import { codesOf } from "./population.ts";
import { samplePlan, type SamplePlan } from "./sample-plan.ts";
import { planOnGpu } from "./webgpu-plan.ts";

/** All kinds of codes in so many agents that each rounding decides for some: that of a grid for one code in 65,536. */
export const ROUNDED_PLAN: SamplePlan = samplePlan(41, { agents: [20_000], ticks: 1, worlds: 3, worldShift: 3, slots: 32, traits: 15, levels: 17, copula: true, profile: "nest16-2" });

/** What a program like codes.wgsl makes of a plan's first persona, word by word as expose.wgsl reads it. */
export async function drawnCodes(gpu: Gpu, source: WgslSource, sample: SamplePlan): Promise<Uint32Array> {
  const { words, codeWords, params, codesParams } = planOnGpu(sample), groups = Math.ceil(sample.personas[0].agents / 256);
  const [pipeline, planBuffer, work, codes] = await Promise.all([
    gpu.pipeline(source), gpu.buffer("plan", words.byteLength), gpu.buffer("groups", groups * 12), gpu.buffer("codes", groups * codeWords * 1024),
  ]);
  gpu.upload(planBuffer, words);
  gpu.upload(work, Uint32Array.from({ length: 3 * groups }, (_, at) => [0, 256 * Math.floor(at / 3), Math.floor(at / 3)][at % 3]));
  const drawn = new Uint32Array(groups * codeWords * 256), agents = new Uint32Array(sample.personas[0].agents * codeWords);
  await gpu.batch("codes").dispatch(pipeline, { plan: planBuffer, work, codes }, groups, { ...params, ...codesParams, groups, world: 0xffff_ffff }).read(codes, drawn).run();
  for (const buffer of [planBuffer, work, codes]) gpu.release(buffer);
  for (let at = 0; at < agents.length; at++) agents[at] = drawn[(Math.floor(at / codeWords / 256) * codeWords + (at % codeWords)) * 256 + (Math.floor(at / codeWords) % 256)];
  return agents;
}

/** The reference's codes, packed alike: numbers, then levels, slots without a trait left out where they hold numbers. */
export function packedCodes(sample: SamplePlan): Uint32Array {
  const { agents } = sample.personas[0], codes = codesOf(sample, { persona: 0, firstAgent: 0, agents });
  if (sample.factors > 0) return new Uint32Array(codes.buffer);
  const isWide = codes instanceof Int16Array, slots = [...sample.slotKind.keys()], used = new Set(sample.personas[0].traits.map(({ slot }) => slot));
  const numeric = slots.filter((slot) => sample.slotKind[slot] !== 2 && used.has(slot)), level = slots.filter((slot) => sample.slotKind[slot] === 2);
  const numericWords = Math.ceil(numeric.length / (isWide ? 2 : 4)), codeWords = numericWords + Math.ceil(level.length / 4);
  const packed = new Uint32Array(agents * codeWords), bytes = new Int8Array(packed.buffer), halves = new Int16Array(packed.buffer);
  for (let agent = 0; agent < agents; agent++) {
    numeric.forEach((slot, n) => { (isWide ? halves : bytes)[agent * codeWords * (isWide ? 2 : 4) + n] = codes[agent * sample.slots + slot]; });
    level.forEach((slot, n) => { bytes[(agent * codeWords + numericWords) * 4 + n] = codes[agent * sample.slots + slot]; });
  }
  return packed;
}
