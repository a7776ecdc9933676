import { dirname, extname, join } from "node:path";
import { InvalidArgumentError } from "commander";
import { PopulaceError } from "@populace/domain";
import type { EvidenceLabel } from "@populace/domain";
import type { Model, SurfaceAxis } from "@populace/studies";
import type { CommandDefinition } from "../command.ts";
import { count, duration, evidence, paint, plain, rateText, table } from "../output.ts";

interface SurfaceOptions {
  readonly model: string;
  readonly persona?: string;
  readonly stimulus?: string;
  readonly step?: string;
  readonly trait?: string;
  readonly trait2?: string;
  readonly feature?: string;
  readonly grid?: Grid;
  readonly backend: string;
  readonly out?: string;
}

interface Grid {
  readonly columns: number;
  readonly rows: number;
}

/** What --json prints. */
export interface SurfaceDocument {
  /** Id, or "*" for the whole population, personas by their shares. */
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  /** Values as the data hold them, ascending (levels as 0, 1, ...); what stands now, where there is such a thing. */
  readonly columns: SurfaceAxis;
  readonly rows: SurfaceAxis;
  /** Rates per exposure, 0 to 1, one list a row: mean over the worlds, and the ends of the 90 % interval. */
  readonly mean: readonly (readonly number[])[];
  readonly low: readonly (readonly number[])[];
  readonly high: readonly (readonly number[])[];
  readonly label: EvidenceLabel;
  /** How the stimuli were assigned in the data behind the model; "observational" warns of differences between people. */
  readonly evidence: Model["evidence"];
  readonly worlds: number;
  /** People over whose other traits the rates are averaged. */
  readonly members: number;
  /** What computed it, on what, and why that. */
  readonly backend: string;
  readonly device: string;
  readonly reason: string;
  readonly seconds: number;
  /** The page or drawing that was written. */
  readonly out: string;
}

const GRID: Grid = { columns: 41, rows: 41 };
const GRID_MAX = 401;
/** Columns and rows of the table on the terminal, at most. */
const TABLE = { columns: 4, rows: 6 } as const;

/** Parser of "41x41" (columns x rows). */
function grid(text: string): Grid {
  const [columns, rows] = (/^(\d{1,3})x(\d{1,3})$/.exec(text) ?? []).slice(1).map(Number);
  if (columns === undefined || rows === undefined || columns < 1 || rows < 1 || columns > GRID_MAX || rows > GRID_MAX) throw new InvalidArgumentError(`Expected columns x rows such as 41x41, each 1 to ${GRID_MAX}.`);
  return { columns, rows };
}

