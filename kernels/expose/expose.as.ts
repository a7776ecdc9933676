// The kernel `expose` in SIMD WebAssembly. SPEC.md says what it computes, reference.ts says it in plain TypeScript, wasm-layout.ts says where
// things lie. It works chunk by chunk of 256 agents and lives all ticks of a span with one chunk before it takes the next: codes, state and
// trait logits of a chunk stay in the first-level cache. Within a chunk, per exposure:
//   1. draws: 16 Philox blocks are the high bytes of 256 agents (once for all scenarios), or the few candidates of a thinned group;
//   2. trait logits of step 0: pairs of codes times pairs of weights, once a stimulus and chunk, whatever the number of ticks;
//   3. screen: a coarse table, 32 bins of a quarter logit, bounds the threshold's top byte from above: who drew a higher byte is out;
//   4. confirm: the remaining seventh, four at a time, through the exact sigmoid table; ties of the top byte draw their low bits;
//   5. later steps for those who reached the one before; leaving; the state's update, 16 agents at a time.
import { mulHigh4, philox1, philox8, philoxWord } from "../lib/philox.as";
import { CHUNK, drawCodes, drawFactors, field, personaAt, placeLogits, proceduralCodes, rowLogits, scratch, sigmoid1, sigmoid4, words4 } from "./codes.as";
import {
  F_AWARE, F_AWARE_WEIGHT, F_BIAS, F_BINOMIAL, F_CELL_OF, F_COARSE, F_CODES, F_COMPRESS, F_COMPRESS_WORDS, F_CONTACT, F_COUNTS, F_COUNTS_LENGTH,
  F_DIGEST, F_DRAW_BITS, F_FACTORS, F_FACTOR_WEIGHTS, F_FIRST, F_FRESH, F_GAIN, F_GAIN_RESPONSE, F_GAP, F_GROUP_BYTES, F_HAS_INFLUENCE,
  F_HAS_PRESSURE, F_KEPT, F_KEPT_PLACE, F_LAST_EXPOSURE, F_LEAVE_BIAS, F_LEAVE_BITS, F_OFFSET, F_ORDINALS, F_PERSONA, F_PERSONAS, F_PRESSURE_LEAVE_WEIGHT,
  F_PRESSURE_WEIGHT, F_ROW_BYTES, F_SCENARIOS, F_SCHEDULE, F_SHARE_THRESHOLD, F_SIGMOID, F_SPAN, F_STATE, F_STATE_STRIDE, F_STEPS, F_STIMULI,
  F_TABLES, F_TABLE_LENGTH, F_TICK, F_TICKS, F_TICK_WORDS, F_WARMTH, F_WEIGHTS, F_WORLDS, KEPT_PLACES, LIST_BYTES, LOGIT_PLACES, S_AWARE, S_DRAW, S_FRESH, S_HIGH,
  S_LEAVE, S_LEFT, S_LISTS, S_LIST_LOGITS, S_LOGITS, S_LOGIT_TAGS, S_NESTED, S_PENDING, S_REACHED, S_STATE, S_THIN_DRAW, S_THIN_LEAVE, S_THIN_MAP,
  S_WORDS, THIN_DRAWS,
} from "./wasm-layout";

export { drawBlock, heapBase, init } from "./codes.as";

const STAGE_TICKS: i8 = 0x70;
const STAGE_LEFT: i8 = -128;
const STAGE_AWARE: i8 = 8;
const STAGE_STEP: i8 = 7;
const STAGE_INITIAL: i8 = 0x70;
// Purposes of draws (purpose.ts).
const DRAW_HIGH: u32 = 1;
const DRAW_LOW: u32 = 2;
const LEAVE_HIGH: u32 = 3;
const SHARE: u32 = 4;
const RETURN: u32 = 5;
const AWARE_HIGH: u32 = 6;
const LEAVE_LOW: u32 = 7;
const AWARE_LOW: u32 = 8;
const DRAW_COUNT: u32 = 9;
const DRAW_SPOT: u32 = 10;
const LEAVE_COUNT: u32 = 11;
const LEAVE_SPOT: u32 = 12;

// The chunk, tick and exposure at hand: what would otherwise be passed through every call.
let chunkFirst: u32 = 0;
let chunkAt: u32 = 0;
let key0: u32 = 0;
let key1: u32 = 0;
let now: u32 = 0;
let nowOrdinal: u32 = 0;
let codesAt: usize = 0;
let pressureAt: usize = 0;
let stageAt: usize = 0;
let isFresh: bool = false;
let isContact: bool = false;
let usesPressure: bool = false;
let usesAware: bool = false;
let isThinned: bool = false;
/** Whether the chunk has codes for its candidates only. */
let isSparse: bool = false;
/** Whether places are marked for the update and the shares. */
let marks: bool = false;
// Which count words were drawn last, of DRAW and of LEAVE: one block serves four groups of a tick and ordinal.
let drawCountKey: u64 = 0xffffffffffffffff;
let leaveCountKey: u64 = 0xffffffffffffffff;

/** Lives the span with agents from .. to - 1 of the block that the context names; `from` is a multiple of 256, `to` too unless it is the end. */
export function run(from: u32, to: u32): void {
  const persona = personaAt(field(F_PERSONA));
  key0 = load<u32>(persona);
  key1 = load<u32>(persona, 4);
  drawCountKey = 0xffffffffffffffff;
  leaveCountKey = 0xffffffffffffffff;
  for (let at = from; at < to; at += CHUNK) runChunk(at, min<u32>(CHUNK, to - at), persona);
}

