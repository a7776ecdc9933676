#include "../lib/integers.wgsl"

// Who moved, and of whom it may be doubted: the second half of an assignment, after kernels/nearest/nearest.wgsl. One thread a row.

struct Params {
  rowCount: u32,
  isFirst: u32, // 1: whatever the labels say, every row moves
  slack: u32, // bits of an f32
}
@group(0) @binding(0) var<storage, read> norms: array<u32>; // squared, of rows
@group(0) @binding(1) var<storage, read> centerNorms: array<u32>;
// rowCount indexes, scores and scores of the runners-up.
@group(0) @binding(2) var<storage, read> answers: array<i32>;
@group(0) @binding(3) var<storage, read_write> labels: array<i32>;
struct Counts {
  moved: atomic<u32>,
  doubted: atomic<u32>,
}
@group(0) @binding(4) var<storage, read_write> counts: Counts;
// Row and label of each; in no order.
@group(0) @binding(5) var<storage, read_write> moved: array<vec2u>;
// Row, score and the runner-up's score of each; in no order.
@group(0) @binding(6) var<storage, read_write> doubted: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const THREADS = 64u;
// Far above the rounding of the few f32 operations below (2^-22), far below what would doubt many rows for nothing.
const OUTWARD = 1.00001;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = groupIndex(group, groups) * THREADS + thread;
  if (row >= params.rowCount) { return; }
  let label = answers[row];
  let score = bitcast<u32>(answers[params.rowCount + row]);
  let runnerUp = bitcast<u32>(answers[2u * params.rowCount + row]);
  if (params.isFirst == 1u || labels[row] != label) {
    labels[row] = label;
    moved[atomicAdd(&counts.moved, 1u)] = vec2u(row, u32(label));
  }
  // Squared distance = |x|^2 + 2 score + the bit that halving |c|^2 dropped. It may exceed 32 bits, half of it does not; halves are
  // exact, since they lie in 0 .. 2^32 - 1 and sums wrap.
  let norm = norms[row] + (centerNorms[label] & 1u);
  let squared = 2.0 * f32((norm >> 1u) + score) + f32(norm & 1u);
  // Rounded down by up to 1; the host decides to the bit, here nobody may be missed.
  let otherSquared = 2.0 * f32(((norms[row] + 1u) >> 1u) + runnerUp) - 1.0;
  let reach = sqrt(squared) * OUTWARD + bitcast<f32>(params.slack) * OUTWARD;
  if (otherSquared <= reach * reach * OUTWARD) {
    let at = 3u * atomicAdd(&counts.doubted, 1u);
    doubted[at] = row;
    doubted[at + 1u] = score;
    doubted[at + 2u] = runnerUp;
  }
}
