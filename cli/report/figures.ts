import { FAINT, HUES, INK, PAPER, chart } from "./chart.ts";
import { principalComponents } from "./principal-components.ts";
import type { ReportCalibration, ReportData, ReportPersona, ReportPosterior, ReportRate, ReportRegret, ReportShock, ReportTornado } from "./report.ts";

/** A drawn figure: what to see in one sentence, then the picture. */
export interface Figure {
  readonly title: string;
  readonly see: string;
  readonly svg: string;
  /** Needs the whole width of the page. */
  readonly wide?: boolean;
}

const percentAxis = { format: ".1~%", tickCount: 5 } as const;
/** A rate as per cent with three significant digits. */
export const perCent = (rate: number): string => `${(rate * 100).toFixed(rate >= 0.0995 ? 1 : rate >= 0.00995 ? 2 : 3)}\u00a0%`;
const money = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: value >= 100 ? 0 : 2 });
const unique = (values: readonly string[]): readonly string[] => [...new Set(values)];

/** Personas on the first two principal components of their trait means; the area of a bubble is the share. */
export async function personaMap(personas: readonly ReportPersona[]): Promise<Figure> {
  const { coordinates, explained } = principalComponents(personas.map((persona) => persona.profile.map((trait) => trait.score)), personas.map((persona) => persona.share));
  const values = personas.map((persona, index) => ({ name: persona.name, share: persona.share, text: `${(persona.share * 100).toFixed(0)} %`, x: coordinates[index][0], y: coordinates[index][1] }));
  const reach = (axis: "x" | "y"): [number, number] => {
    const all = values.map((value) => value[axis]);
    const margin = Math.max(0.4, (Math.max(...all) - Math.min(...all)) * 0.22);
    return [Math.min(...all) - margin, Math.max(...all) + margin];
  };
  const position = {
    x: { field: "x", type: "quantitative", scale: { domain: reach("x"), nice: false }, axis: { title: `first component (${(explained[0] * 100).toFixed(0)} % of the differences)`, labels: false, ticks: false, grid: true } },
    y: { field: "y", type: "quantitative", scale: { domain: reach("y"), nice: false }, axis: { title: `second component (${(explained[1] * 100).toFixed(0)} %)`, labels: false, ticks: false, grid: true } },
  } as const;
  const largest = values.reduce((best, value) => (value.share > best.share ? value : best));
  return {
    title: "Persona map",
    see: `${personas.length} ${personas.length === 1 ? "persona" : "personas"}: near ones are alike, a bubble's area is its share; ${largest.name} is the largest with ${(largest.share * 100).toFixed(0)} % of the population.`,
    svg: await chart("map", "Personas on two principal components of their trait means", {
      width: 480, height: 330, data: { values },
      layer: [
        { mark: { type: "circle", opacity: 0.75 }, encoding: { ...position, size: { field: "share", type: "quantitative", scale: { type: "linear", domain: [0, Math.max(0.3, largest.share)], range: [0, 3200] }, legend: null }, color: { field: "name", type: "nominal", legend: null } } },
        { mark: { type: "text", fontWeight: 600, dy: -4, limit: 330 }, encoding: { ...position, text: { field: "name" }, color: { value: INK } } },
        { mark: { type: "text", dy: 11, fontSize: 11 }, encoding: { ...position, text: { field: "text" }, color: { value: INK } } },
      ],
    } as never),
  };
}

