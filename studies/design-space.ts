import { id } from "@populace/domain";
import type { Copy, Stimulus } from "@populace/domain";
import type { Entry } from "./document.ts";

/** Choices of one dimension and combinations of all, at most. */
const CHOICES_MOST = 200;

/** One way a dimension may come out: what it is called, and what it makes of a design. */
export interface DesignChoice {
  readonly label: string;
  readonly part: Partial<Pick<Stimulus, "channel" | "contactCostMinor">> & {
    readonly priceCut?: number; readonly valueMinor?: number; readonly costMinor?: number; readonly copy?: Copy;
    readonly tag?: readonly [string, string]; readonly feature?: readonly [string, number]; readonly everyTicks?: number;
  };
}

export interface DesignDimension {
  /** The key in the study, such as "channels" or "tags.theme". */
  readonly name: string;
  readonly choices: readonly DesignChoice[];
}

/** The stimuli that could be made: one choice in every dimension. */
export interface DesignSpace {
  readonly name: string;
  readonly dimensions: readonly DesignDimension[];
  /** Full price of what is offered, minor units: a response under a price cut costs that share of it. */
  readonly priceMinor: number;
  readonly limits: {
    /** Expected cost per agent over the study, contacts and offers taken; expected leavings per agent; least margin of a response. null = no limit. */
    readonly costMinor: number | null;
    readonly leaveRate: number | null;
    readonly marginMinor: number | null;
  };
  /** Combinations that are not to be: indexes by dimension of the choices that meet, -1 = any. */
  readonly forbidden: readonly (readonly (readonly number[])[])[];
  /** Designs looked at, at most. */
  readonly evaluations: number;
}

/** A design: a stimulus that nobody has been shown, and how often it would be shown. */
export interface Design {
  readonly stimulus: Stimulus;
  readonly everyTicks: number;
}

/** The stimulus and cadence of a point of the space; `everyTicks` is what the study says where no dimension does. The id spells out the choices that make the stimulus. */
export function designAt(space: DesignSpace, point: readonly number[], everyTicks: number): Design {
  const chosen = space.dimensions.map(({ choices }, d) => choices[point[d]]), parts = chosen.map(({ part }) => part);
  const one = <K extends keyof DesignChoice["part"]>(key: K): DesignChoice["part"][K] | undefined => parts.find((part) => part[key] !== undefined)?.[key];
  const priceCut = one("priceCut"), valueMinor = one("valueMinor");
  // How often it is shown makes no other stimulus of it.
  const name = `${space.name}: ${chosen.flatMap(({ label, part }) => (part.everyTicks === undefined ? [label] : [])).join(", ")}`;
  return {
    everyTicks: one("everyTicks") ?? everyTicks,
    stimulus: {
      id: id(name), name, contact: true, channel: one("channel") ?? "", copy: one("copy") ?? {}, contactCostMinor: one("contactCostMinor") ?? 0,
      offer: { ...(priceCut === undefined ? {} : { priceCut }), ...(valueMinor === undefined ? {} : { valueMinor }), costMinor: (one("costMinor") ?? 0) + Math.round((priceCut ?? 0) * space.priceMinor) },
      tags: Object.fromEntries(parts.flatMap(({ tag }) => (tag === undefined ? [] : [tag]))), features: Object.fromEntries(parts.flatMap(({ feature }) => (feature === undefined ? [] : [feature]))),
    },
  };
}

/** Whether a combination is forbidden. */
export const isForbidden = (space: DesignSpace, point: readonly number[]): boolean =>
  space.forbidden.some((rule) => rule.every((choices, d) => choices.length === 0 || choices.includes(point[d])));