function runChunk(at: u32, count: u32, persona: usize): void {
  const scenarios = field(F_SCENARIOS), ordinals = field(F_ORDINALS), personas = field(F_PERSONAS), stimuli = field(F_STIMULI);
  const firstTick = field(F_TICK), span = field(F_SPAN), ticks = field(F_TICKS);
  const personaIndex = field(F_PERSONA), hasInfluence = field(F_HAS_INFLUENCE) !== 0;
  const isHeld = field(F_STATE) !== 0;
  const stride = isHeld ? field(F_STATE_STRIDE) : CHUNK;
  const planes: usize = isHeld ? field(F_STATE) + at : scratch + S_STATE;
  const fresh: usize = scratch + S_FRESH, pending: usize = scratch + S_PENDING;
  const lastHashTick: i32 = ticks < 2 ? -1 : <i32>((ticks - 1) & ~7) - 1;
  memory.copy(fresh, field(F_FRESH), scenarios);
  memory.fill(pending, 0, scenarios << 2);
  memory.fill(scratch + S_LOGIT_TAGS, 0, LOGIT_PLACES << 2);
  chunkFirst = field(F_FIRST) + at;
  chunkAt = at;
  isSparse = false;
  codesAt = field(F_CODES) === 0 ? 0 : field(F_CODES) + (at >> 4) * field(F_GROUP_BYTES);

  for (let t: u32 = 0; t < span; t++) {
    const tick = firstTick + t;
    now = tick;
    let awareDrawn = false;
    for (let scenario: u32 = 0; scenario < scenarios; scenario++) {
      const behind = load<u32>(pending + (scenario << 2)) + 1;
      store<u32>(pending + (scenario << 2), behind);
      if (!hasInfluence) continue;
      // What others did is felt tick by tick: nothing is put off.
      const threshold = load<u32>(field(F_AWARE) + (scenario << 2));
      if (threshold > 0 && !awareDrawn) {
        highBytes(S_AWARE, tick, 0, AWARE_HIGH);
        awareDrawn = true;
      }
      passTime(planes + 2 * scenario * stride, stride, count, tick + 1 - behind, behind, persona, threshold);
      store<u32>(pending + (scenario << 2), 0);
    }

    for (let ordinal: u32 = 0; ordinal < ordinals; ordinal++) {
      let drawn = false, leaveDrawn = false;
      nowOrdinal = ordinal;
      for (let scenario: u32 = 0; scenario < scenarios; scenario++) {
        const stimulus: i32 = load<i16>(field(F_SCHEDULE) + ((((scenario * ticks + tick) * ordinals + ordinal) * personas + personaIndex) << 1));
        if (stimulus < 0) continue;
        isContact = load<u8>(field(F_CONTACT) + stimulus) !== 0;
        if (codesAt === 0) {
          // A thinned group needs the factors of its candidates only: they are drawn one by one when they are known.
          isSparse = field(F_FACTORS) > 0 && bitsOf(field(F_DRAW_BITS), (chunkFirst >> load<u32>(persona, 8)) % field(F_WORLDS)) !== 0;
          codesAt = isSparse ? proceduralCodes() : drawCodes(chunkFirst, count, persona);
        }
        if (!drawn) drawAll(S_HIGH, S_THIN_DRAW, field(F_DRAW_BITS), DRAW_HIGH, DRAW_COUNT, DRAW_SPOT, persona);
        drawn = true;
        if (isContact && !leaveDrawn) {
          drawAll(S_LEAVE, S_THIN_LEAVE, field(F_LEAVE_BITS), LEAVE_HIGH, LEAVE_COUNT, LEAVE_SPOT, persona);
          leaveDrawn = true;
        }
        pressureAt = planes + 2 * scenario * stride;
        stageAt = pressureAt + stride;
        isFresh = load<u8>(fresh + scenario) !== 0;
        const behind = load<u32>(pending + (scenario << 2));
        if (!isFresh && behind > 0) passTime(pressureAt, stride, count, tick + 1 - behind, behind, persona, 0);
        store<u32>(pending + (scenario << 2), 0);
        // Nobody reads a state after its last exposure and its last digest, unless it is held.
        const isRead = isHeld || <i32>(tick * ordinals + ordinal) < load<i32>(field(F_LAST_EXPOSURE) + (scenario << 2)) || <i32>tick <= lastHashTick;
        exposeChunk(scenario, <u32>stimulus, count, t, load<u32>(persona, 8), isRead);
        store<u8>(fresh + scenario, 0);
      }
    }

    if (((tick + 1) & 7) === 0 && tick + 1 < ticks) {
      for (let scenario: u32 = 0; scenario < scenarios; scenario++) {
        const plane = planes + 2 * scenario * stride;
        if (load<u8>(fresh + scenario) !== 0) {
          // Still the initial state: a held plane holds it, the scratch of others may not.
          memory.fill(plane, 0, CHUNK);
          memory.fill(plane + stride, STAGE_INITIAL, CHUNK);
        } else {
          const behind = load<u32>(pending + (scenario << 2));
          if (behind > 0) passTime(plane, stride, count, tick + 1 - behind, behind, persona, 0);
        }
        store<u32>(pending + (scenario << 2), 0);
        digest(field(F_DIGEST) + (t << 5), plane, at, count, 2 * scenario + 1);
        digest(field(F_DIGEST) + (t << 5), plane + stride, at, count, 2 * scenario + 2);
      }
    }
  }
  if (!isHeld) return;
  for (let scenario: u32 = 0; scenario < scenarios; scenario++) {
    const behind = load<u32>(pending + (scenario << 2));
    if (behind > 0 && load<u8>(fresh + scenario) === 0) passTime(planes + 2 * scenario * stride, stride, count, firstTick + span - behind, behind, persona, 0);
  }
}

// ---------------------------------------------------------------------------------------------------------------- draws

/** The high bytes of a dense draw of the chunk's 256 agents. */
function highBytes(out: i32, tick: u32, ordinal: u32, purpose: u32): void {
  const to = scratch + out, block = chunkFirst >> 4;
  philox8(to, block, tick, ordinal, purpose, key0, key1);
  philox8(to + 128, block + 8, tick, ordinal, purpose, key0, key1);
}

/** One kind of draw of the chunk: thinned where the class of its (one) world says so, else dense. Sets nothing else. */
function drawAll(dense: i32, thin: i32, bitsAt: usize, high: u32, countPurpose: u32, spotPurpose: u32, persona: usize): void {
  const bits = bitsOf(bitsAt, (chunkFirst >> load<u32>(persona, 8)) % field(F_WORLDS));
  if (bits === 0) highBytes(dense, now, nowOrdinal, high);
  else thinnedDraws(scratch + thin, bits, countPurpose, spotPurpose);
}

