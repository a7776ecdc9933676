#include "../lib/integers.wgsl"
#include "../lib/halves.wgsl"

// Greedy k-means++: what each row would weigh after choosing each of eight candidates, floor(squared distance / 2) or the weight it has
// where that is smaller, added up in 64 bits for each block of 256 rows; a workgroup takes a block.

struct Params {
  rowCount: u32,
  words: u32, // of a row
  isFirst: u32, // 1: weights are 2^32 - 1, whatever is stored
  isChosen: u32, // 1: the weights of the first candidate are kept
}
@group(0) @binding(0) var<storage, read> points: array<u32>;
@group(0) @binding(1) var<storage, read> norms: array<u32>; // squared
@group(0) @binding(2) var<storage, read_write> weights: array<u32>;
@group(0) @binding(3) var<storage, read> candidates: array<vec4u, 2>; // rows
// For each block the eight low words, then the eight high ones.
@group(0) @binding(4) var<storage, read_write> sums: array<vec4u>;
@group(1) @binding(0) var<uniform> params: Params;

const THREADS = 64u;
const BLOCK = 256u;

// Two vectors a thread.
var<workgroup> lows: array<vec4u, 128>;
var<workgroup> highs: array<vec4u, 128>;

fn carry(sum: vec4u, summand: vec4u) -> vec4u {
  return select(vec4u(0u), vec4u(1u), sum < summand);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let block = groupIndex(group, groups);
  if (block * BLOCK >= params.rowCount) { return; }
  let first = candidates[0];
  let second = candidates[1];
  let firstNorms = vec4u(norms[first.x], norms[first.y], norms[first.z], norms[first.w]);
  let secondNorms = vec4u(norms[second.x], norms[second.y], norms[second.z], norms[second.w]);
  var low0 = vec4u(0u);
  var low1 = vec4u(0u);
  var high0 = vec4u(0u);
  var high1 = vec4u(0u);
  for (var row = block * BLOCK + thread; row < min((block + 1u) * BLOCK, params.rowCount); row += THREADS) {
    var dot0 = vec4i(0);
    var dot1 = vec4i(0);
    for (var w = 0u; w < params.words; w++) {
      let x = vec4u(points[row * params.words + w]);
      let xLow = lowHalf(x);
      let xHigh = highHalf(x);
      let c = vec4u(points[first.x * params.words + w], points[first.y * params.words + w], points[first.z * params.words + w], points[first.w * params.words + w]);
      dot0 += xLow * lowHalf(c) + xHigh * highHalf(c);
      let d = vec4u(points[second.x * params.words + w], points[second.y * params.words + w], points[second.z * params.words + w], points[second.w * params.words + w]);
      dot1 += xLow * lowHalf(d) + xHigh * highHalf(d);
    }
    let weight = vec4u(select(weights[row], 0xffffffffu, params.isFirst == 1u));
    // The halves lie in 0 .. 2^32 - 1, so that sums may wrap on the way.
    let half0 = min(weight, ((vec4u(norms[row]) + firstNorms) >> vec4u(1u)) - bitcast<vec4u>(dot0));
    let half1 = min(weight, ((vec4u(norms[row]) + secondNorms) >> vec4u(1u)) - bitcast<vec4u>(dot1));
    if (params.isChosen == 1u) { weights[row] = half0.x; }
    low0 += half0;
    high0 += carry(low0, half0);
    low1 += half1;
    high1 += carry(low1, half1);
  }
  lows[2u * thread] = low0;
  lows[2u * thread + 1u] = low1;
  highs[2u * thread] = high0;
  highs[2u * thread + 1u] = high1;
  // Both vectors of a thread at once: 64 threads add 64 pairs, then 32, .. 2.
  for (var width = 64u; width >= 2u; width >>= 1u) {
    workgroupBarrier();
    if (thread < width) {
      let summand = lows[thread + width];
      let sum = lows[thread] + summand;
      lows[thread] = sum;
      highs[thread] += highs[thread + width] + carry(sum, summand);
    }
  }
  workgroupBarrier();
  if (thread < 2u) {
    sums[4u * block + thread] = lows[thread];
    sums[4u * block + 2u + thread] = highs[thread];
  }
}
