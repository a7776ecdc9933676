import { PopulaceError, SHARE_IGNORED, SPAN, codeRange, densityTables } from "@populace/domain";
import type { AssignmentColumns, AssignmentRun, Expectation, ExpectationRun, MixtureData, MixtureEngine, MixtureParameters, PersonaMixture, TraitCoding } from "@populace/domain";
import { InstancePool } from "../backends/webassembly.ts";
import type { WasmArena } from "../backends/webassembly.ts";

interface Exports {
  layOut(traits: number, laneBytes: number, offsets: number, widths: number, firsts: number, places: number): void;
  firstWrong(codes: number, rows: number): number;
  expect(codes: number, rows: number, table: number, logShare: number, weights: number, shares: number, members: number, histograms: number, largests: number, sums: number, ignored: number): void;
  assign(codes: number, rows: number, table: number, logShare: number, personas: number, expected: number, floors: number, scores: number, powers: number, persona: number, probability: number, fitsNone: number): void;
}

const instances = new InstancePool<Exports>(new URL("./mixture.wasm", import.meta.url));

/** Rows of one call: V8 swaps its quick first translation for the fast one between calls, and staged rows stay in the cache. */
const CALL_ROWS = 4096;

/** The kernel `mixture` in SIMD WebAssembly on the calling thread: two personas a vector, the bits of the plain code. */
export const mixtureWasm: MixtureEngine = {
  expecting(data: MixtureData): ExpectationRun {
    const { codings, codes, weight } = data;
    const traits = codings.length, rows = traits === 0 ? 0 : codes.length / traits;
    const memory = instances.take();
    const layout = new Layout(memory, codings);
    const codesAt = memory.take(2 * codes.length), weightsAt = weight === null ? 0 : memory.take(8 * rows), largestsAt = memory.take(8 * CALL_ROWS), sumsAt = memory.take(8 * CALL_ROWS);
    memory.reserve();
    memory.int16(codesAt, codes.length).set(codes);
    if (weight !== null) memory.float64(weightsAt, rows).set(weight);
    const tablesFrom = memory.end;
    return {
      expect({ logShare, table }: MixtureParameters): Expectation {
        const k = logShare.length;
        memory.end = tablesFrom;
        const lanes = layout.place(k);
        const tableAt = memory.take(8 * layout.lines * lanes), histogramsAt = memory.take(8 * layout.lines * lanes), logShareAt = memory.take(8 * lanes), sharesAt = memory.take(8 * lanes), membersAt = memory.take(8 * lanes);
        memory.reserve();
        layout.use(memory.exports, lanes);
        layout.check(codesAt, rows, codes);
        memory.float64(logShareAt, lanes).fill(-Infinity).set(logShare);
        memory.float64(membersAt, lanes).fill(0);
        const lined = memory.float64(tableAt, layout.lines * lanes).fill(0), histogramLines = memory.float64(histogramsAt, layout.lines * lanes).fill(0);
        layout.eachPlace((line, t, place) => {
          for (let p = 0; p < k; p++) lined[line * lanes + p] = table[(p * traits + t) * SPAN + place];
        });
        const largests = memory.float64(largestsAt, CALL_ROWS), sums = memory.float64(sumsAt, CALL_ROWS);
        let logLikelihood = 0;
        for (let first = 0; first < rows; first += CALL_ROWS) {
          const count = Math.min(CALL_ROWS, rows - first);
          memory.exports.expect(codesAt + 2 * first * traits, count, tableAt, logShareAt, weight === null ? 0 : weightsAt + 8 * first, sharesAt, membersAt, histogramsAt, largestsAt, sumsAt, SHARE_IGNORED);
          for (let row = 0; row < count; row++) logLikelihood += (weight === null ? 1 : weight[first + row]) * (largests[row] + Math.log(sums[row]));
        }
        const histograms = new Float64Array(k * traits * SPAN);
        layout.eachPlace((line, t, place) => {
          for (let p = 0; p < k; p++) histograms[(p * traits + t) * SPAN + place] = histogramLines[line * lanes + p];
        });
        return { logLikelihood, members: memory.float64(membersAt, k).slice(), histograms };
      },
      close: () => memory.close(),
    };
  },
  assigning(mixture: PersonaMixture): AssignmentRun {
    const { codings, personas } = mixture;
    const traits = codings.length, k = personas.length;
    const { tables, logShare, expected } = densityTables(mixture);
    const memory = instances.take();
    const layout = new Layout(memory, codings);
    const lanes = layout.place(k);
    const tableAt = memory.take(8 * layout.lines * lanes), logShareAt = memory.take(8 * lanes), expectedAt = memory.take(8 * k * traits), floorsAt = memory.take(8 * k), scoresAt = memory.take(8 * lanes), powersAt = memory.take(8 * lanes);
    const codesAt = memory.take(2 * CALL_ROWS * traits), personaAt = memory.take(4 * CALL_ROWS), probabilityAt = memory.take(8 * CALL_ROWS), fitsNoneAt = memory.take(CALL_ROWS);
    memory.reserve();
    const lined = memory.float64(tableAt, layout.lines * lanes).fill(0);
    layout.eachPlace((line, t, place) => {
      for (let p = 0; p < k; p++) lined[line * lanes + p] = tables[p * traits + t][place];
    });
    memory.float64(logShareAt, lanes).fill(-Infinity).set(logShare);
    memory.float64(expectedAt, k * traits).set(expected);
    memory.float64(floorsAt, k).set(personas.map((persona) => persona.logDensityFloor));
    return {
      assign(codes: Int16Array, columns: AssignmentColumns): void {
        const rows = traits === 0 ? 0 : codes.length / traits;
        const room = Math.min(columns.persona.length, columns.probability.length, columns.fitsNone.length);
        if (!Number.isInteger(rows) || room < rows) throw new PopulaceError("BAD_REQUEST", `${codes.length} codes of ${traits} traits and room for ${room} rows; expected whole rows and room for all`, { codes: codes.length, traits, room });
        layout.use(memory.exports, lanes);
        for (let first = 0; first < rows; first += CALL_ROWS) {
          const count = Math.min(CALL_ROWS, rows - first);
          const piece = codes.subarray(first * traits, (first + count) * traits);
          memory.int16(codesAt, count * traits).set(piece);
          layout.check(codesAt, count, piece, first);
          memory.exports.assign(codesAt, count, tableAt, logShareAt, k, expectedAt, floorsAt, scoresAt, powersAt, personaAt, probabilityAt, fitsNoneAt);
          columns.persona.set(memory.int32(personaAt, count), first);
          columns.probability.set(memory.float64(probabilityAt, count), first);
          columns.fitsNone.set(memory.bytes(fitsNoneAt, count), first);
        }
      },
      close: () => memory.close(),
    };
  },
};