// @ts-ignore: decorator
@inline function bitsOf(at: usize, world: u32): u32 {
  return load<u8>(at + world * field(F_PERSONAS) + field(F_PERSONA));
}

/** Candidates of the group: their number, places and draws, by SPEC.md "Thinned draws". */
function thinnedDraws(out: usize, bits: u32, countPurpose: u32, spotPurpose: u32): void {
  const isDraw = countPurpose === DRAW_COUNT;
  const group = chunkFirst >> 8, words = scratch + S_WORDS + (isDraw ? 0 : 16);
  const key = (<u64>(group >> 2) << 33) | (<u64>now << 16) | <u64>nowOrdinal;
  if (key !== (isDraw ? drawCountKey : leaveCountKey)) philox1(words, group >> 2, now, nowOrdinal, countPurpose, key0, key1);
  if (isDraw) drawCountKey = key;
  else leaveCountKey = key;
  const w = load<u32>(words + ((group & 3) << 2));
  const table: usize = load<u32>(field(F_BINOMIAL) + ((bits - 4) << 3)), length = load<u32>(field(F_BINOMIAL) + ((bits - 4) << 3), 4);
  let count: u32 = 0;
  while (count < length && w >= load<u32>(table + (count << 2))) count++;
  store<u32>(out, count);
  if (count === 0) return;
  const taken = scratch + S_THIN_MAP, spot = scratch + S_WORDS + 32;
  if (count > 1) memory.fill(taken, 0, CHUNK);
  for (let j: u32 = 0; j < count; j++) {
    philox1(spot, group, now, nowOrdinal + (j << 16), spotPurpose, key0, key1);
    let place: u32 = load<u8>(spot, 4);
    if (j > 0) {
      let tries: u32 = 0;
      while (load<u8>(taken + place) !== 0 && ++tries < 12) place = load<u8>(spot + 4 + tries);
      while (load<u8>(taken + place) !== 0) place = (place + 1) & 255;
    }
    if (count > 1) store<u8>(taken + place, 1);
    store<u8>(out + 4 + j, <u8>place);
    store<u32>(out + 4 + THIN_DRAWS + (j << 2), load<u32>(spot) >> bits);
  }
}

// ----------------------------------------------------------------------------------------------------------------- state

/** Steps 1 to 3 of `ticks` ticks from `tick` on: returning, decay, the clock, becoming aware. */
function passTime(plane: usize, stride: u32, count: u32, tick: u32, ticks: u32, persona: usize, awareThreshold: u32): void {
  const returnThreshold = load<u32>(persona, 12);
  if (returnThreshold > 0 || awareThreshold > 0) {
    for (let t: u32 = 0; t < ticks; t++) {
      if (returnThreshold > 0) comeBack(plane + stride, count, tick + t, returnThreshold);
      decay(plane, stride, count, 1);
    }
    if (awareThreshold > 0) becomeAware(plane + stride, count, tick + ticks - 1, awareThreshold);
  } else decay(plane, stride, count, ticks);
}

function decay(plane: usize, stride: u32, count: u32, ticks: u32): void {
  const full = i8x16.splat(STAGE_TICKS), clock = min<u32>(ticks, 7);
  for (let i: u32 = 0; i < count; i += 16) {
    let pressure = v128.load(plane + i), stage = v128.load(plane + stride + i);
    if (v128.any_true(pressure)) {
      // pressure - ((pressure + 15) >> 4): the comparison adds -1 where the division by 16 is to be rounded up.
      for (let t: u32 = 0; t < ticks; t++) {
        const isRounded = i8x16.ne(v128.and(pressure, i8x16.splat(15)), i8x16.splat(0));
        pressure = i8x16.add(i8x16.sub(pressure, i8x16.shr_u(pressure, 4)), isRounded);
      }
      v128.store(plane + i, pressure);
    }
    if (clock === 7) stage = v128.or(stage, full);
    else for (let t: u32 = 0; t < clock; t++) stage = i8x16.add(stage, v128.and(i8x16.ne(v128.and(stage, full), full), i8x16.splat(0x10)));
    v128.store(plane + stride + i, stage);
  }
}

function comeBack(stages: usize, count: u32, tick: u32, threshold: u32): void {
  for (let i: u32 = 0; i < count; i += 16) {
    let left: i32 = i8x16.bitmask(v128.load(stages + i));
    while (left !== 0) {
      const at = i + <u32>ctz(left);
      left &= left - 1;
      if (at < count && philoxWord(chunkFirst + at, tick, 0, RETURN, key0, key1) < threshold) store<u8>(stages + at, load<u8>(stages + at) & 0x7f);
    }
  }
}

function becomeAware(stages: usize, count: u32, tick: u32, threshold: u32): void {
  const top = threshold >> 24, rest = threshold & 0xffffff;
  for (let i: u32 = 0; i < count; i += 16) {
    const isAware = i8x16.ne(v128.and(v128.load(stages + i), i8x16.splat(STAGE_AWARE)), i8x16.splat(0));
    const isLow = i8x16.le_u(v128.load(scratch + S_AWARE + i), i8x16.splat(<i8>top));
    let found: i32 = i8x16.bitmask(v128.andnot(isLow, isAware));
    while (found !== 0) {
      const at = i + <u32>ctz(found);
      found &= found - 1;
      if (at >= count) break;
      if (<u32>load<u8>(scratch + S_AWARE + at) < top || philoxWord(chunkFirst + at, tick, 0, AWARE_LOW, key0, key1) >> 8 < rest) {
        store<u8>(stages + at, load<u8>(stages + at) | STAGE_AWARE);
      }
    }
  }
}

