#include "../lib/integers.wgsl"
#include "../lib/sigmoid.wgsl"
#include "still.wgsl"

// "Expected rates" (SPEC.md) of one persona in one world: a workgroup for each stimulus and slice of the panel, a thread with every
// so-manieth agent. Thresholds are added up in three parts of at most 11 bits, which stay in a word for the largest panel, 2^20.

struct Params {
  #include "../expose/plan-params.wgsl"
  panel: u32, // agents, the first of the persona
  persona: u32,
  world: u32,
  shown: u32, // stimuli
  slices: u32,
  sums: u32, // where those of the world begin in `out`: (stimulus shown, step), three parts
}
@group(0) @binding(0) var<storage, read> sigmoidTable: array<u32>;
@group(0) @binding(1) var<storage, read> plan: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read> shownStimuli: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<atomic<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

const STEPS_MAX = 4u;

@compute @workgroup_size(GROUP_AGENTS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = groupIndex(group, groups);
  if (index >= params.slices * params.shown) { return; }
  let shown = index % params.shown;
  var sums: array<vec3u, STEPS_MAX>;
  for (var place = index / params.shown; place * GROUP_AGENTS + thread < params.panel; place += params.slices) {
    var q = 0u;
    for (var k = 0u; k < params.steps; k++) {
      let p = sigmoidQ32(stillLogit(codesIn(place, thread), params.world, params.persona, shownStimuli[shown], k));
      if (k == 0u) { q = p; } else { q = mulHigh(q, p); }
      sums[k] += vec3u(q & 0x7ffu, (q >> 11u) & 0x7ffu, q >> 22u);
    }
  }
  for (var k = 0u; k < params.steps; k++) {
    for (var part = 0u; part < 3u; part++) { atomicAdd(&out[params.sums + 3u * (shown * params.steps + k) + part], sums[k][part]); }
  }
}