/** A study's `design`. Refuses empty dimensions, names in `forbidden` that are no choice, and an id that a stimulus has already. */
export function readDesign(entry: Entry, ticks: number, stimuli: readonly Stimulus[]): DesignSpace {
  entry.only(["name", "channels", "priceCut", "priceMinor", "valueMinor", "costMinor", "copies", "tags", "features", "everyTicks", "limits", "forbidden", "evaluations"]);
  const name = entry.at("name").text("design");
  if (stimuli.some((stimulus) => stimulus.id.startsWith(`${name}: `))) entry.at("name").fail(`stimuli of the model begin with "${name}: "; use another name`);
  const dimensions: DesignDimension[] = [];
  const add = (key: string, choices: readonly DesignChoice[]): void => {
    if (choices.length > 0) dimensions.push({ name: key, choices });
  };
  const channels = entry.at("channels");
  add("channels", channels.isMap
    ? channels.entries().map(([channel, cost]): DesignChoice => ({ label: channel, part: { channel, contactCostMinor: cost.number({ min: 0, max: 1e12 }) } }))
    : channels.texts([]).map((channel): DesignChoice => ({ label: channel, part: { channel } })));
  add("priceCut", numbers(entry.at("priceCut"), 0, 1).map((priceCut) => ({ label: `${Number((priceCut * 100).toFixed(4))} % off`, part: { priceCut } })));
  for (const key of ["valueMinor", "costMinor"] as const) add(key, numbers(entry.at(key), 0, 1e12).map((value) => ({ label: `${key} ${value}`, part: { [key]: Math.round(value) } })));
  add("copies", entry.at("copies").list().map((copy, index): DesignChoice => {
    copy.only(["name", "subject", "body"]);
    return { label: copy.at("name").text(`copy ${index + 1}`), part: { copy: { subject: copy.at("subject").text(""), body: copy.at("body").text("") } } };
  }));
  for (const [tag, values] of entry.at("tags").entries()) add(`tags.${tag}`, values.texts([]).map((value) => ({ label: `${tag} ${value}`, part: { tag: [tag, value] } })));
  for (const [feature, range] of entry.at("features").entries()) add(`features.${feature}`, numbers(range, -1e12, 1e12).map((value) => ({ label: `${feature} ${value}`, part: { feature: [feature, value] } })));
  const cadences = entry.at("everyTicks");
  add("everyTicks", (cadences.isList ? cadences.list() : cadences.absent ? [] : [cadences]).map((each) => each.number({ integer: true, min: 1, max: ticks })).map((everyTicks) => ({ label: `every ${everyTicks} ticks`, part: { everyTicks } })));
  if (dimensions.length === 0) entry.fail("nothing varies: name at least one of channels, priceCut, copies, tags, features, everyTicks");
  for (const { name: key, choices } of dimensions) {
    if (choices.length > CHOICES_MOST) entry.at(key.split(".")[0]).fail(`${choices.length} choices; at most ${CHOICES_MOST} in one dimension: use larger steps`);
    const twice = choices.find((choice, at) => choices.findIndex((other) => other.label === choice.label) < at);
    if (twice !== undefined) entry.at(key.split(".")[0]).fail(`"${twice.label}" is named twice`);
  }
  const limits = entry.at("limits");
  if (!limits.absent) limits.only(["costMinor", "leaveRate", "marginMinor"]);
  const orNull = (key: string, min: number, max: number): number | null => (limits.absent || limits.at(key).absent ? null : limits.at(key).number({ min, max }));
  return {
    name, dimensions, priceMinor: entry.at("priceMinor").number({ min: 0, max: 1e12, absent: 0 }),
    limits: { costMinor: orNull("costMinor", 0, 1e12), leaveRate: orNull("leaveRate", 0, 1), marginMinor: orNull("marginMinor", -1e12, 1e12) },
    forbidden: entry.at("forbidden").list().map((rule) => readRule(rule, dimensions)),
    evaluations: entry.at("evaluations").number({ integer: true, min: 1, max: 20_000, absent: 400 }),
  };
}

/** A list of numbers, one number, or {from, to, step} with both ends (to within a thousandth of a step). */
function numbers(entry: Entry, min: number, max: number): readonly number[] {
  if (entry.absent) return [];
  if (entry.isList) return entry.list().map((each) => each.number({ min, max }));
  if (!entry.isMap) return [entry.number({ min, max })];
  entry.only(["from", "to", "step"]);
  const from = entry.at("from").number({ min, max }), to = entry.at("to").number({ min, max }), step = entry.at("step").number({ min: 1e-9, max: 1e12 });
  if (to < from) entry.at("to").fail(`expected at least ${from}, the "from"; found ${to}`);
  const count = Math.floor((to - from) / step + 1e-3) + 1;
  if (count > CHOICES_MOST) entry.at("step").fail(`${count} choices from ${from} to ${to}; at most ${CHOICES_MOST} in one dimension: use a larger step`);
  return Array.from({ length: count }, (_, index) => Number((from + index * step).toPrecision(12)));
}

/** {dimension: choice or choices, ...} as indexes; a dimension is named by its key, a choice as the study wrote it. */
function readRule(rule: Entry, dimensions: readonly DesignDimension[]): readonly (readonly number[])[] {
  rule.only(dimensions.map(({ name }) => name));
  const met = dimensions.map(({ name, choices }) => rule.at(name).texts([]).map((text, index) => {
    const entry = rule.at(name), at = choices.findIndex((choice) => choice.label === text || valueOf(choice) === text);
    return at >= 0 ? at : (entry.isList ? entry.list()[index] : entry).fail(`"${text}" is none of the choices of ${name}: ${choices.map((choice) => valueOf(choice)).join(", ")}`);
  }));
  if (met.every((choices) => choices.length === 0)) rule.fail("forbids everything: name a choice");
  return met;
}

/** A choice as the study wrote it. */
function valueOf({ label, part }: DesignChoice): string {
  const { channel, priceCut, valueMinor, costMinor, tag, feature, everyTicks } = part;
  return String(channel ?? priceCut ?? valueMinor ?? costMinor ?? tag?.[1] ?? feature?.[1] ?? everyTicks ?? label);
}
