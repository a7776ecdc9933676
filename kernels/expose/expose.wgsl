#include "../lib/philox.wgsl"
#include "../lib/sigmoid.wgsl"
#include "agents.wgsl"

// Kernel `expose` (SPEC.md): a workgroup lives the ticks of a span with a group of 256 agents in one scenario, a thread with four of
// them, whose pressures and stages are two words in registers. What happens when is the same for a whole persona: the host writes it
// down as a script of events (script.ts), and time passes from one to the next. Events are taken four at a time: the threads together
// make the draws of four, then each lives through them, then together they count what happened.

struct Params {
  #include "plan-params.wgsl"
  stepEffects: u32, // pressure weights, weights of being aware, thresholds of sharing: `steps` words each
  leaveBias: u32, // (world, persona, stimulus)
  drawBits: u32, // (world, persona)
  leaveBits: u32, // (world, persona)
  binomials: u32, // by class, from 4 bits on: where its table begins, and its length
  gapTicks: u32,
  pressureGain: i32,
  pressureGainResponse: i32,
  pressureLeaveWeight: i32,
  hasInfluence: u32,
  scenarios: u32,
  groups: u32,
  firstTick: u32,
  endTick: u32,
  isKept: u32, // the state is read afterwards
}
struct Group {
  persona: u32,
  first: u32, // agent
  count: u32, // agents, 256 or the rest of the block
  isFresh: u32, // nothing happened yet, the state is the initial one
  place: u32, // in `state`, if it is not fresh or is kept
  codesPlace: u32,
  script: u32, // of the persona in the first scenario
  counts: u32, // where the block's counts begin in `out`: rows of steps + 3, (event, world it meets)
  firstRun: u32, // of agents in one world: the block's first
  worldsMet: u32, // by the block, from that of its first run on
  digests: u32, // where the block's digests begin in `out`: eight words a hash tick
  digestWord: u32, // index of the group's first word in a plane of the block
}
@group(0) @binding(0) var<storage, read> sigmoidTable: array<u32>;
@group(0) @binding(1) var<storage, read> plan: array<u32>;
@group(0) @binding(2) var<storage, read> work: array<Group>;
// First the heads of scripts, one a scenario: first event, number of events, warmth, threshold of becoming aware. Then events: what
// happens (below), tick, ordinal and (high half) stimulus, the row or hash tick it counts in.
@group(0) @binding(3) var<storage, read> scripts: array<vec4u>;
@group(0) @binding(4) var<storage, read> codes: array<u32>;
// By place and scenario 64 words of pressure, 64 of stage, four agents each.
@group(0) @binding(5) var<storage, read_write> state: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<atomic<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

const EXPOSE = 0u;
const BECOME_AWARE = 1u;
const DIGEST = 2u;
const KIND = 3u;
const IS_CONTACT = 4u;
const IS_NEW = 8u; // the place of this stimulus' trait logits holds those of another, or nothing
const PLACE_SHIFT = 4u;

const STEP = 0x07u;
const AWARE = 0x08u;
const TICKS = 0x70u;
const TICK = 0x10u;
const LEFT = 0x80u;
const STAGE_INITIAL = 0x70u;

const DRAW_HIGH = 1u;
const DRAW_LOW = 2u;
const LEAVE_HIGH = 3u;
const SHARE = 4u;
const RETURN = 5u;
const AWARE_HIGH = 6u;
const LEAVE_LOW = 7u;
const AWARE_LOW = 8u;
const DRAW_COUNT = 9u;
const DRAW_SPOT = 10u;
const LEAVE_COUNT = 11u;
const LEAVE_SPOT = 12u;

const THREADS = 64u;
const OWN = 4u; // agents of a thread
const EVENTS = 4u; // taken together
const LOGIT_PLACES = 4u;
const CANDIDATES_MAX = 48u; // more than any table of the binomial distribution has entries
const BITS_MIN = 4u;
const NO_DRAW = 0xffffffffu;
const PLANE_WORDS = 64u;
const STRIDE = 65u; // odd, so that threads that read different events meet different banks
const EACH = 0x01010101u; // the lowest bit of each of four bytes

