import { PopulaceError } from "@populace/domain";
import type { EvidenceLabel } from "@populace/domain";
import type { ResponseSurfaceKernel, SurfaceInput } from "@populace/kernels";
import { didYouMean } from "./document.ts";
import type { Model } from "./model.ts";
import { momentsOf, quantileOfSorted } from "./rates.ts";
import { featureNamed } from "./surface-axis.ts";
import type { SurfaceAxis, SurfaceQuantity } from "./surface-axis.ts";
import { surfaceInput } from "./surface-input.ts";
import type { SurfaceRequest, SurfaceSizes } from "./surface-input.ts";

/** Which surface, by names as a user writes them. */
export interface SurfaceNames {
  /** Id or name; absent = the whole population, personas by their shares. */
  readonly persona?: string;
  readonly stimulus: string;
  /** Absent = the last of the funnel. */
  readonly step?: string;
  readonly trait: string;
  /** Rows: a second trait, or a number of the stimulus ("price", a feature's name). One of the two. */
  readonly trait2?: string;
  readonly feature?: string;
}

export interface SurfaceOptions extends SurfaceSizes {
  readonly signal?: AbortSignal;
  readonly onProgress?: (cells: number, cellsTotal: number) => void;
}

/** Response rate per exposure over two quantities, with its 90 % interval; what it is made of stands beside it. */
export interface ResponseSurface {
  /** Persona's id; null = the whole population. */
  readonly persona: string | null;
  readonly stimulus: string;
  readonly step: string;
  readonly columns: SurfaceAxis;
  readonly rows: SurfaceAxis;
  /** Rows x columns: mean, 5 % and 95 % quantile over the worlds. */
  readonly mean: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
  readonly label: EvidenceLabel;
  readonly evidence: Model["evidence"];
  readonly worlds: number;
  readonly members: number;
}

/** Logistic functions (worlds x steps x cells x members) one surface may cost: about 5 s of WebAssembly on one core. */
const EVALUATIONS_MAX = 5e9;
/** Cells between two looks at the signal: tenths of a second. */
const BAND_CELLS = 500;

/** The request that names mean. NOT_FOUND with a suggestion for an unknown one, BAD_USAGE for names that do not go together. */
export function surfaceRequest(model: Model, names: SurfaceNames): SurfaceRequest {
  const { codings, personas } = model.mixture;
  const trait = named("trait", names.trait, codings.map(({ name }) => [name]));
  if ((names.feature === undefined) === (names.trait2 === undefined)) throw new PopulaceError("BAD_USAGE", "a surface has two axes: name either a feature of the stimulus or a second trait beside the first", {});
  const rows: SurfaceQuantity = names.feature === undefined
    ? { kind: "trait", trait: named("trait", names.trait2!, codings.map(({ name }) => [name])) }
    : { kind: "feature", feature: featureNamed(model, names.feature) };
  if (rows.kind === "trait" && rows.trait === trait) throw new PopulaceError("BAD_USAGE", `both axes are ${names.trait}; name another second trait, or a feature of the stimulus`, { trait: names.trait });
  return {
    persona: names.persona === undefined ? null : named("persona", names.persona, personas.map(({ id, name }) => [id, name])),
    stimulus: named("stimulus", names.stimulus, model.response.stimuli.map(({ id, name }) => [id, name])),
    step: names.step === undefined ? model.response.steps.length - 1 : named("step", names.step, model.response.steps.map(({ name }) => [name])),
    trait, rows,
  };
}

/** Index of the thing with that id or name; ids win, and of equal names the first. */
function named(noun: string, wanted: string, things: readonly (readonly string[])[]): number {
  for (const which of [0, 1]) {
    const found = things.findIndex((words) => words[which] === wanted);
    if (found >= 0) return found;
  }
  throw new PopulaceError("NOT_FOUND", `the model knows no ${noun} "${wanted}"${didYouMean(wanted, [...new Set(things.flat())])}`, { [noun]: wanted });
}

/**
 * The surface of a request: what the response model says when one trait and one more quantity move and everything else stays as
 * it is with the persona's people (a partial dependence, Friedman 2001: other traits do not follow the one that moves, however
 * they go together). Rates are averaged over members and never taken at their mean traits, which would be off by a tenth and
 * more. Where the model knows the rates of a persona's real rows the members' rates are moved onto them, world by world, as a
 * plan's are; shocks alive at the model's time are in it. TOO_LARGE beyond what a preview may cost.
 */
export async function responseSurface(model: Model, request: SurfaceRequest, kernel: ResponseSurfaceKernel, options: SurfaceOptions): Promise<ResponseSurface> {
  const { input, columns, rows } = surfaceInput(model, request, options);
  const cells = input.columns * input.rows;
  const evaluations = input.worlds * input.steps * cells * input.members;
  if (evaluations > EVALUATIONS_MAX) {
    throw new PopulaceError("TOO_LARGE", `a surface of ${input.columns} x ${input.rows} cells, ${input.worlds} worlds and ${input.members} members takes ${evaluations.toExponential(1)} evaluations, the limit is ${EVALUATIONS_MAX.toExponential(0)}; use a smaller grid`, { evaluations, limit: EVALUATIONS_MAX });
  }
  const [mean, low, high] = [new Float64Array(cells), new Float64Array(cells), new Float64Array(cells)];
  const bandRows = Math.max(1, Math.floor(BAND_CELLS / input.columns));
  for (let first = 0; first < input.rows; first += bandRows) {
    options.signal?.throwIfAborted();
    const band = someRows(input, first, Math.min(input.rows, first + bandRows));
    const rates = await kernel.rates(band);
    for (let cell = 0; cell < band.rows * band.columns; cell += 1) {
      const sorted = rates.slice(cell * input.worlds, (cell + 1) * input.worlds).sort();
      const at = first * input.columns + cell;
      mean[at] = momentsOf(sorted).mean;
      low[at] = Math.min(mean[at], quantileOfSorted(sorted, 0.05));
      high[at] = Math.max(mean[at], quantileOfSorted(sorted, 0.95));
    }
    options.onProgress?.((first + band.rows) * input.columns, cells);
    // A turn of the event loop: an interruption is heard between bands.
    if (options.signal !== undefined) await new Promise((resolve) => { setImmediate(resolve); });
  }
  const persona = request.persona === null ? null : model.mixture.personas[request.persona];
  return {
    persona: persona === null ? null : persona.id, stimulus: model.response.stimuli[request.stimulus].id, step: model.response.steps[request.step].name,
    columns, rows, mean, low, high,
    // A persona promoted from a cluster was in no fit.
    label: model.evidence === "prior only" || persona?.lineage.event === "emerge" ? "prior only" : "simulated only",
    evidence: model.evidence, worlds: input.worlds, members: input.members,
  };
}

function someRows(input: SurfaceInput, from: number, to: number): SurfaceInput {
  const lines = input.worlds * input.steps, count = to - from;
  const row = new Float64Array(lines * count);
  for (let line = 0; line < lines; line += 1) row.set(input.row.subarray(line * input.rows + from, line * input.rows + to), line * count);
  return { ...input, rows: count, row, rowValue: input.rowValue.subarray(from, to) };
}