/** How far each persona's mean lies from the population's, trait by trait. */
export async function traitProfile(personas: readonly ReportPersona[]): Promise<Figure> {
  const values = personas.flatMap((persona) => persona.profile.map((trait) => ({
    persona: persona.name, trait: trait.name, score: Math.max(-2, Math.min(2, trait.score)), text: trait.text, strong: Math.abs(trait.score) > 1.1,
  })));
  const extreme = personas.flatMap((persona) => persona.profile.map((trait) => ({ persona: persona.name, ...trait }))).reduce((best, trait) => (Math.abs(trait.score) > Math.abs(best.score) ? trait : best));
  const traits = unique(values.map((value) => value.trait));
  const cell = {
    x: { field: "persona", type: "nominal", sort: personas.map((persona) => persona.name), axis: { title: null, orient: "top", labelAngle: personas.some((persona) => persona.name.length > 12) || personas.length > 5 ? -30 : 0, domain: false, ticks: false } },
    y: { field: "trait", type: "nominal", sort: traits, axis: { title: null, domain: false, ticks: false } },
  } as const;
  return {
    title: "Trait profile",
    wide: personas.length > 5,
    see: `Orange lies above and blue below the whole population's mean (in standard deviations); the strongest mark is ${extreme.name} of ${extreme.persona} (${extreme.text}).`,
    svg: await chart("profile", "Mean of each trait in each persona", {
      width: { step: Math.max(personas.length > 5 ? 84 : 70, Math.min(120, 430 / personas.length)) }, height: { step: 26 }, data: { values },
      layer: [
        { mark: { type: "rect", stroke: PAPER, strokeWidth: 2 }, encoding: { ...cell, color: { field: "score", type: "quantitative", scale: { domain: [-2, 0, 2], range: ["#2b6cb8", "#e9e6df", "#d9701a"], interpolate: "rgb" }, legend: { title: "sd from mean", gradientLength: 90 } } } },
        { mark: { type: "text", fontSize: 11 }, encoding: { ...cell, text: { field: "text" }, color: { condition: { test: "datum.strong", value: "#ffffff" }, value: "#1c1c1c" } } },
      ],
    } as never),
  };
}

const ratesOf = (data: ReportData, step: string): readonly ReportRate[] => data.rates.filter((rate) => rate.step === step);

/** Stimuli across and personas down, the other way round where there are many stimuli: names then have room. */
function axes(rates: readonly ReportRate[]): { readonly across: "stimulus" | "persona"; readonly down: "stimulus" | "persona"; readonly columns: readonly string[]; readonly rows: readonly string[] } {
  const [stimuli, personas] = [unique(rates.map((rate) => rate.stimulus)), unique(rates.map((rate) => rate.persona))];
  return stimuli.length > 7 && stimuli.length > personas.length
    ? { across: "persona", down: "stimulus", columns: personas, rows: stimuli }
    : { across: "stimulus", down: "persona", columns: stimuli, rows: personas };
}

/** Mean rate of every persona and stimulus at one step, as colors with the numbers in them. */
export async function rateHeatmap(data: ReportData, step: string): Promise<Figure> {
  const rates = ratesOf(data, step);
  const top = Math.max(...rates.map((rate) => rate.mean), 1e-9);
  const values = rates.map((rate) => ({ ...rate, text: perCent(rate.mean), interval: `${perCent(rate.low)} to ${perCent(rate.high)}`, dark: rate.mean > top * 0.55 }));
  const best = rates.reduce((so, rate) => (rate.mean > so.mean ? rate : so));
  const { across, down, columns, rows } = axes(rates);
  const cell = {
    x: { field: across, type: "nominal", sort: columns, axis: { title: null, orient: "top", labelAngle: columns.some((name) => name.length > 15) || columns.length > 5 ? -30 : 0, domain: false, ticks: false } },
    y: { field: down, type: "nominal", sort: rows, axis: { title: null, domain: false, ticks: false } },
  } as const;
  const ink = { condition: { test: "datum.dark", value: "#ffffff" }, value: "#14212e" } as const;
  return {
    title: `Response rates: ${step}`,
    see: `The highest rate of “${step}” is ${perCent(best.mean)} (90 % interval ${perCent(best.low)} to ${perCent(best.high)}), ${best.persona} with ${best.stimulus}; evidence: ${unique(rates.map((rate) => rate.label)).join(", ")}.`,
    wide: columns.length > 5,
    svg: await chart(`heat-${data.steps.indexOf(step)}`, `Rate of ${step} for each persona and stimulus`, {
      width: { step: Math.max(100, Math.min(150, 430 / columns.length)) }, height: { step: rows.length > 12 ? 34 : 44 }, data: { values },
      layer: [
        { mark: { type: "rect", stroke: PAPER, strokeWidth: 2 }, encoding: { ...cell, color: { field: "mean", type: "quantitative", scale: { domain: [0, top], range: ["#e8f1fa", "#1b5e9f"] }, legend: null } } },
        { mark: { type: "text", fontSize: 13, fontWeight: 600, dy: -7 }, encoding: { ...cell, text: { field: "text" }, color: ink } },
        { mark: { type: "text", fontSize: 10.5, dy: 9 }, encoding: { ...cell, text: { field: "interval" }, color: ink } },
      ],
    } as never),
  };
}