// By event: the draw of the funnel (or of becoming aware), the draw of leaving. A byte an agent: the draw's high byte, or in a thinned
// group the number of the candidate, from 1 on.
var<workgroup> drawBytes: array<u32, 512>; // EVENTS * 2 * PLANE_WORDS
var<workgroup> candidates: array<u32, 384>; // EVENTS * 2 * CANDIDATES_MAX
var<workgroup> logits: array<i32, 1024>; // LOGIT_PLACES * GROUP_AGENTS: each thread has its own
var<workgroup> happened: array<u32, 260>; // EVENTS * STRIDE: a byte an agent, a bit a column of the counts

var<private> key: vec2u;
// Bytes of the thread's four agents.
var<private> pressures: u32;
var<private> stages: u32;
// A bit a place: the agent's trait logit of step 0 is there.
var<private> known: u32;

// What a thread is told once.
struct Here {
  thread: u32,
  persona: u32,
  firstAgent: u32, // of the thread
  world: u32, // of that one
  worldShift: u32,
  codesAt: u32, // of its first agent
  warmth: i32,
  drawBits: u32,
  leaveBits: u32,
}

fn word(a: u32, tick: u32, ordinal: u32, purpose: u32) -> u32 {
  return philox4x32(vec4u(a, tick, ordinal, purpose), key).x;
}

// Four neighbors live in one world, unless fewer do.
fn worldOf(here: Here, i: u32) -> u32 {
  if (here.worldShift >= 2u) { return here.world; }
  return ((here.firstAgent + i) >> here.worldShift) % params.worlds;
}

fn byteOf(word: u32, i: u32) -> u32 {
  return (word >> (8u * i)) & 255u;
}

// ---------------------------------------------------------------------------------------------------------------------- draws

// The draws of events first .. first + count - 1. Barriers inside: for all threads.
fn makeDraws(thread: u32, first: u32, count: u32, firstAgent: u32, drawBits: u32, leaveBits: u32) {
  // Sixteen blocks of sixteen agents' high bytes for each kind of draw; zeros where candidates will stand.
  for (var at = thread; at < count * 32u; at += THREADS) {
    let event = scripts[first + (at >> 5u)];
    let isLeave = (at & 16u) != 0u;
    let block = (firstAgent >> 4u) + (at & 15u);
    var four = vec4u(0u);
    if ((event.x & KIND) == BECOME_AWARE) {
      if (!isLeave) { four = philox4x32(vec4u(block, event.y, 0u, AWARE_HIGH), key); }
    } else if ((event.x & KIND) == EXPOSE && select(drawBits == 0u, leaveBits == 0u && (event.x & IS_CONTACT) != 0u, isLeave)) {
      four = philox4x32(vec4u(block, event.y, event.z & 0xffffu, select(DRAW_HIGH, LEAVE_HIGH, isLeave)), key);
    }
    for (var i = 0u; i < 4u; i++) { drawBytes[4u * at + i] = four[i]; }
  }
  workgroupBarrier();
  if (drawBits + leaveBits == 0u) { return; }
  // One thread for each kind of draw, for places depend on one another.
  if (thread < 2u * count) {
    let event = scripts[first + (thread >> 1u)];
    let isLeave = (thread & 1u) != 0u;
    let bits = select(drawBits, leaveBits, isLeave);
    if ((event.x & KIND) == EXPOSE && bits > 0u && (!isLeave || (event.x & IS_CONTACT) != 0u)) {
      drawCandidates(thread, bits, firstAgent >> 8u, event.y, event.z & 0xffffu, select(DRAW_COUNT, LEAVE_COUNT, isLeave), select(DRAW_SPOT, LEAVE_SPOT, isLeave));
    }
  }
  workgroupBarrier();
}