/** Adds one plane of a chunk to the digest: SPEC.md "State digest". `at`: the chunk's first agent within the block. */
function digest(out: usize, plane: usize, at: u32, count: u32, tag: u32): void {
  let sums = v128.load(out), more = v128.load(out, 16);
  const lanes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  let place = i32x4.add(i32x4.mul(i32x4.add(i32x4.splat((at >> 2) + 1), i32x4(0, 1, 2, 3)), i32x4.splat(0x9e3779b1)), i32x4.splat(tag * 0x85ebca6b));
  for (let i: u32 = 0; i < count; i += 16) {
    let word = v128.load(plane + i);
    if (count - i < 16) word = v128.and(word, i8x16.lt_u(lanes, i8x16.splat(<i8>(count - i))));
    let x = i32x4.add(word, place);
    x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 16)), i32x4.splat(0x21f0aaad));
    x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 15)), i32x4.splat(0xd35a2d97));
    x = v128.xor(x, i32x4.shr_u(x, 15));
    const y = i32x4.mul(x, i32x4.splat(0x85ebca6b));
    sums = i32x4.add(sums, x);
    more = i32x4.add(more, v128.xor(y, i32x4.shr_u(y, 16)));
    place = i32x4.add(place, i32x4.splat(4 * 0x9e3779b1));
  }
  v128.store(out, sums);
  v128.store(out, more, 16);
}

// -------------------------------------------------------------------------------------------------------------- exposure

/** One stimulus to the chunk in one scenario: world by world. `t`: offset of the tick in the span. */
function exposeChunk(scenario: u32, stimulus: u32, count: u32, t: u32, worldShift: u32, isRead: bool): void {
  const worlds = field(F_WORLDS), personas = field(F_PERSONAS), stimuli = field(F_STIMULI), steps = field(F_STEPS), persona = field(F_PERSONA);
  const cell = load<u32>(field(F_CELL_OF) + ((scenario * stimuli + stimulus) << 2));
  const counts: usize = field(F_COUNTS) + ((t * field(F_TICK_WORDS)) << 2);
  const sections: usize = counts + (field(F_COUNTS_LENGTH) << 2) + (scenario << 3);
  const warmth: i32 = isContact ? load<i32>(field(F_WARMTH) + (scenario << 2)) : 0;
  const offset: usize = field(F_OFFSET) + ((((now * personas + persona) * stimuli + stimulus) * steps) << 2);
  usesPressure = isContact && !isFresh && field(F_HAS_PRESSURE) !== 0;
  usesAware = !isFresh && field(F_HAS_INFLUENCE) !== 0;
  const runAgents: u32 = 1 << worldShift;
  for (let from: u32 = 0, to: u32 = 0; from < count; from = to) {
    const inRun = (chunkFirst + from) & (runAgents - 1);
    to = min(count, from + runAgents - inRun);
    const world = ((chunkFirst + from) >> worldShift) % worlds;
    isThinned = bitsOf(field(F_DRAW_BITS), world) !== 0;
    exposeRun(
      from, to, world, stimulus, offset, warmth, counts + (((cell * worlds + world) * (steps + 3)) << 2), sections,
      load<i32>(field(F_LEAVE_BIAS) + (((world * personas + persona) * stimuli + stimulus) << 2)), bitsOf(field(F_LEAVE_BITS), world) !== 0, count, isRead,
    );
  }
}

/** One stimulus to the agents from .. to - 1 of the chunk, all of one world. */
function exposeRun(
  from: u32, to: u32, world: u32, stimulus: u32, offset: usize, warmth: i32, counts: usize, sections: usize,
  leaveBias: i32, isLeaveThinned: bool, count: u32, isRead: bool,
): void {
  const steps = field(F_STEPS), stimuli = field(F_STIMULI);
  const factors = field(F_FACTORS);
  const row = (world * stimuli + stimulus) * steps;
  const cell = ((world * field(F_PERSONAS) + field(F_PERSONA)) * stimuli + stimulus) * steps;
  const bias: usize = field(F_BIAS) + (cell << 2);
  const weights: usize = factors > 0 ? field(F_FACTOR_WEIGHTS) + ((cell * factors) << 1) : field(F_WEIGHTS) + row * field(F_ROW_BYTES);
  const rowBytes = factors > 0 ? factors << 1 : field(F_ROW_BYTES);
  const tables: usize = field(F_TABLES) + ((row * field(F_TABLE_LENGTH)) << 2);
  const gap: i8 = isContact ? <i8>(field(F_GAP) << 4) : 0;

  marks = isRead || field(F_HAS_INFLUENCE) !== 0;
  let converted: u32 = 0;
  let exposed: u32 = to - from, found: u32 = 0, list = scratch + S_LISTS, logits: usize = 0, laterLogits: usize = 0;
  const base0 = load<i32>(bias) + load<i32>(offset) + warmth;
  if (isThinned) {
    if (!isFresh) exposed = countEligible(from, to, gap);
    found = thinnedCandidates(list, gap, to);
  } else {
    laterLogits = secondLogits(world, stimulus, count);
    logits = traitLogits(world, stimulus, from, to, count);
    if (isFresh) found = screenFresh(list, logits, from, to, base0);
    else {
      const screened = screen(list, logits, from, to, base0, gap);
      found = <u32>screened;
      exposed = <u32>(screened >> 32);
    }
  }
  store<u32>(counts, load<u32>(counts) + exposed);

  for (let k: u32 = 0; k < steps && found > 0; k++) {
    const next = list + LIST_BYTES;
    const base = k === 0 ? base0 : load<i32>(bias + (k << 2)) + load<i32>(offset + (k << 2)) + warmth;
    found = confirm(k, list, found, next, k === 0 ? logits : k === 1 ? laterLogits : 0, base, weights + k * rowBytes, tables + ((k * field(F_TABLE_LENGTH)) << 2));
    store<u32>(counts + ((1 + k) << 2), load<u32>(counts + ((1 + k) << 2)) + found);
    if (marks) for (let n: u32 = 0; n < found; n++) store<u8>(scratch + S_REACHED + load<u8>(next + n), <u8>(k + 1));
    list = next;
    if (k + 1 === steps) converted = found;
  }

  if (isContact) {
    const left = isLeaveThinned ? leaveThinned(from, to, gap, leaveBias, list, converted) : leave(from, to, gap, leaveBias, list, converted);
    if (left > 0) {
      store<u32>(counts + ((1 + steps) << 2), load<u32>(counts + ((1 + steps) << 2)) + left);
      store<u32>(sections, load<u32>(sections, 4) + left, 4);
    }
  }
  if (field(F_HAS_INFLUENCE) !== 0) {
    const shared = share(from, to);
    store<u32>(counts + ((2 + steps) << 2), load<u32>(counts + ((2 + steps) << 2)) + shared);
    store<u32>(sections, load<u32>(sections) + shared);
  }
  if (isRead) update(from, to, gap);
  // The marks of these agents are wiped; a group shared with the next world is wiped by it as well, before it marks.
  if (marks) for (let i = from & ~15; i < to; i += 16) {
    v128.store(scratch + S_REACHED + i, i8x16.splat(0));
    v128.store(scratch + S_LEFT + i, i8x16.splat(0));
  }
}