/** The same rates as dots with 90 % intervals: overlaps are seen at a glance. */
export async function rateIntervals(data: ReportData, step: string): Promise<Figure> {
  const rates = ratesOf(data, step);
  const { across, down, columns, rows } = axes(rates);
  const y = { field: down, type: "nominal", sort: rows, axis: { title: null, ticks: false, grid: true, domain: false } } as const;
  const offset = { yOffset: { field: across, type: "nominal", sort: columns } } as const;
  const color = { field: across, type: "nominal", sort: columns, legend: { title: null, orient: "top", symbolType: "circle", columns: 3 } } as const;
  const widest = rates.reduce((so, rate) => (rate.high - rate.low > so.high - so.low ? rate : so));
  return {
    title: `Rates with intervals: ${step}`,
    see: `Dots are means, bars 90 % intervals: where bars overlap the data do not separate the stimuli yet; the least is known about ${widest.persona} with ${widest.stimulus}.`,
    svg: await chart(`dots-${data.steps.indexOf(step)}`, `Rate of ${step} with 90 % intervals`, {
      width: 400, height: { step: 13, for: "offset" }, data: { values: [...rates] },
      layer: [
        { mark: { type: "rule", strokeWidth: 2.5, opacity: 0.65 }, encoding: { y, ...offset, x: { field: "low", type: "quantitative", axis: { title: `rate of ${step}`, ...percentAxis } }, x2: { field: "high" }, color } },
        { mark: { type: "point", filled: true, size: 55, opacity: 1 }, encoding: { y, ...offset, x: { field: "mean", type: "quantitative" }, color } },
      ],
    } as never),
  };
}

/** Predicted against observed with predictive intervals, one panel a funnel step; the diagonal is perfection. */
export async function calibrationPlot(calibration: ReportCalibration): Promise<Figure> {
  const cells = calibration.cells.map((cell) => ({ ...cell, inside: cell.observed >= cell.low && cell.observed <= cell.high ? "inside its interval" : "outside" }));
  const steps = unique(cells.map((cell) => cell.step));
  const axis = { format: ".2~%", tickCount: 5 } as const;
  const panels = steps.map((step) => {
    const values = cells.filter((cell) => cell.step === step);
    const positive = [...values.map((value) => value.observed), ...values.map((value) => value.predicted)].filter((value) => value > 0);
    const [low, high] = [Math.max(1e-4, Math.min(...positive) / 1.6), Math.min(1, Math.max(...positive) * 1.5)];
    const shown = values.map((value) => ({ ...value, low: Math.max(low, value.low), high: Math.min(high, value.high), observed: Math.max(low, value.observed) }));
    const scale = { type: "log", domain: [low, high], nice: false } as const;
    const y = { field: "observed", type: "quantitative", scale } as const;
    const color = { field: "step", type: "nominal", scale: { domain: steps }, legend: null } as const;
    const inside = values.filter((value) => value.inside !== "outside").length;
    return {
      width: steps.length === 1 ? 380 : 300, height: steps.length === 1 ? 360 : 280, title: { text: `${step}: ${inside} of ${values.length} inside`, color: INK, fontSize: 12, anchor: "start" },
      layer: [
        { data: { values: [{ at: low }, { at: high }] }, mark: { type: "line", stroke: FAINT, strokeDash: [4, 4] }, encoding: { x: { field: "at", type: "quantitative", scale }, y: { field: "at", type: "quantitative", scale } } },
        { data: { values: shown }, mark: { type: "rule", opacity: 0.5, clip: true }, encoding: { y: { ...y, axis: { ...axis, title: calibration.against === "generated truth" ? "true rate" : "observed rate" } }, x: { field: "low", type: "quantitative", scale, axis: { ...axis, title: "predicted rate with its 90 % interval" } }, x2: { field: "high" }, color } },
        { data: { values: shown }, mark: { type: "point", filled: true, size: 50, opacity: 1 }, encoding: { y, x: { field: "predicted", type: "quantitative", scale }, color, shape: { field: "inside", type: "nominal", sort: ["inside its interval", "outside"], scale: { domain: ["inside its interval", "outside"], range: ["circle", "cross"] }, legend: { title: null } } } },
      ],
    };
  });
  const inside = cells.filter((cell) => cell.inside !== "outside").length;
  return {
    title: `Calibration against ${calibration.against}`,
    see: `On the diagonal the prediction is exact; ${inside} of ${cells.length} cells (${(calibration.coverage90 * 100).toFixed(0)} %) lie inside their 90 % intervals, and about 90 % should.`,
    ...(steps.length > 1 ? { wide: true } : {}),
    svg: await chart("calibration", `Predicted rates against ${calibration.against}`, (panels.length === 1 ? panels[0] : { columns: 3, concat: panels }) as never),
  };
}

