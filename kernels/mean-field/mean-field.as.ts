// The kernel `mean-field` in SIMD WebAssembly: expected rates and logit histograms (SPEC.md), a chunk of 256 agents at a time. Uniforms are drawn
// once a chunk; codes, trait logits and thresholds once a world, stimulus and step, four agents to a vector.
import { codesInWorld, correlateUniforms, drawCodes, drawUniforms, field, personaAt, rowLogits, scratch, sigmoid4 } from "../expose/codes.as";
import { F_BIAS, F_FACTORS, F_OFFSET, F_PERSONA, F_PERSONAS, F_SIGMOID, F_STEPS, F_STIMULI, S_CODES, S_LOGITS, S_NESTED } from "../expose/wasm-layout";
import { mulHigh4 } from "../lib/philox.as";

export { heapBase, init } from "../expose/codes.as";

let codes: usize = 0;
let chunkCount: u32 = 0;

/** Takes up to 256 agents of the context's persona: what no world changes. */
export function take(first: u32, count: u32): void {
  chunkCount = count;
  if (field(F_FACTORS) > 0) codes = drawCodes(first, count, personaAt(field(F_PERSONA)));
  else drawUniforms(first, count, personaAt(field(F_PERSONA)));
}

/** Takes up to 256 people whose uniforms (or factor words) lie in the scratch. */
export function takeGiven(count: u32): void {
  chunkCount = count;
  if (field(F_FACTORS) > 0) codes = scratch + S_CODES;
  else correlateUniforms(count, personaAt(field(F_PERSONA)));
}

/** Trait logits of the people taken in the world entered, 256 i32 a row: one row a stimulus and step. */
export function giveLogits(world: u32, out: usize): void {
  const stimuli = field(F_STIMULI), steps = field(F_STEPS);
  for (let stimulus: u32 = 0; stimulus < stimuli; stimulus++) {
    for (let k: u32 = 0; k < steps; k++) rowLogits(codes, out + ((stimulus * steps + k) << 10), 0, chunkCount, field(F_PERSONA), world, stimulus, k);
  }
}

/** Gives the agents taken the codes of a world. */
export function enter(world: u32): void {
  if (field(F_FACTORS) > 0) return;
  codes = scratch + S_CODES;
  codesInWorld(codes, chunkCount, personaAt(field(F_PERSONA)), world);
}

/** Nested thresholds of a step from those of the step before, both by place. */
function step(world: u32, stimulus: u32, k: u32): void {
  const persona = field(F_PERSONA), stimuli = field(F_STIMULI), steps = field(F_STEPS), logits = scratch + S_LOGITS, nested = scratch + S_NESTED;
  rowLogits(codes, logits, 0, chunkCount, persona, world, stimulus, k);
  const base = i32x4.splat(baseOf(world, persona, stimulus, k, stimuli, steps)), sigmoid: usize = field(F_SIGMOID);
  for (let i: u32 = 0; i < chunkCount; i += 4) {
    const p = sigmoid4(i32x4.add(v128.load(logits + (i << 2)), base), sigmoid);
    v128.store(nested + (i << 2), k === 0 ? p : mulHigh4(v128.load(nested + (i << 2)), p));
  }
}

// @ts-ignore: decorator
@inline function baseOf(world: u32, persona: u32, stimulus: u32, k: u32, stimuli: u32, steps: u32): i32 {
  const bias = load<i32>(field(F_BIAS) + ((((world * field(F_PERSONAS) + persona) * stimuli + stimulus) * steps + k) << 2));
  return bias + load<i32>(field(F_OFFSET) + (((persona * stimuli + stimulus) * steps + k) << 2));
}

/** Adds to `sums` (steps u64) the thresholds of the agents taken, in the world entered. */
export function addRates(world: u32, stimulus: u32, sums: usize): void {
  const steps = field(F_STEPS), nested = scratch + S_NESTED;
  for (let k: u32 = 0; k < steps; k++) {
    step(world, stimulus, k);
    let low = i64x2.splat(0), high = low;
    const whole = chunkCount & ~3;
    for (let i: u32 = 0; i < whole; i += 4) {
      const q = v128.load(nested + (i << 2));
      low = i64x2.add(low, i64x2.extend_low_i32x4_u(q));
      high = i64x2.add(high, i64x2.extend_high_i32x4_u(q));
    }
    let sum = i64x2.extract_lane(low, 0) + i64x2.extract_lane(low, 1) + i64x2.extract_lane(high, 0) + i64x2.extract_lane(high, 1);
    for (let i = whole; i < chunkCount; i++) sum += <u64>load<u32>(nested + (i << 2));
    store<u64>(sums + (k << 3), load<u64>(sums + (k << 3)) + sum);
  }
}

/** Adds to `histogram` (4096 u32) the agents taken, by their logit of step k in the world entered. */
export function addHistogram(world: u32, stimulus: u32, k: u32, histogram: usize): void {
  const nested = scratch + S_NESTED, logits = scratch + S_LOGITS;
  for (let before: u32 = 0; before < k; before++) step(world, stimulus, before);
  rowLogits(codes, logits, 0, chunkCount, field(F_PERSONA), world, stimulus, k);
  const base = baseOf(world, field(F_PERSONA), stimulus, k, field(F_STIMULI), field(F_STEPS));
  for (let i: u32 = 0; i < chunkCount; i++) {
    const bin = max(0, min(4095, ((load<i32>(logits + (i << 2)) + base) >> 6) + 2048)), at = histogram + (<usize>bin << 2);
    store<u32>(at, load<u32>(at) + (k === 0 ? 1 : load<u32>(nested + (i << 2)) >> 16));
  }
}