/** 0xff in the lanes of group i that lie in from .. to - 1. */
// @ts-ignore: decorator
@inline function within(i: u32, from: u32, to: u32): v128 {
  if (i >= from && i + 16 <= to) return i8x16.splat(-1);
  const lanes = i16x8(0, 1, 2, 3, 4, 5, 6, 7);
  const low = i16x8.add(i16x8.splat(<i16>i), lanes), high = i16x8.add(low, i16x8.splat(8));
  const start = i16x8.splat(<i16>from), end = i16x8.splat(<i16>to);
  return i8x16.narrow_i16x8_s(v128.and(i16x8.ge_s(low, start), i16x8.lt_s(low, end)), v128.and(i16x8.ge_s(high, start), i16x8.lt_s(high, end)));
}

/** 0xff where an agent takes part: not left, and contacted long enough ago. */
// @ts-ignore: decorator
@inline function eligible(stage: v128, gap: i8): v128 {
  return v128.andnot(i8x16.ge_u(v128.and(stage, i8x16.splat(STAGE_TICKS)), i8x16.splat(gap)), i8x16.shr_s(stage, 7));
}

// @ts-ignore: decorator
@inline function isEligible(at: u32, gap: i8): bool {
  if (isFresh) return true;
  const stage = load<u8>(stageAt + at);
  return stage < 0x80 && (stage & 0x70) >= <u8>gap;
}

function countEligible(from: u32, to: u32, gap: i8): u32 {
  let total: i32 = 0;
  for (let i = from & ~15; i < to; i += 16) total += popcnt(i8x16.bitmask(v128.and(eligible(v128.load(stageAt + i), gap), within(i, from, to))));
  return total;
}

/** Candidates of the group who take part, in the list; their draws go to their places. Thinned groups live in one world. */
function thinnedCandidates(list: usize, gap: i8, to: u32): u32 {
  const thin = scratch + S_THIN_DRAW, count = load<u32>(thin);
  let found: u32 = 0;
  for (let j: u32 = 0; j < count; j++) {
    const place = <u32>load<u8>(thin + 4 + j);
    if (place >= to || !isEligible(place, gap)) continue;
    if (isSparse) drawFactors(codesAt, chunkFirst, place, personaAt(field(F_PERSONA)));
    store<u8>(list + found++, <u8>place);
    store<u32>(scratch + S_DRAW + (place << 2), load<u32>(thin + 4 + THIN_DRAWS + (j << 2)));
  }
  return found;
}

/**
 * The top byte that no threshold of the bin exceeds: 32 bins of a quarter logit around the run's base, the outer ones open. The logits come
 * without the window's start.
 */
// @ts-ignore: decorator
@inline function coarse(x0: v128, x1: v128, x2: v128, x3: v128, c0: v128, c1: v128): v128 {
  const low = i16x8.narrow_i32x4_s(i32x4.shr_s(x0, 12), i32x4.shr_s(x1, 12)), high = i16x8.narrow_i32x4_s(i32x4.shr_s(x2, 12), i32x4.shr_s(x3, 12));
  const bin = i8x16.max_s(i8x16.min_s(i8x16.narrow_i16x8_s(low, high), i8x16.splat(31)), i8x16.splat(0));
  return v128.or(i8x16.swizzle(c0, bin), i8x16.swizzle(c1, i8x16.sub(bin, i8x16.splat(16))));
}

/** First bin (of 64, a quarter logit each, from -8 on) of the window of 32 around a logit; its ends are open, so any window is right. */
// @ts-ignore: decorator
@inline function windowStart(base: i32): i32 {
  return max(0, min(32, (base >> 12) + 32 - 16));
}

/** Appends the places of the mask's bits (16 agents from i on) to the list. Writes up to 8 bytes beyond its end. */
// @ts-ignore: decorator
@inline function append(list: usize, length: u32, mask: i32, i: u32, compress: usize): u32 {
  const low = mask & 255, high = mask >> 8;
  v128.store64_lane(list + length, i8x16.add(v128.load64_zero(compress + (low << 3)), i8x16.splat(<i8>i)), 0);
  length += popcnt(low);
  v128.store64_lane(list + length, i8x16.add(v128.load64_zero(compress + (high << 3)), i8x16.splat(<i8>(i + 8))), 0);
  return length + popcnt(high);
}

/** Candidates of a dense draw among agents nobody contacted before: their state is the initial one, all take part. */
function screenFresh(list: usize, logits: usize, from: u32, to: u32, base: i32): u32 {
  const compress: usize = field(F_COMPRESS), table: usize = field(F_COARSE), high = scratch + S_HIGH;
  const start = windowStart(base), c0 = v128.load(table + (start << 5)), c1 = v128.load(table + (start << 5), 16), b = i32x4.splat(base - ((start - 32) << 12));
  let length: u32 = 0;
  for (let i = from & ~15; i < to; i += 16) {
    const at = logits + (i << 2);
    const top = coarse(i32x4.add(v128.load(at), b), i32x4.add(v128.load(at, 16), b), i32x4.add(v128.load(at, 32), b), i32x4.add(v128.load(at, 48), b), c0, c1);
    let mask: i32 = i8x16.bitmask(i8x16.le_u(v128.load(high + i), top));
    if (i < from || i + 16 > to) mask &= i8x16.bitmask(within(i, from, to));
    length = append(list, length, mask, i, compress);
  }
  return length;
}

