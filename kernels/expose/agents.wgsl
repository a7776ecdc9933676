#include "../lib/bytes.wgsl"
#include "../lib/halves.wgsl"

// What the programs over simulated agents share. The program that includes this declares `var<storage, read> plan: array<u32>` and
// parameters with the fields of plan-params.wgsl; for `traitLogit` also `codes: array<u32>`.

const GROUP_AGENTS = 256u; // a workgroup
const PERSONA_WORDS = 8u;
const TRAIT_PURPOSE = 16u;

struct Persona {
  key: vec2u,
  worldShift: u32,
  returnThreshold: u32,
  traits: u32,
  traitKeys: u32, // two words for each trait word
  columns: u32, // COLUMN_WORDS for each code
  copula: u32, // 0: none
}

fn personaAt(index: u32) -> Persona {
  let at = params.personaTable + index * PERSONA_WORDS;
  return Persona(vec2u(plan[at], plan[at + 1u]), plan[at + 2u], plan[at + 3u], plan[at + 4u], plan[at + 5u], plan[at + 6u], plan[at + 7u]);
}

// Where the codes of a thread's agent begin; each further word of them is GROUP_AGENTS words on, so that neighbors read neighbors.
fn codesIn(place: u32, thread: u32) -> u32 {
  return place * params.codeWords * GROUP_AGENTS + thread;
}

// What an agent's codes add to the logit of one step, Q14: "Trait logit" of SPEC.md.
fn traitLogit(codesAt: u32, world: u32, persona: u32, stimulus: u32, step: u32) -> i32 {
  let row = (world * params.stimuli + stimulus) * params.steps + step;
  let ownRow = ((world * params.personas + persona) * params.stimuli + stimulus) * params.steps + step;
  let weights = params.weights + select(row, ownRow, params.isFactor != 0u) * params.rowWords;
  var at = codesAt;
  var acc = 0;
  var x = 0;
  if (params.isWide != 0u) {
    for (var w = 0u; w < params.numericWords; w++) {
      let both = vec4u(codes[at], plan[weights + w], 0u, 0u);
      let low = lowHalf(both);
      let high = highHalf(both);
      acc += low.x * low.y + high.x * high.y;
      at += GROUP_AGENTS;
    }
    x = (acc + 4096) >> 13u;
  } else {
    for (var w = 0u; w < params.numericWords; w++) {
      let pairs = vec4u(plan[weights + 2u * w], plan[weights + 2u * w + 1u], 0u, 0u);
      let low = lowHalf(pairs);
      let high = highHalf(pairs);
      acc += dot(signedBytes(codes[at]), vec4i(low.x, high.x, low.y, high.y));
      at += GROUP_AGENTS;
    }
    x = (acc + 16) >> 5u;
  }
  let table = params.tables + row * params.tableLength;
  for (var level = 0u; level < params.levelSlots; level++) {
    let code = signedBytes(codes[at + (level >> 2u) * GROUP_AGENTS])[level & 3u];
    x += bitcast<i32>(plan[bitcast<u32>(bitcast<i32>(table + plan[params.tableOffset + level]) + code)]);
  }
  return x;
}
