/** Delta debugging: a smallest list of which `fails` still holds, in the sense that no single element can be left out. `items` itself must fail. */
export async function shrink<T>(items: readonly T[], fails: (some: readonly T[]) => Promise<boolean>): Promise<readonly T[]> {
  let kept = items;
  for (let parts = 2; kept.length > 0;) {
    const size = Math.max(1, Math.ceil(kept.length / parts));
    let isSmaller = false;
    for (let from = 0; from < kept.length; from += size) {
      const rest = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (!(await fails(rest))) continue;
      kept = rest;
      isSmaller = true;
      break;
    }
    if (isSmaller) parts = Math.max(2, parts - 1);
    else if (size === 1) break;
    else parts = Math.min(kept.length, parts * 2);
  }
  return kept;
}