// "Thinned draws" of SPEC.md; `at`: event and kind of draw.
fn drawCandidates(at: u32, bits: u32, group: u32, tick: u32, ordinal: u32, countPurpose: u32, spotPurpose: u32) {
  let drawn = philox4x32(vec4u(group >> 2u, tick, ordinal, countPurpose), key)[group & 3u];
  let table = plan[params.binomials + 2u * (bits - BITS_MIN)];
  let length = plan[params.binomials + 2u * (bits - BITS_MIN) + 1u];
  var count = 0u;
  while (count < length && drawn >= plan[table + count]) { count++; }
  for (var j = 0u; j < count; j++) {
    let spot = philox4x32(vec4u(group, tick, ordinal + (j << 16u), spotPurpose), key);
    var place = spot.y & 255u;
    for (var tries = 1u; tries < 12u && isTaken(at, place); tries++) { place = byteOf(spot[1u + (tries >> 2u)], tries & 3u); }
    while (isTaken(at, place)) { place = (place + 1u) & 255u; }
    drawBytes[at * PLANE_WORDS + (place >> 2u)] |= (j + 1u) << (8u * (place & 3u));
    candidates[at * CANDIDATES_MAX + j] = spot.x >> bits;
  }
}

fn isTaken(at: u32, place: u32) -> bool {
  return byteOf(drawBytes[at * PLANE_WORDS + (place >> 2u)], place & 3u) != 0u;
}

// ------------------------------------------------------------------------------------------------------------- four lives at once

// Steps 1 and 2 of "One tick of one agent" for so many ticks.
fn passTime(here: Here, firstTick: u32, ticks: u32, returnThreshold: u32) {
  for (var t = 0u; t < ticks; t++) {
    let isFull = (stages >> 4u) & (stages >> 5u) & (stages >> 6u) & EACH;
    let mayReturn = returnThreshold > 0u && (stages & (EACH * LEFT)) != 0u;
    if (pressures == 0u && isFull == EACH && !mayReturn) { return; }
    if (mayReturn) {
      for (var i = 0u; i < OWN; i++) {
        if ((byteOf(stages, i) & LEFT) == 0u) { continue; }
        if (word(here.firstAgent + i, firstTick + t, 0u, RETURN) < returnThreshold) { stages &= ~(LEFT << (8u * i)); }
      }
    }
    // (pressure + 15) >> 4 is its high half, and one more where the low half is not 0.
    pressures -= ((pressures >> 4u) & 0x0f0f0f0fu) + ((((pressures & 0x0f0f0f0fu) + 0x0f0f0f0fu) >> 4u) & EACH);
    stages += (EACH ^ isFull) << 4u;
  }
}

// Step 3.
fn becomeAware(here: Here, e: u32, tick: u32, threshold: u32) {
  for (var i = 0u; i < OWN; i++) {
    if ((byteOf(stages, i) & AWARE) != 0u) { continue; }
    let high = byteOf(drawBytes[2u * e * PLANE_WORDS + here.thread], i);
    if (high > (threshold >> 24u)) { continue; }
    if (high < (threshold >> 24u) || (word(here.firstAgent + i, tick, 0u, AWARE_LOW) >> 8u) < (threshold & 0xffffffu)) { stages |= AWARE << (8u * i); }
  }
}

