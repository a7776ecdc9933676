import type { Stimulus } from "./stimulus.ts";
import { COPY_FEATURES, copyFeatures } from "./copy-features.ts";
import type { CopyFeature } from "./copy-features.ts";

/** Features one model may have. */
export const FEATURES_MAX = 16;

/**
 * Names of the features that tell the given stimuli apart and each stimulus' values (stimuli x features). The names say how a
 * value is computed, so `featureValues` finds them for a stimulus the model has never seen:
 * contact; channel:NAME (beyond the first); priceCut; value (log scale, 1 = 100 major units); tag:KEY=VALUE (beyond each
 * key's first); feature:NAME, with /SCALE where numbers are large; copy:NAME.
 * Whatever is the same for every contacted stimulus is left out, and what exceeds sixteen.
 */
export function stimulusFeatures(stimuli: readonly Stimulus[]): { readonly names: readonly string[]; readonly values: readonly (readonly number[])[] } {
  const contacted = stimuli.filter((stimulus) => stimulus.contact);
  const names: string[] = [];
  const addWhereVaried = (name: string): void => {
    const values = contacted.map((stimulus) => featureValue(name, stimulus));
    if (values.some((value) => Math.abs(value - values[0]) > 1e-12)) names.push(name);
  };
  if (contacted.length > 0 && contacted.length < stimuli.length) names.push("contact");
  const beyondFirst = (values: readonly string[]): readonly string[] => [...new Set(values)].toSorted().slice(1);
  for (const channel of beyondFirst(contacted.map((stimulus) => stimulus.channel))) addWhereVaried(`channel:${channel}`);
  addWhereVaried("priceCut");
  addWhereVaried("value");
  for (const key of new Set(contacted.flatMap((stimulus) => Object.keys(stimulus.tags)).toSorted())) {
    for (const value of beyondFirst(contacted.map((stimulus) => stimulus.tags[key] ?? ""))) addWhereVaried(`tag:${key}=${value}`);
  }
  for (const key of new Set(contacted.flatMap((stimulus) => Object.keys(stimulus.features)).toSorted())) {
    const largest = Math.max(...contacted.map((stimulus) => Math.abs(stimulus.features[key] ?? 0)));
    addWhereVaried(largest > 2 ? `feature:${key}/${10 ** Math.ceil(Math.log10(largest))}` : `feature:${key}`);
  }
  // More descriptions of a text than texts to compare would only share one difference among them.
  const room = Math.min(FEATURES_MAX, names.length + 2 * Math.max(0, contacted.length - 1));
  for (const name of COPY_FEATURES) if (names.length < room) addWhereVaried(`copy:${name}`);
  const kept = names.slice(0, FEATURES_MAX);
  return { names: kept, values: stimuli.map((stimulus) => featureValues(kept, stimulus)) };
}

/** Values of the named features for any stimulus; all 0 when it is no contact. */
export const featureValues = (names: readonly string[], stimulus: Stimulus): readonly number[] => names.map((name) => featureValue(name, stimulus));

function featureValue(name: string, stimulus: Stimulus): number {
  if (!stimulus.contact) return 0;
  if (name === "contact") return 1;
  if (name === "priceCut") return stimulus.offer.priceCut ?? 0;
  if (name === "value") return Math.log1p(stimulus.offer.valueMinor ?? 0) / Math.log1p(10_000);
  const colon = name.indexOf(":");
  const kind = name.slice(0, colon), rest = name.slice(colon + 1);
  if (kind === "channel") return stimulus.channel === rest ? 1 : 0;
  if (kind === "tag") {
    const equals = rest.indexOf("=");
    return (stimulus.tags[rest.slice(0, equals)] ?? "") === rest.slice(equals + 1) ? 1 : 0;
  }
  if (kind === "copy") return copyFeatures(stimulus.copy)[rest as CopyFeature] ?? 0;
  const slash = rest.lastIndexOf("/");
  const scale = slash < 0 ? 1 : Number(rest.slice(slash + 1));
  return scale > 1 ? (stimulus.features[rest.slice(0, slash)] ?? 0) / scale : (stimulus.features[rest] ?? 0);
}
