/** A plan as the WGSL programs over agents read it: one array of words, and parameters that say where in it things begin. */
import { type ExposePersona, type ExposePlan, LEVEL_SLOT } from "./plan.ts";
import { traitKey } from "./population.ts";
import { binomialTable, normalCdfTable, normalQuantileTable, THIN_BITS } from "./tables.ts";

type Params = Readonly<Record<string, number>>;

/** The words and what plan-params.wgsl, codes.wgsl and expose.wgsl want to know of them. */
export interface PlanOnGpu {
  readonly words: Uint32Array;
  /** Words of an agent's codes. */
  readonly codeWords: number;
  readonly params: Params;
  readonly codesParams: Params;
  readonly exposeParams: Params;
}

/** Packs a plan. One array, because a program of WGSL may have few buffers: eight on the least of devices. */
export function planOnGpu(plan: ExposePlan): PlanOnGpu {
  const { worlds, personas, stimuli, steps, influence } = plan;
  const isFactor = plan.factors > 0, isWide = plan.arithmeticProfile === "nest16-2";
  const words = new Words();
  const columns = columnsOf(plan);
  const numericWords = isFactor ? plan.factors / 4 : columns.numeric.length / (isWide ? 2 : 4);
  const codeWords = numericWords + columns.level.length / 4;
  const isCorrelated = personas.some((persona) => persona.copula.length > 0);
  const binomials: number[] = [];
  for (let bits: number = THIN_BITS.min; bits <= THIN_BITS.max; bits++) binomials.push(words.put(binomialTable(bits)), binomialTable(bits).length);
  const tableOffset = columns.level.map((slot) => (slot === null ? 0 : plan.tableOffset[slot]));
  const share = influence === null ? new Array<number>(2 * steps.length).fill(0) : [...influence.awareWeight, ...influence.shareThreshold];
  return {
    codeWords,
    params: {
      worlds, personas: personas.length, stimuli: stimuli.length, steps: steps.length, isFactor: Number(isFactor), isWide: Number(isWide),
      numericWords, levelSlots: columns.level.filter((slot) => slot !== null).length, codeWords,
      rowWords: isFactor ? plan.factors / 2 : columns.numeric.length / 2, tableLength: plan.tableLength,
      personaTable: words.put(Uint32Array.from(personas.flatMap((persona) => personaWords(words, plan, columns, persona)))),
      weights: words.put(isFactor ? plan.factorWeights : numericWeights(plan, columns.numeric)),
      tables: words.put(plan.tables), tableOffset: words.put(Int32Array.from(tableOffset)), bias: words.put(plan.bias), offset: words.put(plan.offset),
    },
    codesParams: { normals: isCorrelated ? words.put(normalQuantileTable()) : 0, cdf: isCorrelated ? words.put(normalCdfTable()) : 0 },
    exposeParams: {
      stepEffects: words.put(Int32Array.from([...plan.pressureWeight, ...share], (value) => value | 0)),
      leaveBias: words.put(plan.leaveBias), drawBits: words.put(Uint32Array.from(plan.drawBits)), leaveBits: words.put(Uint32Array.from(plan.leaveBits)),
      binomials: words.put(Uint32Array.from(binomials)),
      gapTicks: plan.gapTicks, pressureGain: plan.pressureGain, pressureGainResponse: plan.pressureGainResponse, pressureLeaveWeight: plan.pressureLeaveWeight,
      hasInfluence: Number(influence !== null), scenarios: plan.scenarios.length,
    },
    // Last, when all arrays are among them.
    words: words.joined(),
  };
}

/** The slots whose codes an agent has, in the order of its words; null fills the last word. */
interface Columns {
  readonly numeric: readonly (number | null)[];
  readonly level: readonly (number | null)[];
}

/** Numeric slots that any persona uses (others hold 0 and add nothing) and all level slots (without a trait they add their table's entry 0). */
function columnsOf(plan: ExposePlan): Columns {
  const used = new Set(plan.personas.flatMap((persona) => persona.traits.map((trait) => trait.slot)));
  const slots = Array.from({ length: plan.factors > 0 ? 0 : plan.slots }, (_, slot) => slot);
  const filled = (list: readonly number[], multiple: number): readonly (number | null)[] => [...list, ...new Array<null>((multiple - (list.length % multiple)) % multiple).fill(null)];
  return {
    numeric: filled(slots.filter((slot) => plan.slotKind[slot] !== LEVEL_SLOT && used.has(slot)), plan.arithmeticProfile === "nest16-2" ? 2 : 4),
    level: filled(slots.filter((slot) => plan.slotKind[slot] === LEVEL_SLOT), 4),
  };
}

function numericWeights(plan: ExposePlan, numeric: Columns["numeric"]): Int16Array {
  const rows = plan.weights.length / plan.slots;
  const weights = new Int16Array(rows * numeric.length);
  for (let row = 0; row < rows; row++) numeric.forEach((slot, n) => { if (slot !== null) weights[row * numeric.length + n] = plan.weights[row * plan.slots + slot]; });
  return weights;
}

/** `Persona` of agents.wgsl. */
function personaWords(words: Words, plan: ExposePlan, { numeric, level }: Columns, persona: ExposePersona): readonly number[] {
  const isWide = plan.arithmeticProfile === "nest16-2";
  const columns = [...numeric, ...level].flatMap((slot) => {
    const j = persona.traits.findIndex((trait) => trait.slot === slot), trait = persona.traits[j];
    if (trait === undefined) return [0, 0, 0, 0, 0, 0];
    if (trait.kind === "level") return [j + 1, trait.codes.length, words.put(trait.cumulative), words.put(Int32Array.from(trait.codes)), 0, isWide && plan.slotKind[trait.slot] !== LEVEL_SLOT ? 8 : 0];
    return [j + 1, 0, words.put(trait.quantiles), words.put(trait.offset), words.put(trait.scale), 0];
  });
  const keyCount = plan.factors > 0 ? plan.factors / 4 : Math.ceil(persona.traits.length / 2);
  const keys = Uint32Array.from({ length: 2 * keyCount }, (_, at) => traitKey(persona, at >> 1)[at & 1]);
  return [
    persona.key[0], persona.key[1], persona.worldShift, persona.returnThreshold, persona.traits.length, words.put(keys), words.put(Uint32Array.from(columns)),
    persona.copula.length > 0 ? words.put(Int32Array.from(persona.copula)) : 0,
  ];
}

/** Arrays one after the other, in whole words. */
class Words {
  readonly #arrays: Uint32Array[] = [];
  /** Word 0 belongs to nobody, so that an address of 0 can mean "none". */
  #length = 1;

  /** Appends an array (int16 two to a word) and answers where it begins. */
  put(array: Int16Array | Int32Array | Uint32Array): number {
    const at = this.#length, whole = new Uint32Array(Math.ceil(array.byteLength / 4));
    new Uint8Array(whole.buffer).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    this.#arrays.push(whole);
    this.#length += whole.length;
    return at;
  }

  joined(): Uint32Array {
    const words = new Uint32Array(this.#length);
    let at = 1;
    for (const array of this.#arrays) {
      words.set(array, at);
      at += array.length;
    }
    return words;
  }
}
