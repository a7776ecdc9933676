#include "../lib/philox.wgsl"
#include "../lib/triple32.wgsl"
#include "agents.wgsl"

// Draws the codes of agents (SPEC.md, "Population"): a workgroup for each group of 256, a thread for each of them.

struct Params {
  #include "plan-params.wgsl"
  normals: u32, // 65,536 int16
  cdf: u32, // 16,385 words
  groups: u32,
  world: u32, // of all agents; OWN_WORLD: each in its own
}
struct Group {
  persona: u32,
  first: u32, // agent
  place: u32, // in `codes`
}
@group(0) @binding(0) var<storage, read> plan: array<u32>;
@group(0) @binding(1) var<storage, read> work: array<Group>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const OWN_WORLD = 0xffffffffu;
const TRAITS_MAX = 64u;
// A code's column: which trait gives it (0: none, the code is 0; else counted from 1), its levels (0: it lies on a grid), where its
// cumulative shares or quantiles, its codes or offsets, and its scales begin, and how far its code is shifted.
const COLUMN_WORDS = 6u;

// Standard normals of the agent's traits, Q11, where they are correlated.
var<private> normals: array<i32, TRAITS_MAX>;

fn uniform16(persona: Persona, agent: u32, j: u32) -> u32 {
  let keyAt = persona.traitKeys + (j & ~1u);
  return (triple32(agent, vec2u(plan[keyAt], plan[keyAt + 1u])) >> (16u * (j & 1u))) & 0xffffu;
}

fn drawNormals(persona: Persona, agent: u32) {
  for (var j = 0u; j < persona.traits; j++) {
    let u = uniform16(persona, agent, j);
    normals[j] = bitcast<i32>(plan[params.normals + (u >> 1u)] << (16u - 16u * (u & 1u))) >> 16u;
  }
}

fn correlated16(persona: Persona, j: u32) -> u32 {
  let row = persona.copula + j * (j + 1u) / 2u;
  var sum = 0x1000;
  for (var k = 0u; k <= j; k++) { sum += bitcast<i32>(plan[row + k]) * normals[k]; }
  let y = u32(clamp(sum >> 13u, -32768, 32767) + 32768);
  let low = plan[params.cdf + (y >> 2u)];
  return low + (((plan[params.cdf + (y >> 2u) + 1u] - low) * (y & 3u)) >> 2u);
}

fn codeOf(persona: Persona, agent: u32, world: u32, column: u32) -> i32 {
  let at = persona.columns + column * COLUMN_WORDS;
  if (plan[at] == 0u) { return 0; }
  let j = plan[at] - 1u;
  var u = 0u;
  if (persona.copula == 0u) { u = uniform16(persona, agent, j); } else { u = correlated16(persona, j); }
  let levels = plan[at + 1u];
  if (levels > 0u) {
    let cumulative = plan[at + 2u] + world * levels;
    var level = 0u;
    while (level < levels - 1u && u >= plan[cumulative + level]) { level++; }
    return bitcast<i32>(plan[plan[at + 3u] + level] << plan[at + 5u]);
  }
  let quantile = plan[at + 2u] + (u >> 8u);
  let low = bitcast<i32>(plan[quantile]);
  let q = low + (((bitcast<i32>(plan[quantile + 1u]) - low) * i32(u & 255u)) >> 8u);
  let g = bitcast<i32>(plan[plan[at + 3u] + world]) + ((bitcast<i32>(plan[plan[at + 4u] + world]) * q + 0x8000) >> 16u);
  if (params.isWide != 0u) { return clamp(g, -32768, 32767); }
  return clamp((g + 128) >> 8u, -128, 127);
}

@compute @workgroup_size(GROUP_AGENTS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = groupIndex(group, groups);
  if (index >= params.groups) { return; }
  let own = work[index];
  let persona = personaAt(own.persona);
  let agent = own.first + thread;
  var at = codesIn(own.place, thread);
  if (params.isFactor != 0u) {
    for (var m = 0u; m < params.numericWords; m++) {
      codes[at] = triple32(agent, vec2u(plan[persona.traitKeys + 2u * m], plan[persona.traitKeys + 2u * m + 1u]));
      at += GROUP_AGENTS;
    }
    return;
  }
  let world = select(params.world, (agent >> persona.worldShift) % params.worlds, params.world == OWN_WORLD);
  if (persona.copula != 0u) { drawNormals(persona, agent); }
  var column = 0u;
  for (var w = 0u; w < params.codeWords; w++) {
    let isPair = params.isWide != 0u && w < params.numericWords;
    let width = select(8u, 16u, isPair);
    var word = 0u;
    for (var shift = 0u; shift < 32u; shift += width) {
      word |= (bitcast<u32>(codeOf(persona, agent, world, column)) & (0xffffffffu >> (32u - width))) << shift;
      column++;
    }
    codes[at] = word;
    at += GROUP_AGENTS;
  }
}