/** Points of a Beta density with this mean and effective sample size, scaled to a peak of 1 (two curves are then compared by place and width). */
export function betaCurve(mean: number, ess: number, low: number, high: number, points = 160): readonly { readonly rate: number; readonly density: number }[] {
  const bounded = Math.min(1 - 1e-9, Math.max(1e-9, mean));
  const size = Math.max(2, ess);
  const [alpha, beta] = [bounded * size, (1 - bounded) * size];
  const rates = Array.from({ length: points }, (_, index) => low + ((high - low) * (index + 0.5)) / points);
  const logs = rates.map((rate) => (alpha - 1) * Math.log(rate) + (beta - 1) * Math.log1p(-rate));
  const peak = Math.max(...logs);
  return rates.map((rate, index) => ({ rate, density: Math.exp(logs[index] - peak) }));
}

/** The belief about a few cells before and after the outcomes arrived. */
export async function posteriorCurves(posteriors: readonly ReportPosterior[]): Promise<Figure> {
  const spread = (side: { readonly mean: number; readonly ess: number }): number => Math.sqrt((side.mean * (1 - side.mean)) / Math.max(3, side.ess + 1));
  const panels = posteriors.slice(0, 4).map((posterior) => {
    const sides = [posterior.before, posterior.after];
    const low = Math.max(1e-6, Math.min(...sides.map((side) => side.mean - 3.5 * spread(side)), (posterior.observed ?? 1) * 0.97));
    const high = Math.min(1 - 1e-6, Math.max(...sides.map((side) => side.mean + 3.5 * spread(side)), (posterior.observed ?? 0) * 1.03));
    const values = (["before", "after"] as const).flatMap((when) => betaCurve(posterior[when].mean, posterior[when].ess, low, high).map((point) => ({ when, ...point })));
    const color = { field: "when", type: "nominal", scale: { domain: ["before", "after"], range: [HUES[0], HUES[1]] }, legend: { title: null, orient: "top" } } as const;
    const x = { field: "rate", type: "quantitative", scale: { domain: [low, high], nice: false }, axis: { title: "rate", ...percentAxis } } as const;
    return {
      width: 225, height: 140, title: { text: posterior.cell.split(", ").length > 2 ? [posterior.cell.slice(0, posterior.cell.lastIndexOf(", ", posterior.cell.lastIndexOf(", ") - 1)), posterior.cell.slice(posterior.cell.lastIndexOf(", ", posterior.cell.lastIndexOf(", ") - 1) + 2)] : posterior.cell, color: INK, fontSize: 12, anchor: "start", limit: 330 },
      layer: [
        { data: { values }, mark: { type: "area", opacity: 0.3, line: true }, encoding: { x, y: { field: "density", type: "quantitative", stack: null, axis: null }, color } },
        ...(posterior.observed === null ? [] : [{ data: { values: [{ rate: posterior.observed }] }, mark: { type: "rule", stroke: INK, strokeDash: [3, 3], strokeWidth: 1.5 }, encoding: { x } }]),
      ],
    };
  });
  const moved = posteriors.reduce((best, posterior) => (Math.abs(posterior.after.mean - posterior.before.mean) > Math.abs(best.after.mean - best.before.mean) ? posterior : best));
  return {
    title: "Posterior before and after real outcomes",
    see: `The dashed line is what was observed; ${moved.cell} moved from ${perCent(moved.before.mean)} (${moved.before.label}) to ${perCent(moved.after.mean)} (${moved.after.label}).`,
    svg: await chart("posterior", "Density of the rate before and after real outcomes", { columns: 2, concat: panels } as never),
  };
}

