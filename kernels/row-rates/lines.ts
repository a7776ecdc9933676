import { PopulaceError } from "@populace/domain/error";
import type { RowRatesShape } from "./port.ts";

/** The first line of each trait in a step's table, and the lines of a table. */
export function firstLines({ places }: RowRatesShape): { readonly firsts: readonly number[]; readonly total: number } {
  let total = 0;
  const firsts = places.map((count) => {
    const first = total;
    total += count;
    return first;
  });
  return { firsts, total };
}

/** The lines of rows of places; BAD_REQUEST naming the first that is none. */
export function linesOf(shape: RowRatesShape, places: Int32Array): Int32Array {
  const { firsts } = firstLines(shape);
  const traits = firsts.length;
  if (traits === 0 || places.length % traits !== 0) throw new PopulaceError("BAD_REQUEST", `${places.length} places are no whole rows of ${traits} traits`, { places: places.length, traits });
  return places.map((place, at) => {
    const trait = at % traits;
    if (!(place >= 0 && place < shape.places[trait])) throw new PopulaceError("BAD_REQUEST", `row ${Math.floor(at / traits)}, trait ${trait}: place ${place}; expected 0 to ${shape.places[trait] - 1}`, { row: Math.floor(at / traits), trait });
    return firsts[trait] + place;
  });
}
