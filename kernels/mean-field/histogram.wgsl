#include "../lib/integers.wgsl"
#include "../lib/sigmoid.wgsl"
#include "still.wgsl"

// "Logit histogram" (SPEC.md), a thread an agent.

struct Params {
  #include "../expose/plan-params.wgsl"
  agents: u32,
  persona: u32,
  world: u32,
  stimulus: u32,
  step: u32,
}
@group(0) @binding(0) var<storage, read> sigmoidTable: array<u32>;
@group(0) @binding(1) var<storage, read> plan: array<u32>;
@group(0) @binding(2) var<storage, read> codes: array<u32>;
@group(0) @binding(3) var<storage, read_write> histogram: array<atomic<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

const BINS = 4096;

@compute @workgroup_size(GROUP_AGENTS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let place = groupIndex(group, groups);
  if (place * GROUP_AGENTS + thread >= params.agents) { return; }
  let codesAt = codesIn(place, thread);
  var q = 0u;
  for (var k = 0u; k < params.step; k++) {
    let p = sigmoidQ32(stillLogit(codesAt, params.world, params.persona, params.stimulus, k));
    if (k == 0u) { q = p; } else { q = mulHigh(q, p); }
  }
  let bin = clamp((stillLogit(codesAt, params.world, params.persona, params.stimulus, params.step) >> 6u) + BINS / 2, 0, BINS - 1);
  atomicAdd(&histogram[bin], select(q >> 16u, 1u, params.step == 0u));
}