// Step 4 for one exposure of one agent: what happened, a bit a column of the counts.
fn meet(here: Here, event: vec4u, e: u32, i: u32) -> u32 {
  let agent = here.firstAgent + i;
  let tick = event.y;
  let ordinal = event.z & 0xffffu;
  let stimulus = event.z >> 16u;
  let isContact = (event.x & IS_CONTACT) != 0u;
  let stage = byteOf(stages, i);
  if ((stage & LEFT) != 0u || (isContact && ((stage & TICKS) >> 4u) < params.gapTicks)) { return 0u; }
  let pressure = i32(byteOf(pressures, i));
  let world = worldOf(here, i);
  let cell = (world * params.personas + here.persona) * params.stimuli + stimulus;
  let shown = (tick * params.personas + here.persona) * params.stimuli + stimulus;
  let isThinned = here.drawBits > 0u;
  let knownBit = 1u << (8u * i + (event.x >> PLACE_SHIFT));
  let logitAt = (event.x >> PLACE_SHIFT) * GROUP_AGENTS + OWN * here.thread + i;
  var columns = 1u;

  // The high byte, or the number of the candidate; an agent that is none reaches nothing, whatever its logit.
  let drawn = byteOf(drawBytes[2u * e * PLANE_WORDS + here.thread], i);
  var low = NO_DRAW;
  var reached = 0u;
  var q = 0u;
  while (reached < params.steps && !(isThinned && drawn == 0u)) {
    var x = 0;
    if (reached == 0u && (known & knownBit) != 0u) {
      x = logits[logitAt];
    } else {
      x = traitLogit(here.codesAt + i, world, here.persona, stimulus, reached);
      if (reached == 0u) {
        logits[logitAt] = x;
        known |= knownBit;
      }
    }
    x += bitcast<i32>(plan[params.bias + cell * params.steps + reached]) + bitcast<i32>(plan[params.offset + shown * params.steps + reached]);
    if (isContact) { x += here.warmth - pressure * bitcast<i32>(plan[params.stepEffects + reached]); }
    if (params.hasInfluence != 0u && (stage & AWARE) != 0u) { x += bitcast<i32>(plan[params.stepEffects + params.steps + reached]); }
    let p = sigmoidQ32(x);
    if (reached == 0u) { q = p; } else { q = mulHigh(q, p); }
    if (isThinned) {
      if (candidates[2u * e * CANDIDATES_MAX + drawn - 1u] >= q) { break; }
    } else {
      if (drawn > (q >> 24u)) { break; }
      if (drawn == (q >> 24u)) {
        if (low == NO_DRAW) { low = word(agent, tick, ordinal, DRAW_LOW) >> 8u; }
        if (low >= (q & 0xffffffu)) { break; }
      }
    }
    reached++;
    columns |= 1u << reached;
  }

  var next = stage;
  if (isContact && reached < params.steps && leaves(here, agent, i, cell, pressure, tick, ordinal, e)) {
    next |= LEFT;
    columns |= 2u << params.steps;
  }
  if (reached > 0u) {
    if (params.hasInfluence != 0u) {
      if (word(agent, tick, ordinal, SHARE) < plan[params.stepEffects + 2u * params.steps + reached - 1u]) { columns |= 4u << params.steps; }
    }
    next = (next & ~STEP) | max(next & STEP, reached);
  }
  if (isContact) {
    let sum = u32(pressure + params.pressureGain + select(0, params.pressureGainResponse, reached > 0u));
    pressures = insertBits(pressures, min(255u, sum), 8u * i, 8u);
    next &= ~TICKS;
  }
  stages = insertBits(stages, next, 8u * i, 8u);
  return columns;
}

fn leaves(here: Here, agent: u32, i: u32, cell: u32, pressure: i32, tick: u32, ordinal: u32, e: u32) -> bool {
  let drawn = byteOf(drawBytes[(2u * e + 1u) * PLANE_WORDS + here.thread], i);
  if (here.leaveBits > 0u && drawn == 0u) { return false; }
  let threshold = sigmoidQ32(bitcast<i32>(plan[params.leaveBias + cell]) + pressure * params.pressureLeaveWeight);
  if (here.leaveBits > 0u) { return candidates[(2u * e + 1u) * CANDIDATES_MAX + drawn - 1u] < threshold; }
  if (drawn != (threshold >> 24u)) { return drawn < (threshold >> 24u); }
  return (word(agent, tick, ordinal, LEAVE_LOW) >> 8u) < (threshold & 0xffffffu);
}

// Adds the thread's part of "State digest".
fn digest(here: Here, own: Group, scenario: u32, hashTick: u32) {
  if (OWN * here.thread >= ((own.count + 15u) & ~15u)) { return; }
  // Bytes beyond the block's end are zeros.
  let missing = 8u * (OWN - min(OWN, max(own.count, OWN * here.thread) - OWN * here.thread));
  let mask = select(0xffffffffu >> missing, 0u, missing == 32u);
  let i = own.digestWord + here.thread;
  for (var plane = 0u; plane < 2u; plane++) {
    var x = (select(pressures, stages, plane == 1u) & mask) + (i + 1u) * 0x9e3779b1u + (2u * scenario + plane + 1u) * 0x85ebca6bu;
    x = (x ^ (x >> 16u)) * 0x21f0aaadu;
    x = (x ^ (x >> 15u)) * 0xd35a2d97u;
    x ^= x >> 15u;
    let y = x * 0x85ebca6bu;
    atomicAdd(&out[own.digests + 8u * hashTick + (i & 3u)], x);
    atomicAdd(&out[own.digests + 8u * hashTick + 4u + (i & 3u)], y ^ (y >> 16u));
  }
}

