// How far two structures are apart, directions that no data can tell left aside.

type Parents = readonly (readonly number[])[];

/**
 * Structural Hamming distance between the equivalence classes of two acyclic graphs (Tsamardinos, Brown and Aliferis 2006): pairs of
 * variables that only one of them joins, or that they join in different ways; and the first alone, over skeletons.
 */
export function structuralDistance(a: Parents, b: Parents): { readonly classes: number; readonly skeletons: number } {
  const [first, second] = [essential(a), essential(b)], count = a.length;
  let classes = 0, skeletons = 0;
  for (let i = 0; i < count; i++) for (let j = i + 1; j < count; j++) {
    const [one, other] = [first, second].map((graph) => `${graph[i * count + j]}${graph[j * count + i]}`);
    if (one !== other) classes++;
    if ((one === "00") !== (other === "00")) skeletons++;
  }
  return { classes, skeletons };
}

/**
 * The essential graph as a matrix: 1 at (i, j) for i -> j, at both for an arc whose direction is open. Colliders first, then Meek's rules
 * 1 to 3 (Meek 1995) until nothing changes.
 */
function essential(parents: Parents): Uint8Array {
  const count = parents.length, graph = new Uint8Array(count * count);
  const has = (i: number, j: number): boolean => graph[i * count + j] === 1;
  const isOpen = (i: number, j: number): boolean => has(i, j) && has(j, i);
  const isArc = (i: number, j: number): boolean => has(i, j) && !has(j, i);
  const isJoined = (i: number, j: number): boolean => has(i, j) || has(j, i);
  parents.forEach((of, child) => of.forEach((parent) => { graph[parent * count + child] = graph[child * count + parent] = 1; }));
  parents.forEach((of, child) => of.forEach((a) => of.forEach((b) => {
    // A collider: two parents that are not joined themselves.
    if (a < b && !isJoined(a, b)) graph[child * count + a] = graph[child * count + b] = 0;
  })));
  const all = Array.from({ length: count }, (_, v) => v);
  for (let changed = true; changed;) {
    changed = false;
    for (const i of all) for (const j of all) {
      if (!isOpen(i, j)) continue;
      const isForced = all.some((k) => isArc(k, i) && !isJoined(k, j))
        || all.some((k) => isArc(i, k) && isArc(k, j))
        || all.some((k) => isOpen(i, k) && isArc(k, j) && all.some((l) => l !== k && isOpen(i, l) && isArc(l, j) && !isJoined(k, l)));
      if (!isForced) continue;
      graph[j * count + i] = 0;
      changed = true;
    }
  }
  return graph;
}
