#include "../lib/integers.wgsl"
#include "../lib/halves.wgsl"

// The first row whose squared norm exceeds a limit of 64 bits, one thread a row.

struct Params {
  rowCount: u32,
  words: u32, // of a row
  limitHigh: u32,
  limitLow: u32,
}
@group(0) @binding(0) var<storage, read> rows: array<u32>;
// 0xffffffff before, and after where there is none.
@group(0) @binding(1) var<storage, read_write> first: atomic<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const THREADS = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = groupIndex(group, groups) * THREADS + thread;
  if (row >= params.rowCount) { return; }
  var high = 0u;
  var low = 0u;
  for (var w = 0u; w < params.words; w++) {
    let word = vec4u(rows[row * params.words + w]);
    let x = lowHalf(word).x;
    let y = highHalf(word).x;
    // At most 2^31.
    let squares = u32(x * x) + u32(y * y);
    low += squares;
    high += select(0u, 1u, low < squares);
  }
  if (high > params.limitHigh || (high == params.limitHigh && low > params.limitLow)) { atomicMin(&first, row); }
}
