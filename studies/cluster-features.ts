import { BINARY_CODE, CODES_PER_UNIT, isGrid, MISSING } from "@populace/domain";
import type { Points, TraitCoding } from "@populace/domain";

/**
 * Points of coded recipients (rows x traits): grid traits in standard deviations of the population the model was fitted on,
 * binary ones 0 or 1, categorical ones one column a level, so that two levels lie 1 apart. Not standardized by the recipients at
 * hand: a group that is new would shrink itself. Missing values take their column's mean.
 */
export function recipientPoints(codings: readonly TraitCoding[], codes: Int16Array): Points {
  const traits = codings.length, rows = traits === 0 ? 0 : codes.length / traits;
  const widths = codings.map((coding) => (coding.kind === "categorical" ? coding.levels.length : 1));
  const dimensions = widths.reduce((sum, width) => sum + width, 0);
  const values = new Float64Array(rows * dimensions);
  let column = 0;
  codings.forEach((coding, trait) => {
    const width = widths[trait];
    const sums = new Float64Array(width);
    let known = 0;
    for (let row = 0; row < rows; row++) {
      const code = codes[row * traits + trait];
      if (code === MISSING) continue;
      known++;
      const at = row * dimensions + column;
      if (coding.kind === "categorical") values[at + code] = Math.SQRT1_2;
      else values[at] = code / (isGrid(coding) ? CODES_PER_UNIT : BINARY_CODE);
      for (let level = 0; level < width; level++) sums[level] += values[at + level];
    }
    for (let row = 0; row < rows; row++) {
      if (codes[row * traits + trait] !== MISSING) continue;
      for (let level = 0; level < width; level++) values[row * dimensions + column + level] = known === 0 ? 0 : sums[level] / known;
    }
    column += width;
  });
  return { rows, dimensions, values };
}
