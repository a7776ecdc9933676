// int16 values are packed two to a word: the lower one is that of the smaller index.

fn lowHalf(word: vec4u) -> vec4i {
  return bitcast<vec4i>(word << vec4u(16u)) >> vec4u(16u);
}

fn highHalf(word: vec4u) -> vec4i {
  return bitcast<vec4i>(word) >> vec4u(16u);
}