/** Candidates of a dense draw, and in the upper half how many take part. */
function screen(list: usize, logits: usize, from: u32, to: u32, base: i32, gap: i8): u64 {
  const compress: usize = field(F_COMPRESS), table: usize = field(F_COARSE), high = scratch + S_HIGH;
  const start = windowStart(base), c0 = v128.load(table + (start << 5)), c1 = v128.load(table + (start << 5), 16), b = i32x4.splat(base - ((start - 32) << 12));
  const pressureWeight = usesPressure ? v128.load32_splat(field(F_PRESSURE_WEIGHT)) : i32x4.splat(0);
  const awareWeight = usesAware ? v128.load32_splat(field(F_AWARE_WEIGHT)) : i32x4.splat(0);
  let length: u32 = 0, exposed: i32 = 0;
  for (let i = from & ~15; i < to; i += 16) {
    const at = logits + (i << 2), stage = v128.load(stageAt + i);
    let x0 = i32x4.add(v128.load(at), b), x1 = i32x4.add(v128.load(at, 16), b), x2 = i32x4.add(v128.load(at, 32), b), x3 = i32x4.add(v128.load(at, 48), b);
    if (usesPressure) {
      const pressure = v128.load(pressureAt + i);
      const low = i16x8.extend_low_i8x16_u(pressure), up = i16x8.extend_high_i8x16_u(pressure);
      x0 = i32x4.sub(x0, i32x4.mul(i32x4.extend_low_i16x8_u(low), pressureWeight));
      x1 = i32x4.sub(x1, i32x4.mul(i32x4.extend_high_i16x8_u(low), pressureWeight));
      x2 = i32x4.sub(x2, i32x4.mul(i32x4.extend_low_i16x8_u(up), pressureWeight));
      x3 = i32x4.sub(x3, i32x4.mul(i32x4.extend_high_i16x8_u(up), pressureWeight));
    }
    if (usesAware) {
      const isAware = i8x16.ne(v128.and(stage, i8x16.splat(STAGE_AWARE)), i8x16.splat(0));
      const low = i16x8.extend_low_i8x16_s(isAware), up = i16x8.extend_high_i8x16_s(isAware);
      x0 = i32x4.add(x0, v128.and(i32x4.extend_low_i16x8_s(low), awareWeight));
      x1 = i32x4.add(x1, v128.and(i32x4.extend_high_i16x8_s(low), awareWeight));
      x2 = i32x4.add(x2, v128.and(i32x4.extend_low_i16x8_s(up), awareWeight));
      x3 = i32x4.add(x3, v128.and(i32x4.extend_high_i16x8_s(up), awareWeight));
    }
    const takesPart = v128.and(eligible(stage, gap), within(i, from, to));
    exposed += popcnt(i8x16.bitmask(takesPart));
    const mask: i32 = i8x16.bitmask(v128.and(i8x16.le_u(v128.load(high + i), coarse(x0, x1, x2, x3, c0, c1)), takesPart));
    length = append(list, length, mask, i, compress);
  }
  return (<u64>exposed << 32) | <u64>length;
}

/** Four bytes of a plane as u32 lanes. */
// @ts-ignore: decorator
@inline function bytes4(plane: usize, p0: u32, p1: u32, p2: u32, p3: u32): v128 {
  const zero = i32x4.splat(0);
  return v128.load8_lane(plane + p3, v128.load8_lane(plane + p2, v128.load8_lane(plane + p1, v128.load8_lane(plane + p0, zero, 0), 4), 8), 12);
}

/**
 * Of the listed agents, those whose draw lies below the nested threshold of step k; returns their number. `logits`: trait logits by place, or 0
 * to compute them. Four at a time and without a branch on the outcome, which cannot be predicted (one by one it took 1.4 times as long), in
 * loops without calls, whose values stay in registers. Nested thresholds lie in the order of the list; those of the survivors replace them.
 */
function confirm(k: u32, list: usize, count: u32, out: usize, logits: usize, base: i32, weights: usize, tables: usize): u32 {
  const nested = scratch + S_NESTED;
  // Places beyond the end are read but never counted: they must be places all the same.
  store<u32>(list + count, 0);
  if (logits === 0) {
    logits = scratch + S_LIST_LOGITS;
    for (let n: u32 = 0; n < count; n += 4) {
      v128.store(logits + (n << 2), placeLogits(codesAt, load<u8>(list + n), load<u8>(list + n, 1), load<u8>(list + n, 2), load<u8>(list + n, 3), weights, tables));
    }
    if (usesPressure || usesAware) adjust(k, logits, list, count);
    thresholds(k, nested, count, logits, base);
  } else if (k > 0 || usesPressure || usesAware) {
    const own = scratch + S_LIST_LOGITS;
    for (let n: u32 = 0; n < count; n += 4) v128.store(own + (n << 2), words4(logits, load<u8>(list + n), load<u8>(list + n, 1), load<u8>(list + n, 2), load<u8>(list + n, 3)));
    if (usesPressure || usesAware) adjust(k, own, list, count);
    thresholds(k, nested, count, own, base);
  } else firstThresholds(nested, list, count, logits, base);
  return isThinned ? survivorsThinned(nested, list, count, out) : survivors(nested, list, count, out);
}

/** What pressure and awareness do to the logits of the listed agents. */
function adjust(k: u32, logits: usize, list: usize, count: u32): void {
  const pressureWeight = usesPressure ? v128.load32_splat(field(F_PRESSURE_WEIGHT) + (k << 2)) : i32x4.splat(0);
  const awareWeight = usesAware ? v128.load32_splat(field(F_AWARE_WEIGHT) + (k << 2)) : i32x4.splat(0);
  for (let n: u32 = 0; n < count; n += 4) {
    const p0 = load<u8>(list + n), p1 = load<u8>(list + n, 1), p2 = load<u8>(list + n, 2), p3 = load<u8>(list + n, 3);
    const isAware = i32x4.ne(v128.and(bytes4(stageAt, p0, p1, p2, p3), i32x4.splat(STAGE_AWARE)), i32x4.splat(0));
    const x = i32x4.sub(v128.load(logits + (n << 2)), i32x4.mul(bytes4(pressureAt, p0, p1, p2, p3), pressureWeight));
    v128.store(logits + (n << 2), i32x4.add(x, v128.and(isAware, awareWeight)));
  }
}

