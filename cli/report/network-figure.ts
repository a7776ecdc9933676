import { thousands } from "@populace/domain";
import type { CampaignNetwork, CampaignVariable, PersonaExplanation } from "@populace/studies";
import { FAINT, HUES, INK, chart } from "./chart.ts";
import { perCent } from "./figures.ts";
import type { Figure } from "./figures.ts";
import { networkPage } from "./page.ts";
import { OBSERVATIONAL } from "./wording.ts";

/** Pixels of a box, and between rows and columns of boxes. */
const BOX = { height: 34, letter: 7.6, padding: 26 } as const;
const GAP = { x: 22, y: 62 } as const, MARGIN = 14;
/** Sweeps that move boxes towards those they are joined to. */
const SWEEPS = 12;

const ROLE_HUES: Readonly<Record<CampaignVariable["role"], string>> = { attribute: HUES[0], persona: HUES[3], stimulus: HUES[1], "stimulus part": HUES[1], step: HUES[2] };

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;");

/** A variable in its layer, or the place where a longer arc passes one (`v` < 0). */
interface Place {
  readonly v: number;
  readonly width: number;
  x: number;
}

/**
 * The arcs of a network as inline SVG: parents above children, colors by role. Layers by the longest path, places within them by the mean
 * of those they are joined to (Sugiyama, Tagawa and Toda 1981).
 */
export function networkDrawing(variables: readonly Pick<CampaignVariable, "name" | "role">[], parents: readonly (readonly number[])[]): string {
  const layerOf = layersOf(parents);
  const layers: Place[][] = Array.from({ length: Math.max(...layerOf) + 1 }, () => []);
  const own = variables.map(({ name }, v) => {
    const place: Place = { v, width: name.length * BOX.letter + BOX.padding, x: 0 };
    layers[layerOf[v]].push(place);
    return place;
  });
  // Every arc as the places it passes, one a layer.
  const arcs = parents.flatMap((of, child) => of.map((parent) => {
    const path = [own[parent]];
    for (let layer = layerOf[parent] + 1; layer < layerOf[child]; layer++) {
      const passing: Place = { v: -1, width: 14, x: 0 };
      layers[layer].push(passing);
      path.push(passing);
    }
    return [...path, own[child]];
  }));
  arrange(layers, arcs);
  const left = Math.min(...layers.flat().map(({ x, width }) => x - width / 2)), right = Math.max(...layers.flat().map(({ x, width }) => x + width / 2));
  const [width, height] = [right - left + 2 * MARGIN, layers.length * BOX.height + (layers.length - 1) * GAP.y + 2 * MARGIN];
  const xOf = (place: Place): number => place.x - left + MARGIN;
  const topOf = (layer: number): number => MARGIN + layer * (BOX.height + GAP.y);
  const drawnArcs = arcs.map((path) => {
    const first = layerOf[path[0].v];
    let drawn = `M${round(xOf(path[0]))} ${topOf(first) + BOX.height}`;
    path.slice(1).forEach((place, step) => {
      const isEnd = place.v >= 0;
      const [from, to] = [topOf(first + step) + BOX.height, topOf(first + step + 1) - (isEnd ? 7 : 0)];
      const middle = (from + to) / 2;
      drawn += `C${round(xOf(path[step]))} ${middle} ${round(xOf(place))} ${middle} ${round(xOf(place))} ${to}`;
      if (!isEnd) drawn += `V${to + BOX.height}`;
    });
    return `<path d="${drawn}" fill="none" stroke="var(--faint)" stroke-width="1.4" marker-end="url(#network-arrow)"/>`;
  });
  const boxes = own.map((place, v) => {
    const { name, role } = variables[v], x = xOf(place), y = topOf(layerOf[v]);
    return `<rect x="${round(x - place.width / 2)}" y="${y}" width="${round(place.width)}" height="${BOX.height}" rx="8" fill="var(--paper)" stroke="${ROLE_HUES[role]}" stroke-width="2"/><text x="${round(x)}" y="${y + BOX.height / 2 + 4.5}" text-anchor="middle" font-size="13" fill="var(--ink)">${escaped(name)}</text>`;
  });
  return `<svg role="img" aria-labelledby="network-title" width="${Math.ceil(width)}" height="${Math.ceil(height)}" viewBox="0 0 ${Math.ceil(width)} ${Math.ceil(height)}" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"><title id="network-title">Arcs of the network, parents above children</title><defs><marker id="network-arrow" viewBox="0 0 10 10" refX="3" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="var(--faint)"/></marker></defs>${drawnArcs.join("")}${boxes.join("")}</svg>`;
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** Length of the longest path that leads to each variable; those without parents stand right above their first child. */
function layersOf(parents: readonly (readonly number[])[]): number[] {
  const layers = parents.map(() => -1);
  const layer = (v: number): number => (layers[v] >= 0 ? layers[v] : (layers[v] = parents[v].reduce((deepest, parent) => Math.max(deepest, layer(parent) + 1), 0)));
  parents.forEach((_, v) => layer(v));
  parents.forEach((of, v) => {
    const children = parents.flatMap((each, child) => (each.includes(v) ? [layers[child]] : []));
    if (of.length === 0 && children.length > 0) layers[v] = Math.min(...children) - 1;
  });
  return layers;
}

/** Orders the places of each layer and sets their x, so that arcs are short and no two boxes meet. Changes both. */
function arrange(layers: Place[][], arcs: readonly (readonly Place[])[]): void {
  const above = new Map<Place, Place[]>(), below = new Map<Place, Place[]>();
  for (const path of arcs) for (let step = 1; step < path.length; step++) {
    above.set(path[step], [...(above.get(path[step]) ?? []), path[step - 1]]);
    below.set(path[step - 1], [...(below.get(path[step - 1]) ?? []), path[step]]);
  }
  const spread = (layer: readonly Place[]): void => {
    // Side by side around their common center, each as near to where it wants to be as its left neighbor lets it.
    const wanted = layer.map(({ x }) => x);
    let edge = -Infinity;
    layer.forEach((place) => {
      place.x = Math.max(place.x, edge + place.width / 2);
      edge = place.x + place.width / 2 + GAP.x;
    });
    const shift = layer.reduce((sum, { x }, at) => sum + x - wanted[at], 0) / Math.max(1, layer.length);
    for (const place of layer) place.x -= shift;
  };
  for (const layer of layers) {
    layer.forEach((place, at) => { place.x = at; });
    spread(layer);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers : layers.toReversed()) {
      for (const place of layer) {
        const joined = (isDown ? above : below).get(place) ?? [];
        if (joined.length > 0) place.x = joined.reduce((sum, { x }) => sum + x, 0) / joined.length;
      }
      layer.sort((a, b) => a.x - b.x);
      spread(layer);
    }
  }
}