/** Expected loss still suffered as the optimizer spends simulated exposures. */
export async function regretCurve(regret: readonly ReportRegret[]): Promise<Figure> {
  const values = regret.flatMap((policy) => policy.points.map((point) => ({ policy: policy.policy, ...point })));
  const ends = regret.map((policy) => ({ policy: policy.policy, regret: policy.points.at(-1)?.regret ?? 0 })).sort((a, b) => a.regret - b.regret);
  const hasBand = values.some((point) => point.low !== undefined);
  const x = { field: "pulls", type: "quantitative", axis: { title: "simulated exposures", format: "~s", tickCount: 6 } } as const;
  const y = (field: "regret" | "low") => ({ field, type: "quantitative", axis: { title: `cumulative regret (${regret[0].unit})`, tickCount: 5, format: "~s" } }) as const;
  const color = { field: "policy", type: "nominal", sort: regret.map(({ policy }) => policy), legend: { title: null, orient: "top", symbolOpacity: 1 } } as const;
  return {
    title: "Regret of the search for the best stimulus",
    see: `A flat line has stopped losing; after its last exposure ${ends[0].policy} has lost ${money(ends[0].regret)} ${regret[0].unit} in all against knowing the best stimulus${ends.length > 1 ? `, ${ends.at(-1)!.policy} ${money(ends.at(-1)!.regret)}` : ""}.${hasBand ? " Bands hold 90 % of the replicates." : ""}`,
    svg: await chart("regret", "Cumulative regret by policy", {
      width: 470, height: 240, data: { values },
      layer: [
        ...(hasBand ? [{ mark: { type: "area", opacity: 0.18 }, encoding: { x, y: y("low"), y2: { field: "high" }, color } }] : []),
        { mark: { type: "line", strokeWidth: 2.2 }, encoding: { x, y: y("regret"), color } },
      ],
    } as never),
  };
}

/** What the rate becomes when one trait moves and the others stay. */
export async function tornadoPlot(tornado: ReportTornado): Promise<Figure> {
  const bars = [...tornado.bars].sort((a, b) => Math.abs(b.high - b.low) - Math.abs(a.high - a.low)).slice(0, 12);
  const values = bars.flatMap((bar) => [
    { trait: bar.trait, side: "less of it", from: tornado.base, to: bar.low },
    { trait: bar.trait, side: "more of it", from: tornado.base, to: bar.high },
  ]);
  const first = bars[0];
  return {
    title: "Which traits matter",
    see: `The rate of “${tornado.step}” with ${tornado.stimulus} starts at ${perCent(tornado.base)}; ${first.trait} moves it most, from ${perCent(first.low)} to ${perCent(first.high)} (one standard deviation down and up, or absent and present; posterior mean).`,
    svg: await chart("tornado", `Effect of each trait on the rate of ${tornado.step}`, {
      width: 380, height: { step: 26 },
      layer: [
        { data: { values }, mark: { type: "bar", height: { band: 0.66 } }, encoding: {
          y: { field: "trait", type: "nominal", sort: bars.map((bar) => bar.trait), axis: { title: null, ticks: false, domain: false } },
          x: { field: "from", type: "quantitative", scale: { zero: false }, axis: { title: `rate of ${tornado.step}`, ...percentAxis } }, x2: { field: "to" },
          color: { field: "side", type: "nominal", scale: { domain: ["less of it", "more of it"], range: [HUES[0], HUES[1]] }, legend: { title: null, orient: "top" } } } },
        { data: { values: [{ base: tornado.base }] }, mark: { type: "rule", stroke: INK }, encoding: { x: { field: "base", type: "quantitative" } } },
      ],
    } as never),
  };
}

/** A rate tick by tick with a shock and in the same world without it. */
export async function shockSeries(shock: ReportShock): Promise<Figure> {
  const at = (tick: number, course: string): number => shock.series.find((point) => point.tick === tick && point.course === course)?.rate ?? Number.NaN;
  const [withShock, without] = [at(shock.startTick, "with the shock"), at(shock.startTick, "without it")];
  return {
    title: "A shock, and the same world without it",
    see: `${shock.what} starts at tick ${shock.startTick} and halves every ${shock.halfLifeTicks} ticks: “${shock.step}” with ${shock.stimulus} is ${perCent(withShock)} there instead of ${perCent(without)}.`,
    svg: await chart("shock", "Rate over ticks with and without the shock", {
      width: 470, height: 240,
      layer: [
        { data: { values: [...shock.series] }, mark: { type: "line", strokeWidth: 2.2, point: { size: 26 } }, encoding: {
          x: { field: "tick", type: "quantitative", axis: { title: "tick", tickMinStep: 1, format: "d" } },
          y: { field: "rate", type: "quantitative", scale: { zero: false }, axis: { title: `rate of ${shock.step}`, ...percentAxis } },
          color: { field: "course", type: "nominal", scale: { domain: ["with the shock", "without it"], range: [HUES[1], HUES[0]] }, legend: { title: null, orient: "top" } } } },
        { data: { values: [{ tick: shock.startTick }] }, mark: { type: "rule", stroke: FAINT, strokeDash: [4, 4] }, encoding: { x: { field: "tick", type: "quantitative" } } },
      ],
    } as never),
  };
}

