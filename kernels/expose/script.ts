import { type ExposePlan, isHashTick } from "./plan.ts";

/** Kinds of events and their flags, as expose.wgsl names them. */
const EXPOSE = 0, BECOME_AWARE = 1, DIGEST = 2, IS_CONTACT = 4, IS_NEW = 8, PLACE_SHIFT = 4;
/** Stimuli whose trait logits a workgroup keeps (LOGIT_PLACES of expose.wgsl). */
const LOGIT_PLACES = 4;

/** One exposure of a script: which row of counts it fills, and whose counts these are. */
export interface ScriptRow {
  readonly row: number;
  readonly scenario: number;
  readonly cell: number;
}

/** What happens to a persona during a span, in all scenarios. */
export interface Script {
  /** A scenario's events, four words each. */
  readonly events: readonly Uint32Array[];
  /** Exposures of the span, and by tick which; their rows count from 0, scenario by scenario. */
  readonly exposures: number;
  readonly rows: readonly (readonly ScriptRow[])[];
}

/** What scripts need of a plan beside it: the cell of each (scenario, stimulus), -1 where there is none. */
export function cellsOf(plan: ExposePlan): Int32Array {
  const cells = new Int32Array(plan.scenarios.length * plan.stimuli.length).fill(-1);
  plan.cells.forEach(({ scenario, stimulus }, cell) => { cells[scenario * plan.stimuli.length + stimulus] = cell; });
  return cells;
}

/**
 * Writes down what happens to a persona from `tick` on: exposures, becoming aware where `awareThreshold` (one a scenario) is above 0, digests. A
 * stimulus is new where its trait logits are not in the place that it has among LOGIT_PLACES.
 */
export function scriptOf(plan: ExposePlan, cells: Int32Array, persona: number, tick: number, span: number, awareThreshold: (scenario: number) => number): Script {
  const { ordinalsMax, personas, stimuli } = plan;
  const rows: ScriptRow[][] = Array.from({ length: span }, () => []);
  let row = 0;
  const events = plan.scenarios.map(({ schedule }, scenario) => {
    const words: number[] = [], places = new Int32Array(LOGIT_PLACES).fill(-1), placeOf = new Map<number, number>();
    const mayBecomeAware = plan.influence !== null && awareThreshold(scenario) > 0;
    let digests = 0;
    for (let t = tick; t < tick + span; t++) {
      if (mayBecomeAware) words.push(BECOME_AWARE, t, 0, 0);
      for (let ordinal = 0; ordinal < ordinalsMax; ordinal++) {
        const stimulus = schedule[(t * ordinalsMax + ordinal) * personas.length + persona];
        if (stimulus < 0) continue;
        const place = placeOf.get(stimulus) ?? placeOf.size % LOGIT_PLACES;
        placeOf.set(stimulus, place);
        const flags = (stimuli[stimulus].contact ? IS_CONTACT : 0) | (places[place] === stimulus ? 0 : IS_NEW);
        places[place] = stimulus;
        words.push(EXPOSE | flags | (place << PLACE_SHIFT), t, ordinal | (stimulus << 16), row);
        rows[t - tick].push({ row: row++, scenario, cell: cells[scenario * stimuli.length + stimulus] });
      }
      if (isHashTick(plan, t)) words.push(DIGEST, t, 0, digests++);
    }
    return Uint32Array.from(words);
  });
  return { events, exposures: row, rows };
}
