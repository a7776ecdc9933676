#include "../lib/integers.wgsl"
#include "../lib/halves.wgsl"

// Kernel `nearest` (SPEC.md): a workgroup holds 64 rows against all centroids, 64 of them at a time; a thread adds up 4 x 4
// scores in registers, 16 words of both sides being in workgroup memory. Rows and centroids are padded to whole words by a zero.

struct Params {
  rowCount: u32,
  centroidCount: u32,
  words: u32, // of a row
}
@group(0) @binding(0) var<storage, read> rows: array<u32>;
@group(0) @binding(1) var<storage, read> centroids: array<u32>;
@group(0) @binding(2) var<storage, read> biases: array<i32>;
// rowCount indexes, then as many scores, then as many scores of the runners-up.
@group(0) @binding(3) var<storage, read_write> answers: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

const TILE = 64u; // rows, and centroids
const SIDE = 16u; // threads along either: each has every 16th
const DEPTH = 16u; // words
const STRIDE = 65u; // odd, so that neither writing by words nor reading by rows meets a bank twice
const THREADS = 256u;
const WORST = 0x7fffffff;
const NOBODY = 0xffffffffu;

var<workgroup> rowTile: array<u32, 1040>; // DEPTH * STRIDE
var<workgroup> centroidTile: array<u32, 1040>;
var<workgroup> secondTile: array<i32, 1024>; // SIDE * TILE

// The best of the centroids seen so far, for four rows.
struct Best {
  score: vec4i,
  index: vec4u,
  runnerUp: vec4i,
}

// Centroids come in ascending order: of equal scores the first stays.
fn consider(best: ptr<function, Best>, score: vec4i, centroid: u32) {
  let isBetter = score < (*best).score;
  (*best).runnerUp = select(min((*best).runnerUp, score), (*best).score, isBetter);
  (*best).index = select((*best).index, vec4u(centroid), isBetter);
  (*best).score = select((*best).score, score, isBetter);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let firstRow = groupIndex(group, groups) * TILE;
  if (firstRow >= params.rowCount) { return; }
  let along = thread % SIDE;
  let down = thread / SIDE;
  var best = Best(vec4i(WORST), vec4u(NOBODY), vec4i(WORST));
  for (var first = 0u; first < params.centroidCount; first += TILE) {
    // dot0 holds the products of row `down` with centroids along, along + 16, + 32, + 48; dot1 those of row down + 16.
    var dot0 = vec4i(0);
    var dot1 = vec4i(0);
    var dot2 = vec4i(0);
    var dot3 = vec4i(0);
    for (var firstWord = 0u; firstWord < params.words; firstWord += DEPTH) {
      workgroupBarrier();
      let word = firstWord + along;
      for (var place = down; place < TILE; place += SIDE) {
        let row = firstRow + place;
        let centroid = first + place;
        rowTile[along * STRIDE + place] = select(0u, rows[row * params.words + word], word < params.words && row < params.rowCount);
        centroidTile[along * STRIDE + place] = select(0u, centroids[centroid * params.words + word], word < params.words && centroid < params.centroidCount);
      }
      workgroupBarrier();
      let depth = min(DEPTH, params.words - firstWord);
      for (var w = 0u; w < depth; w++) {
        let r = w * STRIDE + down;
        let c = w * STRIDE + along;
        let x = vec4u(rowTile[r], rowTile[r + 16u], rowTile[r + 32u], rowTile[r + 48u]);
        let y = vec4u(centroidTile[c], centroidTile[c + 16u], centroidTile[c + 32u], centroidTile[c + 48u]);
        let xLow = lowHalf(x);
        let xHigh = highHalf(x);
        let yLow = lowHalf(y);
        let yHigh = highHalf(y);
        dot0 += xLow.x * yLow + xHigh.x * yHigh;
        dot1 += xLow.y * yLow + xHigh.y * yHigh;
        dot2 += xLow.z * yLow + xHigh.z * yHigh;
        dot3 += xLow.w * yLow + xHigh.w * yHigh;
      }
    }
    let centroid = first + along;
    if (centroid < params.centroidCount) {
      consider(&best, biases[centroid] - vec4i(dot0.x, dot1.x, dot2.x, dot3.x), centroid);
    }
    if (centroid + 16u < params.centroidCount) {
      consider(&best, biases[centroid + 16u] - vec4i(dot0.y, dot1.y, dot2.y, dot3.y), centroid + 16u);
    }
    if (centroid + 32u < params.centroidCount) {
      consider(&best, biases[centroid + 32u] - vec4i(dot0.z, dot1.z, dot2.z, dot3.z), centroid + 32u);
    }
    if (centroid + 48u < params.centroidCount) {
      consider(&best, biases[centroid + 48u] - vec4i(dot0.w, dot1.w, dot2.w, dot3.w), centroid + 48u);
    }
  }

  // Sixteen threads share a row; one takes the best of theirs. The tiles have done their work and lend their memory.
  workgroupBarrier();
  for (var i = 0u; i < 4u; i++) {
    let at = along * TILE + down + i * SIDE;
    rowTile[at] = bitcast<u32>(best.score[i]);
    centroidTile[at] = best.index[i];
    secondTile[at] = best.runnerUp[i];
  }
  workgroupBarrier();
  let row = firstRow + thread;
  if (thread >= TILE || row >= params.rowCount) { return; }
  var score = bitcast<i32>(rowTile[thread]);
  var index = centroidTile[thread];
  var runnerUp = secondTile[thread];
  for (var other = 1u; other < SIDE; other++) {
    let at = other * TILE + thread;
    let otherScore = bitcast<i32>(rowTile[at]);
    let otherIndex = centroidTile[at];
    runnerUp = min(min(runnerUp, secondTile[at]), max(score, otherScore));
    let isBetter = otherScore < score || (otherScore == score && otherIndex < index);
    score = select(score, otherScore, isBetter);
    index = select(index, otherIndex, isBetter);
  }
  // Nobody only where every score is the largest there is: then all are equal, and the first centroid is the answer.
  answers[row] = select(bitcast<i32>(index), 0, index == NOBODY);
  answers[params.rowCount + row] = score;
  answers[2u * params.rowCount + row] = runnerUp;
}
