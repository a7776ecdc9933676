import { LEAVE, stimulusFeatures } from "@populace/domain";
import type { Transform, TraitKind, Stimulus, StimulusId, FunnelStep } from "@populace/domain";
import { Entry, didYouMean, parseEntry, readDocument } from "./document.ts";

/** A schema file: what the columns of a data file mean. Unknown keys are errors with a suggestion. */
export interface Schema {
  readonly name: string;
  readonly csv: { readonly delimiter: string; readonly header: boolean; readonly missing: readonly string[] };
  /** Column of the recipient id; absent = the row number. */
  readonly recipient: string | null;
  readonly attributes: readonly AttributeColumn[];
  readonly stimulus: StimulusColumn;
  readonly assignment: { readonly kind: "randomized" | "unknown" } | { readonly kind: "logged"; readonly propensity: string };
  readonly sampling:
    | { readonly kind: "uniform" }
    | { readonly kind: "weight"; readonly column: string }
    /** True share of responders to the first step where rows were drawn by outcome. */
    | { readonly kind: "base-rate"; readonly rate: number };
  readonly funnel: readonly (FunnelStep & { readonly column: string; readonly positive: string })[];
  /** Column that says who left (unsubscribed) at this contact; absent = the data do not say. */
  readonly leave?: { readonly column: string; readonly positive: string };
  readonly value: { readonly column: string; readonly currency: string; readonly minorUnits: number; readonly economicValueMinor?: number } | null;
  readonly time: { readonly column: string; readonly format: "date" | "timestamp" | "index" } | null;
  readonly consent: { readonly purposeColumn: string; readonly untilColumn: string; readonly purpose: string } | null;
  readonly matches: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Share of rows that may be rejected before reading stops, 0 to 1; default 0.01. */
  readonly rejectShareMax: number;
  /** Before any data: base rates and effects as intervals (prior only). Also the prior of a fit when given. */
  readonly prior: SchemaPrior | null;
}

export interface AttributeColumn {
  readonly name: string;
  readonly column: string;
  readonly kind: TraitKind;
  readonly transform: Transform;
  readonly unit: string;
  /** categorical: known levels (absent = those seen); binary: [no, yes] raw values. */
  readonly levels: readonly string[];
  /** false: describes people but is left out of the response model. */
  readonly inResponse: boolean;
  /** false: a fact of the moment (an interest rate, a season) that moves responses but tells no persona from another; default true. */
  readonly inPersonas?: boolean;
  /** continuous: raw values the int8 grid should span; absent = 4 standard deviations of the rows of the fit either way. */
  readonly range?: readonly [number, number];
  /** A raw value that means "missing" for this column only. */
  readonly missing: readonly string[];
}

export interface StimulusColumn {
  /** Column holding the stimulus' value, or null when every row met the same stimulus (`constant`). */
  readonly column: string | null;
  readonly constant: string | null;
  /** Raw column value -> stimulus. `contact: false` marks "not contacted". */
  readonly stimuli: readonly (Stimulus & { readonly value: string })[];
}

/** An interval the author believes in with 90 %. */
export interface Interval90 { readonly low: number; readonly high: number }

