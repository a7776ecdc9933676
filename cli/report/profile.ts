import { CODES_PER_UNIT, gridMoments, untransformed } from "@populace/domain";
import type { Persona, PersonaMixture, Trait, TraitCoding } from "@populace/domain";
import type { ReportPersona } from "./report.ts";

/** Levels below this share in every persona would only fill the picture. */
const LEVEL_SHARE_MIN = 0.03;

const short = (value: number): string =>
  Math.abs(value) >= 10_000 ? `${(value / 1000).toFixed(0)} k` : Math.abs(value) >= 1000 ? `${(value / 1000).toFixed(1)} k` : value.toFixed(Math.abs(value) >= 20 ? 0 : Math.abs(value) >= 1 ? 1 : 2);

interface ProfileRow { readonly name: string; readonly means: readonly number[]; readonly scale: number; readonly text: (mean: number) => string }

function rowsOf(coding: TraitCoding, index: number, personas: readonly Persona[]): readonly ProfileRow[] {
  const distributions = personas.map((persona) => (persona.traits[index] as Trait).distribution);
  const total = personas.reduce((sum, persona) => sum + persona.share, 0);
  const shareRow = (name: string, means: readonly number[]): ProfileRow => {
    const population = means.reduce((sum, mean, row) => sum + mean * personas[row].share, 0) / total;
    return { name, means, scale: Math.sqrt(Math.max(1e-9, population * (1 - population))), text: (mean) => `${(mean * 100).toFixed(0)} %` };
  };
  const first = distributions[0];
  switch (first.kind) {
    case "binary":
      return [shareRow(coding.name, distributions.map((each) => (each.kind === "binary" ? each.alpha / (each.alpha + each.beta) : Number.NaN)))];
    case "categorical":
      return first.alphas.map((_, level) => shareRow(`${coding.name}: ${coding.levels[level] ?? "other"}`, distributions.map((each) => {
        if (each.kind !== "categorical") return Number.NaN;
        return each.alphas[level] / each.alphas.reduce((sum, alpha) => sum + alpha, 0);
      }))).filter((row) => Math.max(...row.means) >= LEVEL_SHARE_MIN);
    case "continuous":
    case "count":
      // Standard deviations of the population from its center: the grid's own unit.
      return [{
        name: coding.name, scale: 1, means: personas.map((persona) => gridMoments(coding, persona.traits[index]).mean / CODES_PER_UNIT),
        text: (mean) => short(untransformed(coding.kind === "count" ? "log1p" : coding.transform, coding.center + coding.scale * mean)),
      }];
  }
}

/** The personas as the report draws them: each trait's mean in population standard deviations, and as a reader would say it. */
export function profileOf(mixture: PersonaMixture): readonly ReportPersona[] {
  const { personas, codings } = mixture;
  const total = personas.reduce((sum, persona) => sum + persona.share, 0);
  const rows = codings.flatMap((coding, index) => rowsOf(coding, index, personas));
  return personas.map((persona, column) => ({
    name: persona.name, share: persona.share,
    profile: rows.map((row) => {
      const population = row.means.reduce((sum, mean, other) => sum + mean * personas[other].share, 0) / total;
      return { name: row.name, score: (row.means[column] - population) / row.scale, text: row.text(row.means[column]) };
    }),
  }));
}