/** A page that says why a persona answers as it does: what pulls its rate away from everyone's, and the network behind it. */
export async function explanationPage(campaign: CampaignNetwork, found: PersonaExplanation, name: string, evidence: Readonly<Record<string, string>>): Promise<string> {
  const { network } = campaign.learned;
  const given = Object.entries(evidence).map(([variable, state]) => `${variable} ${state}`).join(", ");
  const interval = ({ interval: range }: PersonaExplanation["inPersona"]): string => (range === null ? "" : `${perCent(range.low)} to ${perCent(range.high)}`);
  return networkPage({
    title: `${name}: why “${found.step}”`, subtitle: `${network.name}: a network of ${network.variables.length} variables learned from ${thousands(campaign.learning.rows)} rows${given === "" ? "" : `; given ${given}`}`,
    warnings: campaign.evidence === "observational" ? [OBSERVATIONAL] : [],
    tiles: [
      { label: `${found.step}, this persona`, value: perCent(found.inPersona.mean), note: interval(found.inPersona) },
      { label: `${found.step}, everyone`, value: perCent(found.ofAll.mean), note: interval(found.ofAll) },
    ],
    provenance: [
      ["network", `${network.name}, score ${campaign.learning.score} ${campaign.learning.scoreValue.toFixed(1)}, ${campaign.learning.search}`], ["rows", `${thousands(campaign.learning.rows)}, ${thousands(campaign.learning.completeRows)} of them complete`],
      ["intervals", "90 %, over draws of the tables; which arcs there are is taken as found"], ...campaign.notes.map((note): [string, string] => ["note", note]),
    ],
  }, [await pullFigure(found), await statesFigure(found), networkFigure(campaign)]);
}