/** Lines of a table: for each trait its places in order, then one for a missing value, which adds nothing. */
class Layout {
  readonly lines: number;
  readonly #memory: WasmArena<Exports>;
  readonly #codings: readonly TraitCoding[];
  readonly #widths: Int32Array;
  readonly #at: { readonly offsets: number; readonly widths: number; readonly firsts: number; readonly places: number };

  constructor(memory: WasmArena<Exports>, codings: readonly TraitCoding[]) {
    this.#memory = memory;
    this.#codings = codings;
    this.#widths = Int32Array.from(codings, (coding) => codeRange(coding).count);
    this.lines = this.#widths.reduce((sum, width) => sum + width + 1, 0);
    const bytes = 4 * codings.length;
    this.#at = { offsets: memory.take(bytes), widths: memory.take(bytes), firsts: memory.take(bytes), places: memory.take(bytes) };
  }

  /** Lanes of a line for so many personas. */
  place(personas: number): number {
    return 4 * Math.ceil(personas / 4);
  }

  /** Tells the module about the traits; other runs of the thread may have told it about theirs. */
  use(exports: Exports, lanes: number): void {
    const { offsets, widths, firsts, places } = this.#at;
    const traits = this.#codings.length;
    this.#memory.int32(offsets, traits).set(this.#codings.map((coding) => codeRange(coding).offset));
    this.#memory.int32(widths, traits).set(this.#widths);
    let line = 0;
    this.#memory.int32(firsts, traits).set(this.#widths.map((width) => {
      const first = line;
      line += width + 1;
      return first;
    }));
    exports.layOut(traits, 8 * lanes, offsets, widths, firsts, places);
  }

  /** BAD_DATA, naming row and trait, for a value that is no code. */
  check(codesAt: number, rows: number, codes: Int16Array, first = 0): void {
    const wrong = this.#memory.exports.firstWrong(codesAt, rows);
    if (wrong < 0) return;
    const traits = this.#codings.length;
    const row = first + Math.floor(wrong / traits), { name } = this.#codings[wrong % traits];
    throw new PopulaceError("BAD_DATA", `row ${row}, trait "${name}": ${codes[wrong]} is no code of it; encode rows with the mixture's own codings`, { row, trait: name });
  }

  /** Calls with each line that holds a code, its trait and its place. */
  eachPlace(visit: (line: number, trait: number, place: number) => void): void {
    let line = 0;
    this.#widths.forEach((width, t) => {
      for (let place = 0; place < width; place++) visit(line++, t, place);
      line++;
    });
  }
}
