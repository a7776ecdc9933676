import { CODES_PER_UNIT } from "./trait.ts";
import type { TraitCoding } from "./trait.ts";
import type { Persona } from "./persona.ts";
import { gridMoments } from "./density.ts";

/** A share or mean must differ from the population's by this many standard deviations to be worth a word. */
const NOTABLE = 0.35;
const WORDS_MAX = 3;

/**
 * Names that say what sets each persona apart from the whole, such as "high history, womens, Urban"; "average" when nothing
 * does. Equal names are told apart by a number.
 */
export function namePersonas(codings: readonly TraitCoding[], personas: readonly Persona[]): readonly string[] {
  const population = codings.map((coding, t) => meanOf(coding, personas, t));
  const used = new Map<string, number>();
  return personas.map((persona) => {
    const words = codings
      .map((coding, t) => wordFor(coding, persona, t, population[t]))
      .filter((word) => Math.abs(word.strength) >= NOTABLE)
      .toSorted((a, b) => Math.abs(b.strength) - Math.abs(a.strength))
      .slice(0, WORDS_MAX);
    const name = personas.length === 1 ? "everyone" : words.length === 0 ? "average" : words.map((word) => word.text).join(", ");
    const earlier = used.get(name) ?? 0;
    used.set(name, earlier + 1);
    return earlier === 0 ? name : `${name} (${earlier + 1})`;
  });
}

/** Mean share of each level (one for binary traits, in [0]), or mean and spread of the code. */
function meanOf(coding: TraitCoding, personas: readonly Persona[], t: number): readonly number[] {
  const total = personas.reduce((sum, persona) => sum + persona.share, 0);
  const parts = personas.map((persona) => ownMeans(coding, persona, t).map((value) => (value * persona.share) / total));
  return parts[0].map((_, i) => parts.reduce((sum, part) => sum + part[i], 0));
}

function ownMeans(coding: TraitCoding, persona: Persona, t: number): readonly number[] {
  const { distribution } = persona.traits[t];
  if (distribution.kind === "binary") return [distribution.alpha / (distribution.alpha + distribution.beta)];
  if (distribution.kind === "categorical") {
    const total = distribution.alphas.reduce((sum, alpha) => sum + alpha, 0);
    return distribution.alphas.map((alpha) => alpha / total);
  }
  return [gridMoments(coding, persona.traits[t]).mean / CODES_PER_UNIT];
}

function wordFor(coding: TraitCoding, persona: Persona, t: number, population: readonly number[]): { readonly text: string; readonly strength: number } {
  if (coding.inPersonas === false) return { text: coding.name, strength: 0 };
  const own = ownMeans(coding, persona, t);
  const spread = (share: number): number => Math.sqrt(Math.max(share * (1 - share), 0.01));
  if (coding.kind === "binary") {
    const strength = (own[0] - population[0]) / spread(population[0]);
    return { text: strength > 0 ? coding.name : `no ${coding.name}`, strength };
  }
  if (coding.kind === "categorical") {
    // Named by the level that is both over-represented and common in the persona.
    let best = { text: coding.name, strength: 0 };
    own.forEach((share, level) => {
      const strength = (share - population[level]) / spread(population[level]);
      if (share >= 0.3 && strength > best.strength) best = { text: coding.levels[level] === "other" ? `other ${coding.name}` : coding.levels[level], strength };
    });
    return best;
  }
  const strength = own[0] - population[0];
  return { text: `${strength > 0 ? "high" : "low"} ${coding.name}`, strength };
}