/** Bars drawn, at most. */
const BARS_MAX = 12, STATES_MAX = 16;
/** A twentieth of a point of the rate: what moves it less is not drawn. */
const MOVE_MIN = 5e-4;

async function pullFigure({ step, influences }: PersonaExplanation): Promise<Figure> {
  const bars = influences.filter(({ pull }) => Math.abs(pull.mean) > MOVE_MIN).toSorted((a, b) => Math.abs(b.pull.mean) - Math.abs(a.pull.mean)).slice(0, BARS_MAX);
  const values = bars.map(({ variable, pull }) => ({ variable, mean: pull.mean * 100, low: (pull.interval?.low ?? pull.mean) * 100, high: (pull.interval?.high ?? pull.mean) * 100 }));
  const x = { type: "quantitative", axis: { title: `points of the rate of ${step}`, tickCount: 6 } } as const, y = { field: "variable", type: "nominal", sort: values.map(({ variable }) => variable), axis: { title: null, ticks: false, domain: false } } as const;
  return {
    title: "What sets the persona apart",
    see: bars.length === 0 ? "Nothing in this persona's mix of attributes pulls its rate away from everyone's." : `How far this persona's mix of each attribute alone would move everyone's rate, with 90 % intervals; ${bars[0].variable} pulls most. Attributes overlap, so the bars do not add up.`,
    svg: await chart("pull", `Pull of each attribute on the rate of ${step}`, {
      width: 380, height: { step: 30 }, data: { values },
      layer: [
        { mark: { type: "bar", height: { band: 0.55 }, color: HUES[0] }, encoding: { y, x: { ...x, field: "mean" } } },
        { mark: { type: "rule", color: INK, strokeWidth: 1.5 }, encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" } } },
        { data: { values: [{ zero: 0 }] }, mark: { type: "rule", color: FAINT }, encoding: { x: { ...x, field: "zero" } } },
      ],
    } as never),
  };
}

/** The rates inside the persona over the states of what moves it: the stimulus, and attributes that the network joins to the step. */
async function statesFigure({ step, influences, inPersona }: PersonaExplanation): Promise<Figure> {
  const moving = influences.filter(({ within }) => within > MOVE_MIN).toSorted((a, b) => b.within - a.within);
  const values = moving.flatMap(({ variable, states }) => states.filter(({ shareInPersona }) => shareInPersona > 0).map(({ state, rateInPersona: { mean, interval } }) => ({ label: `${variable}: ${state}`, mean: mean * 100, low: (interval?.low ?? mean) * 100, high: (interval?.high ?? mean) * 100 }))).slice(0, STATES_MAX);
  const x = { type: "quantitative", scale: { zero: false }, axis: { title: `rate of ${step}, %`, tickCount: 6 } } as const, y = { field: "label", type: "nominal", sort: values.map(({ label }) => label), axis: { title: null, ticks: false, domain: false } } as const;
  return {
    title: "What moves it",
    see: moving.length === 0 ? "Inside the persona the network knows nothing that moves the rate by a twentieth of a point." : `The rate inside this persona for each state of what moves it, with 90 % intervals; the line is the persona's own rate. ${moving[0].variable} moves it most.`,
    svg: await chart("states", `Rate of ${step} inside the persona`, {
      width: 380, height: { step: 30 }, data: { values },
      layer: [
        { data: { values: [{ base: inPersona.mean * 100 }] }, mark: { type: "rule", color: FAINT, strokeDash: [4, 3] }, encoding: { x: { ...x, field: "base" } } },
        { mark: { type: "rule", color: HUES[1], strokeWidth: 2.5 }, encoding: { y, x: { ...x, field: "low" }, x2: { field: "high" } } },
        { mark: { type: "point", filled: true, size: 70, opacity: 1, color: HUES[1] }, encoding: { y, x: { ...x, field: "mean" } } },
      ],
    } as never),
  };
}

function networkFigure({ variables, learned }: CampaignNetwork): Figure {
  const count = learned.network.parents.reduce((sum, parents) => sum + parents.length, 0);
  return {
    title: "The network", wide: true,
    see: `${variables.length} variables and ${count} arcs, parents above children: blue attributes, purple persona, orange stimulus, green steps of the funnel. An arc says that the variable's rates differ by its parent; among attributes it need not be a cause.`,
    svg: networkDrawing(variables, learned.network.parents),
  };
}