/** Nested thresholds of step k from logits in the order of the list; those of the step before lie in `nested`. */
function thresholds(k: u32, nested: usize, count: u32, logits: usize, base: i32): void {
  const sigmoid: usize = field(F_SIGMOID), b = i32x4.splat(base);
  for (let n: u32 = 0; n < count; n += 4) {
    let q = sigmoid4(i32x4.add(v128.load(logits + (n << 2)), b), sigmoid);
    if (k > 0) q = mulHigh4(v128.load(nested + (n << 2)), q);
    v128.store(nested + (n << 2), q);
  }
}

/** Thresholds of step 0 from logits by place. */
function firstThresholds(nested: usize, list: usize, count: u32, logits: usize, base: i32): void {
  const sigmoid: usize = field(F_SIGMOID), b = i32x4.splat(base);
  for (let n: u32 = 0; n < count; n += 4) {
    const x = words4(logits, load<u8>(list + n), load<u8>(list + n, 1), load<u8>(list + n, 2), load<u8>(list + n, 3));
    v128.store(nested + (n << 2), sigmoid4(i32x4.add(x, b), sigmoid));
  }
}

/** Who stays of a dense draw: the top byte decides, and of equal ones the low bits. */
function survivors(nested: usize, list: usize, count: u32, out: usize): u32 {
  const compress: usize = field(F_COMPRESS), compressWords: usize = field(F_COMPRESS_WORDS), high = scratch + S_HIGH;
  let length: u32 = 0;
  for (let n: u32 = 0; n < count; n += 4) {
    const places = load<u32>(list + n), q = v128.load(nested + (n << 2));
    const byte = bytes4(high, places & 255, (places >> 8) & 255, (places >> 16) & 255, places >> 24), top = i32x4.shr_u(q, 24);
    const valid = count - n < 4 ? (1 << (count - n)) - 1 : 15;
    // All values lie in 0 .. 255, so the signed comparison will do.
    let reached: i32 = i32x4.bitmask(i32x4.lt_s(byte, top)) & valid;
    const ties: i32 = i32x4.bitmask(i32x4.eq(byte, top)) & valid;
    if (ties !== 0) reached |= untie(ties, places, nested + (n << 2));
    v128.store32_lane(out + length, i8x16.swizzle(i32x4.splat(places), v128.load64_zero(compress + (reached << 3))), 0);
    v128.store(nested + (length << 2), i8x16.swizzle(q, v128.load(compressWords + (reached << 4))));
    length += popcnt(reached);
  }
  return length;
}

/** Which of the tied lanes lie below their threshold by their low 24 bits. */
function untie(ties: i32, places: u32, nested: usize): i32 {
  let reached: i32 = 0;
  do {
    const lane = <u32>ctz(ties);
    ties &= ties - 1;
    const low = philoxWord(chunkFirst + ((places >> (lane << 3)) & 255), now, nowOrdinal, DRAW_LOW, key0, key1) >> 8;
    if (low < (load<u32>(nested + (lane << 2)) & 0xffffff)) reached |= 1 << lane;
  } while (ties !== 0);
  return reached;
}

function survivorsThinned(nested: usize, list: usize, count: u32, out: usize): u32 {
  let length: u32 = 0;
  for (let n: u32 = 0; n < count; n++) {
    const place = <u32>load<u8>(list + n), q = load<u32>(nested + (n << 2));
    store<u8>(out + length, <u8>place);
    store<u32>(nested + (length << 2), q);
    length += <u32>(load<u32>(scratch + S_DRAW + (place << 2)) < q);
  }
  return length;
}

/**
 * Trait logits of step 0 by place, for the agents from .. to - 1 at least: kept for the stimulus as long as the chunk lives, those of a held block with
 * stored codes for good. The first call of a chunk computes it for all worlds of the chunk.
 */
function traitLogits(world: u32, stimulus: u32, from: u32, to: u32, count: u32): usize {
  const kept: usize = field(F_KEPT);
  if (kept !== 0) {
    const keptPlace = <u32>load<u8>(field(F_KEPT_PLACE) + stimulus);
    if (keptPlace < <u32>KEPT_PLACES) return keptPlane(kept, keptPlace, 0, world, stimulus, count);
  }
  const place = stimulus & (LOGIT_PLACES - 1), tag = scratch + S_LOGIT_TAGS + (place << 2), out = scratch + S_LOGITS + (place << 10);
  if (load<u32>(tag) === stimulus + 1) return out;
  rowLogits(codesAt, out, from & ~15, to, field(F_PERSONA), world, stimulus, 0);
  // Where several worlds share the chunk, each computes its own part, and groups cut by a border are written by both: nothing can be kept.
  if (from === 0 && to === count) store<u32>(tag, stimulus + 1);
  return out;
}

/**
 * Trait logits of step 1 by place where a held block keeps them, else 0. They are added up when the chunk meets the stimulus a second time: for a
 * single meeting it is cheaper to do so for those alone who reach step 1.
 */
function secondLogits(world: u32, stimulus: u32, count: u32): usize {
  const kept: usize = field(F_KEPT);
  if (kept === 0 || field(F_STEPS) < 2) return 0;
  const place = <u32>load<u8>(field(F_KEPT_PLACE) + stimulus);
  if (place >= <u32>KEPT_PLACES || ((load<u8>(kept + (chunkAt >> 8)) >> <u8>place) & 1) === 0) return 0;
  return keptPlane(kept, place, 1, world, stimulus, count);
}

