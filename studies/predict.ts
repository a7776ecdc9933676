import { BINARY_CODE, CODES_PER_UNIT, LEAVE, MISSING, RandomStream, foldStep, foldUnseen, missingFill } from "@populace/domain";
import type { Stimulus } from "@populace/domain";
import type { Model } from "./model.ts";

/**
 * Response rates of single recipients for one stimulus, in every world: the same folding the simulation uses, without its
 * integers. A stimulus the model has never seen draws its own effects from their prior, once a world.
 */
export class RatePredictor {
  readonly worlds: number;
  readonly #steps: readonly FoldedWorlds[];
  readonly #model: Model;
  readonly #fill: ReturnType<typeof missingFill>;
  readonly #logit: Float64Array;

  constructor(model: Model, stimulus: Stimulus, seed = 1) {
    this.#model = model;
    this.worlds = model.response.worlds;
    this.#fill = missingFill(model.mixture);
    this.#logit = new Float64Array(this.worlds);
    this.#steps = model.response.stepModels.map(({ step: name }, step) => foldWorlds(model, stimulus, step, RandomStream.of(seed, `unseen ${stimulus.id} ${name === LEAVE ? LEAVE : step}`)));
  }

  /**
   * Writes P(step reached | exposure) of every step and world into `into` (steps x worlds): products of the conditional
   * rates, so a later step never exceeds an earlier one.
   */
  rates(codes: ArrayLike<number>, start: number, persona: number, into: Float64Array): void {
    const worlds = this.worlds;
    for (let step = 0; step < this.#steps.length; step++) {
      this.logits(codes, start, persona, step);
      const logit = this.#logit, base = step * worlds;
      for (let w = 0; w < worlds; w++) {
        const rate = 1 / (1 + Math.exp(-logit[w]));
        into[base + w] = step === 0 ? rate : rate * into[base - worlds + w];
      }
    }
  }

  /** Logit of one step given the step before it, every world; the returned buffer is reused by the next call. */
  logits(codes: ArrayLike<number>, start: number, persona: number, step: number): Float64Array {
    const { codings } = this.#model.mixture;
    const worlds = this.worlds, logit = this.#logit, { bias, slots, levels } = this.#steps[step];
    const offset = persona * worlds;
    for (let w = 0; w < worlds; w++) logit[w] = bias[offset + w];
    for (let t = 0; t < codings.length; t++) {
      const code = codes[start + t];
      if (codings[t].kind === "categorical") {
        const table = levels[t];
        if (table === null) continue;
        if (code !== MISSING) { const at = code * worlds; for (let w = 0; w < worlds; w++) logit[w] += table[at + w]; }
        else (this.#fill(persona, t) as readonly number[]).forEach((share, level) => { for (let w = 0; w < worlds; w++) logit[w] += share * table[level * worlds + w]; });
      } else {
        const slot = slots[t];
        if (slot === null) continue;
        const x = code === MISSING ? (this.#fill(persona, t) as number) : code / (codings[t].kind === "binary" ? BINARY_CODE : CODES_PER_UNIT);
        if (x !== 0) for (let w = 0; w < worlds; w++) logit[w] += x * slot[w];
      }
    }
    return logit;
  }
}

/** Folded coefficients with the worlds innermost; null where a trait has no effect in any world. */
interface FoldedWorlds {
  readonly bias: Float64Array;
  readonly slots: readonly (Float64Array | null)[];
  readonly levels: readonly (Float64Array | null)[];
}

function foldWorlds(model: Model, stimulus: Stimulus, step: number, random: RandomStream): FoldedWorlds {
  const { response, mixture } = model;
  const { worlds } = response, columns = response.terms.length, personas = mixture.personas.length;
  const known = response.stimuli.findIndex((each) => each.id === stimulus.id);
  const bias = new Float64Array(personas * worlds);
  const slots = mixture.codings.map(() => new Float64Array(worlds));
  const levels = mixture.codings.map((coding) => new Float64Array(coding.levels.length * worlds));
  for (let w = 0; w < worlds; w++) {
    const coefficients = response.stepModels[step].draws.subarray(w * columns, (w + 1) * columns);
    const fold = known >= 0 ? foldStep(response, mixture.codings, step, known, coefficients) : foldUnseen(response, mixture.codings, step, stimulus, coefficients, w, random);
    for (let p = 0; p < personas; p++) bias[p * worlds + w] = fold.personaBias[p];
    mixture.codings.forEach((_, t) => {
      slots[t][w] = fold.slotWeight[t];
      fold.levelTable[t].forEach((value, level) => { levels[t][level * worlds + w] = value; });
    });
  }
  const used = (values: Float64Array): Float64Array | null => (values.some((value) => value !== 0) ? values : null);
  return { bias, slots: slots.map(used), levels: levels.map(used) };
}