export const surfaceCommand: CommandDefinition<SurfaceOptions> = {
  name: "surface",
  summary: "map a response rate over a trait and a price, or two traits",
  examples: [
    "populace surface --model model.json",
    "populace surface --model model.json --persona p1 --stimulus discount-20 --step purchase --trait recency --feature price",
    "populace surface --model model.json --trait age --trait2 region --grid 61x1 --out age-region.svg",
  ],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--persona <name>", "id or name (default: the whole population)")
    .option("--stimulus <name>", "id or name (default: the one with the highest rate)")
    .option("--step <name>", "funnel step (default: the last)")
    .option("--trait <name>", "what runs across (default: the one that moves the rate most)")
    .option("--feature <name>", "what runs up: price, or another number of the stimuli (default: the price, where it moves the rate by a tenth)")
    .option("--trait2 <name>", "what runs up: a second trait (default without a price: the one that moves the rate second most)")
    .option("--grid <columns x rows>", "values of each numeric axis (default: 41x41)", grid)
    .option("--backend <name>", "auto, wasm, gpu-js or reference; they agree within 1e-5 of a rate", "auto")
    .option("--out <file>", "where to write the page; .svg writes the drawing alone (default: surface.html beside the model)"),
  async run(context, options) {
    const { chooseBackend } = await import("@populace/kernels");
    const { readModel, responseSurface, surfaceRequest } = await import("@populace/studies");
    const { writeFileAtomic } = await import("@populace/io");
    const { reportSurface, surfaceNames } = await import("../report/from-surface.ts");
    const { warningsOf } = await import("../report/from-run.ts");
    const { standaloneSvg, surfacePage } = await import("../report/page.ts");
    const { spread, surfaceFigure } = await import("../report/surface-figure.ts");
    const model = readModel(options.model);
    const { trait2, feature, persona, stimulus, step, trait } = options;
    if (trait2 !== undefined && feature !== undefined) throw new PopulaceError("BAD_USAGE", "a surface has two axes: name --feature or --trait2, not both");
    const names = surfaceNames(model, Object.fromEntries(Object.entries({ persona, stimulus, step, trait, trait2, feature }).filter(([, value]) => value !== undefined)));
    if (names === null) throw new PopulaceError("DEGENERATE_DATA", `model ${model.name} knows no two quantities that move this rate; name them, --trait and --trait2 or --feature, to see a flat map`);
    const request = surfaceRequest(model, names);
    const { backend, reason } = await chooseBackend(options.backend, "responseSurface");
    const bar = context.progress("mapping", "cells");
    const startedMs = performance.now();
    const surface = await responseSurface(model, request, backend.kernels.responseSurface, {
      ...(options.grid ?? GRID), ...(context.seed === null ? {} : { seed: context.seed }), signal: context.signal, onProgress: (cells, total) => bar.update(cells, total),
    }).finally(() => bar.stop());
    const seconds = (performance.now() - startedMs) / 1000;

    const shown = reportSurface(model, surface);
    const out = options.out ?? join(dirname(options.model), "surface.html");
    const made = `${shown.columns.labels.length} x ${shown.rows.labels.length} cells, ${surface.worlds} worlds, ${surface.members} people`;
    writeFileAtomic(out, extname(out) === ".svg" ? standaloneSvg((await surfaceFigure(shown)).svg) : await surfacePage({
      title: `${shown.step} over ${shown.columns.title} and ${shown.rows.title}`, subtitle: `${model.name}, version ${model.version}: ${shown.stimulus}, ${shown.persona}`, warnings: warningsOf(model),
      provenance: [["model", `${model.name}, version ${model.version}, ${model.evidence}`], ["surface", made], ["computed by", `${backend.name} (${backend.device})`]],
    }, shown));

    const width = shown.columns.labels.length;
    const table2 = <T>(values: ArrayLike<T>): T[][] => Array.from({ length: shown.rows.labels.length }, (_, row) => Array.from({ length: width }, (__, column) => values[row * width + column]));
    const [columns, rows] = [spread(width, TABLE.columns), spread(shown.rows.labels.length, TABLE.rows).toReversed()];
    const document: SurfaceDocument = {
      persona: surface.persona ?? "*", stimulus: surface.stimulus, step: surface.step, columns: surface.columns, rows: surface.rows,
      mean: table2(surface.mean), low: table2(surface.low), high: table2(surface.high), label: surface.label, evidence: surface.evidence, worlds: surface.worlds, members: surface.members,
      backend: backend.name, device: backend.device, reason, seconds, out,
    };
    return {
      json: { ...document },
      lines: [
        `${paint("bold", plain(shown.step))} with ${plain(shown.stimulus)}, ${plain(shown.persona)}; ${evidence(surface.label)}${surface.evidence === "observational" ? `, ${paint("yellow", "observational")}` : ""}; rate [90 % interval]`,
        `across: ${plain(shown.columns.title)}`, "",
        ...table(
          [{ title: plain(shown.rows.title) }, ...columns.map((column) => ({ title: plain(shown.columns.labels[column]), align: "right" as const }))],
          rows.map((row) => [plain(shown.rows.labels[row]), ...columns.map((column) => rateText({ mean: surface.mean[row * width + column], low: surface.low[row * width + column], high: surface.high[row * width + column] }))]),
        ), "",
        `${made} in ${duration(seconds)} on ${backend.name} (${backend.device})`,
        `map of all ${count(surface.mean.length)} rates in ${paint("bold", out)}; --json prints them`,
      ],
    };
  },
};