/** The chunk's part of a kept plane, filled when it is not yet. */
function keptPlane(kept: usize, place: u32, k: u32, world: u32, stimulus: u32, count: u32): usize {
  const stride = field(F_STATE_STRIDE), ready = kept + (chunkAt >> 8), mask = <u32>load<u8>(ready), plane = 2 * place + k;
  const out = kept + (((stride >> 8) + 63) & ~63) + ((plane * stride + chunkAt) << 2), bit: u32 = 1 << (place + KEPT_PLACES * k);
  if ((mask & bit) === 0) {
    rowLogits(codesAt, out, 0, count, field(F_PERSONA), world, stimulus, k);
    store<u8>(ready, <u8>(mask | bit));
  }
  return out;
}

// ---------------------------------------------------------------------------------------------- leaving, sharing, update

/** Whether the place is in the list: of those who reached the last step, a handful. */
function isListed(list: usize, count: u32, place: u32): bool {
  for (let n: u32 = 0; n < count; n++) if (<u32>load<u8>(list + n) === place) return true;
  return false;
}

/** The competing event of a dense draw, for all but the converted; marks and counts who left. */
function leave(from: u32, to: u32, gap: i8, leaveBias: i32, list: usize, converted: u32): u32 {
  const weight = <i32>field(F_PRESSURE_LEAVE_WEIGHT);
  // The largest top byte any pressure can give; a logit that wraps around could be anything.
  const most = isFresh ? <i64>leaveBias : <i64>leaveBias + max<i64>(0, 255 * <i64>weight), least = <i64>leaveBias + min<i64>(0, 255 * <i64>weight);
  const top: u32 = most > 0x7fffffff || least < -0x80000000 ? 255 : sigmoid1(<i32>most) >> 24;
  const bound = i8x16.splat(<i8>top);
  let left: u32 = 0;
  for (let i = from & ~15; i < to; i += 16) {
    let mask: i32 = i8x16.bitmask(i8x16.le_u(v128.load(scratch + S_LEAVE + i), bound));
    if (mask === 0) continue;
    mask &= i8x16.bitmask(within(i, from, to));
    if (!isFresh) mask &= i8x16.bitmask(eligible(v128.load(stageAt + i), gap));
    while (mask !== 0) {
      const at = i + <u32>ctz(mask);
      mask &= mask - 1;
      const threshold = sigmoid1(leaveBias + (isFresh ? 0 : <i32>load<u8>(pressureAt + at) * weight));
      const byte = <u32>load<u8>(scratch + S_LEAVE + at);
      if (byte < threshold >> 24 || (byte === threshold >> 24 && philoxWord(chunkFirst + at, now, nowOrdinal, LEAVE_LOW, key0, key1) >> 8 < (threshold & 0xffffff))) {
        if (isListed(list, converted, at)) continue;
        if (marks) store<u8>(scratch + S_LEFT + at, 0x80);
        left++;
      }
    }
  }
  return left;
}

/** The same among the candidates of a thinned draw. */
function leaveThinned(from: u32, to: u32, gap: i8, leaveBias: i32, list: usize, converted: u32): u32 {
  const thin = scratch + S_THIN_LEAVE, count = load<u32>(thin), weight = <i32>field(F_PRESSURE_LEAVE_WEIGHT);
  let left: u32 = 0;
  for (let j: u32 = 0; j < count; j++) {
    const at = <u32>load<u8>(thin + 4 + j);
    if (at < from || at >= to || !isEligible(at, gap)) continue;
    const threshold = sigmoid1(leaveBias + (isFresh ? 0 : <i32>load<u8>(pressureAt + at) * weight));
    if (load<u32>(thin + 4 + THIN_DRAWS + (j << 2)) >= threshold || isListed(list, converted, at)) continue;
    if (marks) store<u8>(scratch + S_LEFT + at, 0x80);
    left++;
  }
  return left;
}

function share(from: u32, to: u32): u32 {
  const thresholds: usize = field(F_SHARE_THRESHOLD);
  let shared: u32 = 0;
  for (let at = from; at < to; at++) {
    const reached = <u32>load<u8>(scratch + S_REACHED + at);
    if (reached > 0 && philoxWord(chunkFirst + at, now, nowOrdinal, SHARE, key0, key1) < load<u32>(thresholds + ((reached - 1) << 2))) shared++;
  }
  return shared;
}

/** Step f for everybody who took part: furthest step, leaving, pressure, the clock. */
function update(from: u32, to: u32, gap: i8): void {
  const gain = i8x16.splat(<i8>field(F_GAIN)), gainResponse = i8x16.splat(<i8>field(F_GAIN_RESPONSE)), stepBits = i8x16.splat(STAGE_STEP);
  for (let i = from & ~15; i < to; i += 16) {
    const inside = within(i, from, to);
    const before = isFresh ? i8x16.splat(STAGE_INITIAL) : v128.load(stageAt + i);
    const takesPart = isFresh ? inside : v128.and(inside, eligible(before, gap));
    const reached = v128.load(scratch + S_REACHED + i);
    let stage = v128.or(v128.andnot(before, stepBits), i8x16.max_u(v128.and(before, stepBits), reached));
    stage = v128.or(stage, v128.load(scratch + S_LEFT + i));
    // A fresh group's other lanes get the initial state: their own world writes them after, or they are beyond the end.
    if (isContact) {
      const pressure = isFresh ? i8x16.splat(0) : v128.load(pressureAt + i);
      const responded = i8x16.ne(reached, i8x16.splat(0));
      const sum = i8x16.add_sat_u(pressure, v128.and(takesPart, gain));
      keep(pressureAt + i, i8x16.add_sat_u(sum, v128.and(v128.and(takesPart, responded), gainResponse)), inside);
      stage = v128.andnot(stage, v128.and(takesPart, i8x16.splat(STAGE_TICKS)));
    } else if (isFresh) keep(pressureAt + i, i8x16.splat(0), inside);
    keep(stageAt + i, stage, inside);
  }
}

/** Stores the lanes of the mask and leaves the others as they are. */
// @ts-ignore: decorator
@inline function keep(at: usize, value: v128, mask: v128): void {
  if (i8x16.all_true(mask)) v128.store(at, value);
  else v128.store(at, v128.bitselect(value, v128.load(at), mask));
}