export interface SchemaPrior {
  /** step -> interval of the base rate (per exposure for step 0, given the step before for later ones). */
  readonly baseRates: Readonly<Record<string, Interval90>>;
  /** Odds ratios: on a stimulus, on an attribute (per sd or for yes), or on an attribute level; at step "leave" on a stimulus or, per unit, a feature of stimuli. */
  readonly effects: readonly { readonly step: string; readonly on: string; readonly oddsRatio: Interval90 }[];
  /** Leaving (unsubscribe) per contact. */
  readonly leaveRate: Interval90 | null;
  /** Personas by hand. */
  readonly personas: readonly AuthoredPersona[];
  /** Marginals to rake to, when no joint data exist: attribute -> level -> share. */
  readonly marginals: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface AuthoredPersona {
  readonly name: string;
  readonly share: number;
  /** attribute -> share (binary), level shares (categorical), {mean, sd} (continuous, raw scale), {mean} (count). */
  readonly traits: Readonly<Record<string, number | Readonly<Record<string, number>>>>;
}

/** Minor units in one major unit, where it is not 100. */
const MINOR_UNITS_OF: Readonly<Record<string, number>> = { JPY: 1, KRW: 1, VND: 1, CLP: 1, KWD: 1000, BHD: 1000, TND: 1000 };

/**
 * Returns the schema a YAML or JSON file states, every default filled.
 * BAD_SCHEMA names file, line and key path (unknown keys with a suggestion); FILE_MISSING when it cannot be opened.
 * Short forms: an attribute as `name: kind`, a funnel step as its column's name, a stimulus as `value: {…}` or a list,
 * `assignment: randomized`, `sampling: {baseRate: 0.01}`, `value: spend`.
 */
export function readSchema(path: string): Schema {
  return schemaFrom(readDocument(path, "BAD_SCHEMA"));
}

/** The same from text; `path` only names it in messages. */
export function parseSchema(text: string, path = "schema"): Schema {
  return schemaFrom(parseEntry(text, path, "BAD_SCHEMA"));
}

const SCHEMA_KEYS = ["name", "csv", "recipient", "attributes", "stimulus", "assignment", "sampling", "funnel", "leave", "value", "time", "consent", "matches", "rejectShareMax", "prior"];

function schemaFrom(root: Entry): Schema {
  root.only(SCHEMA_KEYS);
  const csv = root.at("csv");
  if (!csv.absent) csv.only(["delimiter", "header", "missing"]);
  const delimiter = csv.absent ? "," : delimiterOf(csv.at("delimiter"));
  const attributes = namedList(root.at("attributes"), "name", (entry, name) => attributeFrom(entry, name));
  const stimulus = stimulusFrom(root.at("stimulus"));
  const funnel = namedList(root.at("funnel"), "name", (entry, name) => stepFrom(entry, name));
  if (funnel.length === 0) root.at("funnel").fail("expected at least one step, such as `funnel: [visit, purchase]`");
  if (funnel.length > 8) root.at("funnel").fail(`expected at most 8 steps; found ${funnel.length}`);
  const schema: Schema = {
    name: root.at("name").text("unnamed"),
    csv: {
      delimiter,
      header: csv.absent ? true : csv.at("header").boolean(true),
      missing: csv.absent ? DEFAULT_MISSING : csv.at("missing").texts(DEFAULT_MISSING),
    },
    recipient: root.at("recipient").textOrNull(),
    attributes,
    stimulus,
    assignment: assignmentFrom(root.at("assignment")),
    sampling: samplingFrom(root.at("sampling")),
    funnel,
    ...leaveFrom(root.at("leave"), funnel),
    value: valueFrom(root.at("value")),
    time: timeFrom(root.at("time")),
    consent: consentFrom(root.at("consent")),
    matches: matchesFrom(root.at("matches"), attributes),
    rejectShareMax: root.at("rejectShareMax").number({ min: 0, max: 1, absent: 0.01 }),
    prior: priorFrom(root.at("prior"), attributes, stimulus, funnel),
  };
  refuseSharedColumns(root, schema);
  return schema;
}

const DEFAULT_MISSING = ["", "NA", "N/A", "null", "NULL"];

function delimiterOf(entry: Entry): string {
  const text = entry.text(",");
  const known: Readonly<Record<string, string>> = { comma: ",", semicolon: ";", tab: "\t", pipe: "|", "\\t": "\t" };
  const delimiter = Object.hasOwn(known, text) ? known[text] : text;
  if (delimiter.length !== 1 || delimiter === '"' || delimiter === "\n") entry.fail(`expected one character, or comma, semicolon, tab, pipe; found "${text}"`);
  return delimiter;
}

/** A list of `name`, `{name, …}`, or a map `name: …`; names are unique. */
function namedList<T>(entry: Entry, key: string, read: (entry: Entry, name: string) => T): readonly T[] {
  const pairs: (readonly [string, Entry])[] = entry.isMap
    ? [...entry.entries()]
    : entry.list().map((item) => (item.isText ? [item.text(), new Entry(item.source, item.keys, undefined)] as const : [item.isMap ? (item.at(key).absent ? item.at("column") : item.at(key)).text() : item.text(), item] as const));
  const seen = new Set<string>();
  return pairs.map(([name, item]) => {
    if (seen.has(name)) item.fail(`"${name}" is named twice; every name is used once`);
    seen.add(name);
    return read(item, name);
  });
}

const TRANSFORMS = ["identity", "log1p", "logit"] as const;
const KINDS = ["binary", "categorical", "continuous", "count"] as const;

function attributeFrom(entry: Entry, name: string): AttributeColumn {
  const short = entry.isText;
  if (!short && !entry.absent) entry.only(["name", "column", "kind", "transform", "unit", "levels", "inResponse", "inPersonas", "range", "missing"]);
  if (entry.absent) return entry.fail(`attribute "${name}" needs a kind: one of ${KINDS.join(", ")}`);
  const kind = (short ? entry : entry.at("kind")).oneOf(KINDS);
  const at = (key: string): Entry => (short ? new Entry(entry.source, entry.keys, undefined) : entry.at(key));
  const transform = at("transform").oneOf(TRANSFORMS, kind === "count" ? "log1p" : "identity");
  if (kind === "count" && transform !== "log1p") at("transform").fail("a count is always coded through log1p; leave the transform out, or make it continuous");
  if ((kind === "binary" || kind === "categorical") && transform !== "identity") at("transform").fail(`a ${kind} attribute has no transform; leave it out`);
  const levels = at("levels").texts([]);
  if (new Set(levels).size !== levels.length) at("levels").fail("a level is named twice");
  if (kind === "binary" && levels.length !== 0 && levels.length !== 2) at("levels").fail(`a binary attribute has the two raw values [no, yes]; found ${levels.length}`);
  if ((kind === "continuous" || kind === "count") && levels.length > 0) at("levels").fail(`a ${kind} attribute has no levels; make it categorical or leave them out`);
  if (levels.length > LEVELS_MAX) at("levels").fail(`at most ${LEVELS_MAX} levels; found ${levels.length}`);
  return {
    name, column: at("column").text(name), kind, transform, unit: at("unit").text(""), levels,
    inResponse: at("inResponse").boolean(true), inPersonas: at("inPersonas").boolean(true),
    ...rangeFrom(at("range"), kind, transform), missing: at("missing").texts([]),
  };
}

function rangeFrom(entry: Entry, kind: TraitKind, transform: Transform): { readonly range?: readonly [number, number] } {
  if (entry.absent) return {};
  if (kind !== "continuous") entry.fail(`only a continuous attribute has a range; this one is ${kind}`);
  const [low, high, ...rest] = entry.list().map((part) => part.number());
  if (rest.length > 0 || !(low < high)) entry.fail("expected [low, high] with low < high");
  if ((transform === "log1p" && low <= -1) || (transform === "logit" && (low <= 0 || high >= 1))) entry.fail(`the range leaves the domain of ${transform}`);
  return { range: [low, high] };
}

/** Levels of a categorical attribute, without "other": codes are int8 and every level costs a coefficient a step. */
export const LEVELS_MAX = 60;

const STIMULUS_KEYS = ["value", "id", "name", "contact", "channel", "offer", "copy", "tags", "features", "contactCostMinor"];

function stimulusFrom(entry: Entry): StimulusColumn {
  if (entry.absent) {
    return { column: null, constant: "all", stimuli: [stimulusOf(new Entry(entry.source, entry.keys, undefined), "all")] };
  }
  if (entry.isText) return { column: entry.text(), constant: null, stimuli: [] };
  entry.only(["column", "constant", "stimuli"]);
  const column = entry.at("column").textOrNull();
  const stimuli = namedList(entry.at("stimuli"), "value", stimulusOf);
  if (column !== null && !entry.at("constant").absent) entry.at("constant").fail("give either column or constant, not both");
  const constant = column !== null ? null : entry.at("constant").text(stimuli.length === 1 ? stimuli[0].value : "all");
  if (constant !== null) {
    if (stimuli.length > 1) entry.at("stimuli").fail("without a column every row met one stimulus; name one, or name the column");
    return { column: null, constant, stimuli: stimuli.length === 1 ? [{ ...stimuli[0], value: constant }] : [stimulusOf(new Entry(entry.source, entry.keys, undefined), constant)] };
  }
  const ids = new Set<string>();
  for (const stimulus of stimuli) {
    if (ids.has(stimulus.id)) entry.at("stimuli").fail(`two stimuli have the id "${stimulus.id}"; give them different ids`);
    ids.add(stimulus.id);
  }
  return { column, constant: null, stimuli };
}

/** An identifier made from free text: lower case, words joined by hyphens; "stimulus" when nothing is left. */
export function identifierOf(text: string): string {
  const plain = text.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return plain === "" ? "stimulus" : plain;
}

function stimulusOf(entry: Entry, value: string): Stimulus & { readonly value: string } {
  if (!entry.absent) entry.only(STIMULUS_KEYS);
  return { value, ...stimulusFields(entry, identifierOf(value), value) };
}

/**
 * The stimulus an entry of a schema or study describes; `fallbackId` and `fallbackName` serve where it names none.
 * Unknown keys are the caller's to refuse, since callers have keys of their own.
 */
export function stimulusFields(entry: Entry, fallbackId: string, fallbackName: string): Stimulus {
  const at = (key: string): Entry => (entry.absent ? new Entry(entry.source, entry.keys, undefined) : entry.at(key));
  const offer = at("offer");
  const copy = at("copy");
  if (!offer.absent) offer.only(["priceCut", "valueMinor", "costMinor"]);
  if (!copy.absent) copy.only(["subject", "body"]);
  const contact = at("contact").boolean(true);
  return {
    id: at("id").text(fallbackId) as StimulusId,
    name: at("name").text(fallbackName),
    contact,
    channel: at("channel").text(contact ? "direct" : "none"),
    offer: offer.absent ? {} : {
      ...(offer.at("priceCut").absent ? {} : { priceCut: offer.at("priceCut").number({ min: 0, max: 1 }) }),
      ...(offer.at("valueMinor").absent ? {} : { valueMinor: offer.at("valueMinor").number({ integer: true, min: 0 }) }),
      ...(offer.at("costMinor").absent ? {} : { costMinor: offer.at("costMinor").number({ integer: true, min: 0 }) }),
    },
    copy: copy.absent ? {} : {
      ...(copy.at("subject").absent ? {} : { subject: copy.at("subject").text("") }),
      ...(copy.at("body").absent ? {} : { body: copy.at("body").text("") }),
    },
    tags: Object.fromEntries(at("tags").entries().map(([key, tag]) => [key, tag.text()])),
    features: Object.fromEntries(at("features").entries().map(([key, feature]) => [key, feature.number()])),
    contactCostMinor: at("contactCostMinor").number({ integer: true, min: 0, absent: 0 }),
  };
}

function assignmentFrom(entry: Entry): Schema["assignment"] {
  if (entry.absent) return { kind: "unknown" };
  if (entry.isText) {
    const kind = entry.oneOf(["randomized", "unknown", "logged"] as const);
    return kind === "logged" ? entry.fail("logged assignment names its propensity column: {kind: logged, propensity: COLUMN}") : { kind };
  }
  entry.only(["kind", "propensity"]);
  const kind = entry.at("kind").oneOf(["randomized", "unknown", "logged"] as const, entry.at("propensity").absent ? "unknown" : "logged");
  if (kind === "logged") return { kind, propensity: entry.at("propensity").text() };
  if (!entry.at("propensity").absent) entry.at("propensity").fail(`only a logged assignment has a propensity column; the kind is ${kind}`);
  return { kind };
}

function samplingFrom(entry: Entry): Schema["sampling"] {
  if (entry.absent) return { kind: "uniform" };
  if (entry.isText) return { kind: entry.oneOf(["uniform"] as const) };
  entry.only(["kind", "weight", "column", "baseRate", "rate"]);
  const weight = entry.at("weight").absent ? entry.at("column") : entry.at("weight");
  const rate = entry.at("baseRate").absent ? entry.at("rate") : entry.at("baseRate");
  const kind = entry.at("kind").oneOf(["uniform", "weight", "base-rate"] as const, !weight.absent ? "weight" : !rate.absent ? "base-rate" : "uniform");
  if (!weight.absent && !rate.absent) entry.fail("give either a weight column or a base rate, not both");
  if (kind === "weight") return { kind, column: weight.text() };
  if (kind === "base-rate") return { kind, rate: rate.number({ min: 1e-9, max: 1 - 1e-9 }) };
  return { kind };
}

function stepFrom(entry: Entry, name: string): Schema["funnel"][number] {
  if (entry.absent) return { name, column: name, positive: "1" };
  if (entry.isText) return { name, column: entry.text(), positive: "1" };
  entry.only(["name", "column", "positive"]);
  return { name, column: entry.at("column").text(name), positive: entry.at("positive").isText ? entry.at("positive").text() : "1" };
}

/** The column that says who left at this contact: `leave: unsubscribed`, or with its positive value. */
function leaveFrom(entry: Entry, funnel: Schema["funnel"]): Pick<Schema, "leave"> {
  if (entry.absent) return {};
  if (funnel.some(({ name }) => name === LEAVE)) entry.fail(`a funnel step is named "${LEAVE}", too; leaving is no step, so take it out of \`funnel\` or name the step otherwise`);
  const { column, positive } = stepFrom(entry, "unsubscribed");
  return { leave: { column, positive } };
}

function valueFrom(entry: Entry): Schema["value"] {
  if (entry.absent) return null;
  if (entry.isText) return { column: entry.text(), currency: "USD", minorUnits: 100 };
  entry.only(["column", "currency", "minorUnits", "economicValueMinor"]);
  const currency = entry.at("currency").text("USD");
  const minorUnits = entry.at("minorUnits").number({ integer: true, min: 1, max: 10_000, absent: MINOR_UNITS_OF[currency] ?? 100 });
  const value = { column: entry.at("column").text(), currency, minorUnits };
  const economic = entry.at("economicValueMinor");
  return economic.absent ? value : { ...value, economicValueMinor: economic.number({ integer: true, min: 0 }) };
}

function timeFrom(entry: Entry): Schema["time"] {
  if (entry.absent) return null;
  if (entry.isText) return { column: entry.text(), format: "date" };
  entry.only(["column", "format"]);
  return { column: entry.at("column").text(), format: entry.at("format").oneOf(["date", "timestamp", "index"] as const, "date") };
}

function consentFrom(entry: Entry): Schema["consent"] {
  if (entry.absent) return null;
  entry.only(["purposeColumn", "untilColumn", "purpose"]);
  return { purposeColumn: entry.at("purposeColumn").text(), untilColumn: entry.at("untilColumn").text(), purpose: entry.at("purpose").text() };
}

function matchesFrom(entry: Entry, attributes: readonly AttributeColumn[]): Schema["matches"] {
  const names = attributes.map((attribute) => attribute.name);
  return Object.fromEntries(
    entry.entries().map(([tag, byValue]) => [
      tag,
      Object.fromEntries(
        byValue.entries().map(([value, attribute]) => {
          const name = attribute.text();
          const found = attributes.find((candidate) => candidate.name === name);
          if (found === undefined) return attribute.fail(`no attribute is named "${name}"${didYouMean(name, names)}`);
          if (found.kind === "categorical") return attribute.fail(`"${name}" is categorical; a match needs a binary or numeric attribute`);
          return [value, name] as const;
        }),
      ),
    ]),
  );
}

/** What an effect at step "leave" may be on: a stimulus, or a feature that tells the stimuli apart (domain/stimulus/features.ts), per unit. */
function leaveTargets({ stimuli }: StimulusColumn): readonly string[] {
  return stimuli.length < 2 ? [] : [...stimuli.filter(({ contact }) => contact).map((each) => each.id as string), ...stimulusFeatures(stimuli).names.filter((name) => name !== "contact")];
}

function priorFrom(entry: Entry, attributes: readonly AttributeColumn[], stimulus: StimulusColumn, funnel: Schema["funnel"]): SchemaPrior | null {
  if (entry.absent) return null;
  entry.only(["baseRates", "effects", "leaveRate", "personas", "marginals"]);
  const steps = funnel.map((step) => step.name);
  const names = attributes.map((attribute) => attribute.name);
  const stepNamed = (at: Entry, name: string): string => (steps.includes(name) ? name : at.fail(`no funnel step is named "${name}"${didYouMean(name, steps)}`));
  const attributeNamed = (at: Entry, name: string): AttributeColumn => attributes[names.indexOf(name)] ?? at.fail(`no attribute is named "${name}"${didYouMean(name, names)}`);
  const targets = [...names, ...stimulus.stimuli.map((each) => each.id)], ofLeaving = leaveTargets(stimulus);
  return {
    baseRates: Object.fromEntries(entry.at("baseRates").entries().map(([step, interval]) => [stepNamed(interval, step), intervalFrom(interval, 0, 1)])),
    effects: entry.at("effects").list().map((effect) => {
      effect.only(["step", "on", "oddsRatio"]);
      const on = effect.at("on").text(), step = effect.at("step").text(steps[0]);
      if (step === LEAVE && !steps.includes(LEAVE)) {
        if (!ofLeaving.includes(on)) effect.at("on").fail(`leaving depends on stimuli and their features, and none is named "${on}"${didYouMean(on, ofLeaving)}; expected one of ${ofLeaving.join(", ") || "two or more stimuli, named under `stimulus`"}`);
        return { step, on, oddsRatio: intervalFrom(effect.at("oddsRatio"), 0, Infinity) };
      }
      // An attribute level is written attribute=level.
      const target = on.split("=")[0];
      if (!targets.includes(target)) effect.at("on").fail(`nothing is named "${target}"${didYouMean(target, targets)}`);
      return { step: stepNamed(effect.at("step"), step), on, oddsRatio: intervalFrom(effect.at("oddsRatio"), 0, Infinity) };
    }),
    leaveRate: entry.at("leaveRate").absent ? null : intervalFrom(entry.at("leaveRate"), 0, 1),
    personas: personasFrom(entry.at("personas"), attributeNamed),
    marginals: Object.fromEntries(
      entry.at("marginals").entries().map(([name, levels]) => {
        attributeNamed(levels, name);
        return [name, Object.fromEntries(levels.entries().map(([level, share]) => [level, share.number({ min: 0, max: 1 })]))];
      }),
    ),
  };
}

/** [low, high] or {low, high}, strictly inside the bounds and in order. */
function intervalFrom(entry: Entry, above: number, below: number): Interval90 {
  if (!entry.isList) entry.only(["low", "high"]);
  const parts = entry.isList ? entry.list() : [entry.at("low"), entry.at("high")];
  if (parts.length !== 2) entry.fail(`expected [low, high]; found ${parts.length} numbers`);
  const [low, high] = parts.map((part) => part.number());
  if (!(low > above && high < below && low < high)) entry.fail(`expected ${above} < low < high < ${below}; found ${low} and ${high}`);
  return { low, high };
}

function personasFrom(entry: Entry, attributeNamed: (at: Entry, name: string) => AttributeColumn): readonly AuthoredPersona[] {
  const personas = namedList(entry, "name", (persona, name): AuthoredPersona => {
    persona.only(["name", "share", "traits"]);
    const traits = persona.at("traits").entries().map(([trait, value]) => {
      const { kind } = attributeNamed(value, trait);
      if (kind === "binary") return [trait, value.number({ min: 0, max: 1 })] as const;
      if (kind === "count" && !value.isMap) return [trait, value.number({ min: 0 })] as const;
      if (kind === "continuous") value.only(["mean", "sd"]);
      if (kind === "count") value.only(["mean"]);
      return [trait, Object.fromEntries(value.entries().map(([key, number]) => [key, number.number(kind === "categorical" ? { min: 0, max: 1 } : {})]))] as const;
    });
    return { name, share: persona.at("share").number({ min: 0, max: 1 }), traits: Object.fromEntries(traits) };
  });
  const total = personas.reduce((sum, persona) => sum + persona.share, 0);
  if (personas.length > 0 && Math.abs(total - 1) > 0.01) entry.fail(`the shares of the personas add to ${total.toFixed(3)}; expected 1`);
  return personas;
}

/** A column serves one purpose: an outcome among the attributes would leak the answer into the question. */
function refuseSharedColumns(root: Entry, schema: Schema): void {
  const uses = new Map<string, string>();
  const use = (column: string | null | undefined, purpose: string, at: Entry): void => {
    if (column === null || column === undefined) return;
    const earlier = uses.get(column);
    if (earlier !== undefined) at.fail(`column "${column}" is used twice, for ${earlier} and for ${purpose}`);
    uses.set(column, purpose);
  };
  for (const attribute of schema.attributes) use(attribute.column, `attribute ${attribute.name}`, root.at("attributes"));
  for (const step of schema.funnel) use(step.column, `funnel step ${step.name}`, root.at("funnel"));
  use(schema.leave?.column, "leaving", root.at("leave"));
  use(schema.stimulus.column, "the stimulus", root.at("stimulus"));
  if (schema.assignment.kind === "logged") use(schema.assignment.propensity, "the propensity", root.at("assignment"));
  if (schema.sampling.kind === "weight") use(schema.sampling.column, "the sampling weight", root.at("sampling"));
  if (schema.value !== null && !schema.funnel.some((step) => step.column === schema.value?.column)) use(schema.value.column, "the value", root.at("value"));
}