// How often a column's event happened to the group: a thread an event and column, four sums of a byte each at once.
fn total(e: u32, column: u32) -> u32 {
  var four = 0u;
  for (var i = 0u; i < THREADS; i++) { four += (happened[e * STRIDE + i] >> column) & EACH; }
  return dot(vec4u(byteOf(four, 0u), byteOf(four, 1u), byteOf(four, 2u), byteOf(four, 3u)), vec4u(1u));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = groupIndex(group, groups);
  if (index >= params.groups * params.scenarios) { return; }
  let own = work[index / params.scenarios];
  let scenario = index % params.scenarios;
  let script = scripts[own.script + scenario];
  let persona = personaAt(own.persona);
  // A group whose draws are thinned lives in one world.
  let groupRun = own.first >> persona.worldShift;
  let bitsAt = (groupRun % params.worlds) * params.personas + own.persona;
  let drawBits = plan[params.drawBits + bitsAt];
  let leaveBits = plan[params.leaveBits + bitsAt];
  let firstAgent = own.first + OWN * thread;
  let here = Here(
    thread, own.persona, firstAgent, (firstAgent >> persona.worldShift) % params.worlds, persona.worldShift, codesIn(own.codesPlace, OWN * thread),
    bitcast<i32>(script.z), drawBits, leaveBits,
  );
  let agents = min(OWN, max(own.count, OWN * thread) - OWN * thread);
  let columns = params.steps + 3u;
  let stateAt = (own.place * params.scenarios + scenario) * 2u * PLANE_WORDS + thread;
  key = persona.key;
  pressures = 0u;
  stages = EACH * STAGE_INITIAL;
  known = 0u;
  if (own.isFresh == 0u) {
    pressures = state[stateAt];
    stages = state[stateAt + PLANE_WORDS];
  }

  var now = params.firstTick;
  for (var start = 0u; start < script.y; start += EVENTS) {
    let count = min(EVENTS, script.y - start);
    // Nobody needs any more what was made for the events before.
    workgroupBarrier();
    makeDraws(thread, script.x + start, count, own.first, drawBits, leaveBits);
    for (var e = 0u; e < count; e++) {
      let event = scripts[script.x + start + e];
      passTime(here, now, event.y + 1u - now, persona.returnThreshold);
      now = event.y + 1u;
      var four = 0u;
      if ((event.x & KIND) == DIGEST) {
        digest(here, own, scenario, event.w);
      } else if ((event.x & KIND) == BECOME_AWARE) {
        becomeAware(here, e, event.y, script.w);
      } else {
        if ((event.x & IS_NEW) != 0u) { known &= ~(EACH << (event.x >> PLACE_SHIFT)); }
        for (var i = 0u; i < agents; i++) {
          let what = meet(here, event, e, i);
          four |= what << (8u * i);
          if (persona.worldShift < 8u) {
            let row = event.w * own.worldsMet + (((firstAgent + i) >> persona.worldShift) - own.firstRun) % own.worldsMet;
            for (var left = what; left != 0u; left &= left - 1u) { atomicAdd(&out[own.counts + row * columns + firstTrailingBit(left)], 1u); }
          }
        }
      }
      happened[e * STRIDE + thread] = four;
    }
    workgroupBarrier();
    let e = thread >> 3u;
    let column = thread & 7u;
    if (persona.worldShift >= 8u && e < count && column < columns) {
      let sum = total(e, column);
      if (sum > 0u) { atomicAdd(&out[own.counts + (scripts[script.x + start + e].w * own.worldsMet + (groupRun - own.firstRun) % own.worldsMet) * columns + column], sum); }
    }
  }
  passTime(here, now, params.endTick - now, persona.returnThreshold);
  if (params.isKept != 0u) {
    state[stateAt] = pressures;
    state[stateAt + PLANE_WORDS] = stages;
  }
}
