/**
 * Returns, for each row of a profit matrix (row-major, rows x columns, finite numbers), the column it is paired with, or -1:
 * every row and column is used at most once, min(rows, columns) pairs are made and their total profit is the largest possible.
 * Hungarian method with potentials (Kuhn 1955; the O(n^3) form of Jonker and Volgenant 1987). Equal totals: the first found,
 * deterministically.
 */
export function optimalAssignment(profit: ArrayLike<number>, rows: number, columns: number): Int32Array {
  if (rows > columns) {
    const transposed = new Float64Array(rows * columns);
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) transposed[column * rows + row] = profit[row * columns + column];
    const pairs = new Int32Array(rows).fill(-1);
    optimalAssignment(transposed, columns, rows).forEach((row, column) => row >= 0 && (pairs[row] = column));
    return pairs;
  }
  // Indices from 1; column 0 stands for "not yet paired". Cost = -profit.
  const rowPotential = new Float64Array(rows + 1), columnPotential = new Float64Array(columns + 1);
  const rowOfColumn = new Int32Array(columns + 1), previous = new Int32Array(columns + 1);
  for (let row = 1; row <= rows; row++) {
    rowOfColumn[0] = row;
    const slack = new Float64Array(columns + 1).fill(Infinity);
    const used = new Uint8Array(columns + 1);
    let column = 0;
    do {
      used[column] = 1;
      const current = rowOfColumn[column];
      let delta = Infinity, next = 0;
      for (let candidate = 1; candidate <= columns; candidate++) {
        if (used[candidate] === 1) continue;
        const reduced = -profit[(current - 1) * columns + candidate - 1] - rowPotential[current] - columnPotential[candidate];
        if (reduced < slack[candidate]) {
          slack[candidate] = reduced;
          previous[candidate] = column;
        }
        if (slack[candidate] < delta) {
          delta = slack[candidate];
          next = candidate;
        }
      }
      for (let candidate = 0; candidate <= columns; candidate++) {
        if (used[candidate] === 1) {
          rowPotential[rowOfColumn[candidate]] += delta;
          columnPotential[candidate] -= delta;
        } else slack[candidate] -= delta;
      }
      column = next;
    } while (rowOfColumn[column] !== 0);
    for (; column !== 0; column = previous[column]) rowOfColumn[column] = rowOfColumn[previous[column]];
  }
  const pairs = new Int32Array(rows).fill(-1);
  for (let column = 1; column <= columns; column++) if (rowOfColumn[column] > 0) pairs[rowOfColumn[column] - 1] = column - 1;
  return pairs;
}
