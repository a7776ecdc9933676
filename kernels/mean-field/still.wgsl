#include "../expose/agents.wgsl"

// The logit of an agent without history at tick 0, Q14 (SPEC.md).
fn stillLogit(codesAt: u32, world: u32, persona: u32, stimulus: u32, step: u32) -> i32 {
  let cell = (world * params.personas + persona) * params.stimuli + stimulus;
  let bias = bitcast<i32>(plan[params.bias + cell * params.steps + step]);
  let offset = bitcast<i32>(plan[params.offset + (persona * params.stimuli + stimulus) * params.steps + step]);
  return traitLogit(codesAt, world, persona, stimulus, step) + bias + offset;
}
