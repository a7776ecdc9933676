import { PopulaceError, id } from "@populace/domain";
import type { Stimulus } from "@populace/domain";
import { Entry, didYouMean, readDocument } from "./document.ts";
import { readDesign } from "./design-space.ts";
import type { DesignSpace } from "./design-space.ts";
import type { Model, ModelShock } from "./model.ts";

/** Limits of a study: above them a refusal names the limit. */
export const STUDY_LIMITS = { agents: 2 ** 32 - 65_536, ticks: 3_650, stimuli: 512, worlds: 4_096 } as const;

/** How the agents of a study are drawn; part of what a run is, so it changes results. */
export interface StudyPopulation {
  /**
   * "coded": every agent has the codes of its persona's traits. "factor": K latent factors stand for them, nothing is stored, and mean rates differ
   * by less than 1 % (else the form is refused). "auto": factor from `FACTOR_AGENTS_MIN` agents on where it is not refused, else coded.
   */
  readonly form: "auto" | "coded" | "factor";
  readonly factors: 4 | 8 | 12 | 16;
  /** Width of a coded trait: 256 or 65,536 steps over plus and minus four standard deviations. */
  readonly precision: "int8" | "int16";
  /** "thinned": agents whose chance of a response is provably rare are drawn by the group. "auto": in the factor form only. */
  readonly draws: "auto" | "dense" | "thinned";
}

/** Agents from which "auto" takes the factor form: there the codes of a coded one cost more than all else. */
export const FACTOR_AGENTS_MIN = 100_000_000;

/** A study file: what to rehearse. Every key has a default, so `{}` is a study: each stimulus of the model in its own scenario. */
export interface Study {
  readonly name: string;
  readonly seed: number;
  readonly agents: number;
  readonly ticks: number;
  /** Personas by id or name; empty = all of the model. */
  readonly personas: readonly string[];
  /** Extra stimuli the model has never seen, and which of all to rehearse; empty = all of the model. */
  readonly stimuli: readonly string[];
  readonly newStimuli: readonly Stimulus[];
  /** Named courses of events; empty = one scenario a stimulus, shown at every `everyTicks`. */
  readonly scenarios: readonly StudyScenario[];
  readonly everyTicks: number;
  /** Parts of every persona that others contact, too; empty = nobody is. */
  readonly histories: readonly StudyHistory[];
  readonly pressure: { readonly perContact: number; readonly perResponse: number; readonly logitPerUnit: number; readonly leaveLogitPerUnit: number; readonly gapTicks: number };
  readonly returnRate: number;
  readonly influence: StudyInfluence | null;
  readonly shocks: readonly ModelShock[];
  /** Economic value of the last step, minor units; absent = the value model, else 100. */
  readonly economicValueMinor: number | null;
  readonly worlds: number;
  readonly population: StudyPopulation;
  /** What binds a policy that is to find its own contacts. */
  readonly contactPolicy: StudyContactPolicy;
  /** Stimuli that could be made, for a search; null = none are. */
  readonly design: DesignSpace | null;
}

/** A part of every persona whose people get contacts from elsewhere, which they feel as pressure and answer to somebody else. */
export interface StudyHistory {
  readonly name: string;
  /** Of each persona; the shares of all histories add to 1. */
  readonly share: number;
  /** Ticks of these contacts, each before the study's own; one that is named twice holds two, and tick 0 what came just before. */
  readonly contactsAt: readonly number[];
}

/** What stands for contacts from elsewhere among a plan's stimuli: nobody responds to it or leaves because of it. */
export const OUTSIDE: Stimulus = { id: id("outside"), name: "contacts from elsewhere", contact: true, channel: "", offer: {}, copy: {}, tags: {}, features: {}, contactCostMinor: 0 };

/** Contacts from elsewhere by tick. */
export const outsideContacts = ({ contactsAt }: StudyHistory, ticks: number): readonly number[] => Array.from({ length: ticks }, (_, tick) => contactsAt.filter((at) => at === tick).length);

export interface StudyContactPolicy {
  /** What it costs that one leaves, minor units: contacts after the study that will not be made. */
  readonly leaveCostMinor: number;
  /** Expected cost of contacts and of offers taken over all agents, at most; null = no bound. */
  readonly budgetMinor: number | null;
  /** Contacts of one person over the study, at most; null = no bound. */
  readonly contactsMax: number | null;
}

export interface StudyScenario {
  readonly name: string;
  /** Which stimulus at which ticks (every 0 ticks = once), for all personas (none named) or those named. */
  readonly contacts: readonly { readonly stimulus: string; readonly fromTick: number; readonly everyTicks: number; readonly personas: readonly string[] }[];
}

export interface StudyInfluence {
  readonly graph:
    | { readonly kind: "edges"; readonly edges: readonly { readonly from: string; readonly to: string; readonly weight: number }[] }
    | { readonly kind: "small-world"; readonly neighbors: number; readonly rewire: number }
    | { readonly kind: "scale-free"; readonly links: number };
  readonly shareRate: readonly number[];
  readonly warmthPerShare: number;
  readonly warmthHalfLifeTicks: number;
  readonly awarePerShare: number;
  readonly awareLogit: number;
}

/**
 * The study in a YAML or JSON file (`source` a path) or an object, with its names resolved against the model: personas and
 * stimuli to ids, defaults filled in. The default pressure has no effect and nothing decays, so that an unadorned study
 * rehearses exactly the rates the model states. Throws FILE_MISSING, or BAD_STUDY naming file, line and key.
 */
export function readStudy(source: string | object, model: Model): Study {
  const root = (typeof source === "string" ? readDocument(source, "BAD_STUDY") : new Entry({ path: "the study", code: "BAD_STUDY", lineOf: () => 1 }, [], source)).only([
    "name", "seed", "agents", "ticks", "personas", "stimuli", "newStimuli", "scenarios", "everyTicks", "pressure", "returnRate", "influence", "shocks",
    "histories", "economicValueMinor", "worlds", "population", "contactPolicy", "design",
  ]);
  const personas = resolver("persona", model.mixture.personas), histories = root.at("histories").entries().map(([name, entry]) => readHistory(name, entry));
  // A scenario may speak of a part of a persona.
  const parts = resolver("persona", model.mixture.personas.flatMap((persona) => [persona, ...histories.map((history) => ({ id: partOf(persona.id, history), name: partOf(persona.name, history) }))]));
  const newStimuli = root.at("newStimuli").list().map(readStimulus);
  newStimuli.forEach((stimulus, index) => {
    if ([...model.response.stimuli, ...newStimuli.slice(0, index)].some((other) => other.id === stimulus.id)) {
      root.at("newStimuli").list()[index].at("id").fail(`"${stimulus.id}" is already a stimulus; give the new one another id`);
    }
  });
  const stimuli = resolver("stimulus", [...model.response.stimuli, ...newStimuli]);
  const ticks = root.at("ticks").number({ integer: true, min: 1, max: STUDY_LIMITS.ticks, absent: 30 });
  const pressure = orEmpty(root.at("pressure")).only(["perContact", "perResponse", "logitPerUnit", "leaveLogitPerUnit", "gapTicks"]);
  const scenarios = root.at("scenarios").list().map((entry) => readScenario(entry, ticks, parts, stimuli));
  scenarios.forEach((scenario, index) => {
    if (scenarios.findIndex((other) => other.name === scenario.name) < index) root.at("scenarios").list()[index].at("name").fail(`"${scenario.name}" is used twice; scenarios need different names`);
  });
  const shares = histories.reduce((sum, { share }) => sum + share, 0);
  if (histories.length > 0) {
    if (Math.abs(shares - 1) > 1e-6) root.at("histories").fail(`the shares add to ${Number(shares.toPrecision(6))}; expected 1`);
    if (!root.at("influence").absent) root.at("influence").fail("influence goes from persona to persona and knows no parts of them; take out `histories` or `influence`");
    if ([...model.response.stimuli, ...newStimuli].some((stimulus) => stimulus.id === OUTSIDE.id)) root.at("histories").fail(`a stimulus is called "${OUTSIDE.id}", which stands for contacts from elsewhere; name it otherwise`);
    histories.forEach(({ name, contactsAt }) => { if (contactsAt.some((tick) => tick >= ticks)) root.at("histories").at(name).at("contactsAt").fail(`tick ${Math.max(...contactsAt)} is not one of the study's; expected 0 to ${ticks - 1}`); });
  }
  return {
    name: root.at("name").text("study"),
    seed: root.at("seed").number({ integer: true, min: 0, max: Number.MAX_SAFE_INTEGER, absent: 1 }),
    agents: root.at("agents").number({ integer: true, min: 1, max: STUDY_LIMITS.agents, absent: 100_000 }),
    ticks,
    personas: resolved(root.at("personas"), personas),
    stimuli: resolved(root.at("stimuli"), stimuli),
    newStimuli,
    scenarios,
    histories,
    everyTicks: root.at("everyTicks").number({ integer: true, min: 1, max: STUDY_LIMITS.ticks, absent: 7 }),
    pressure: {
      perContact: pressure.at("perContact").number({ integer: true, min: 0, max: 255, absent: 32 }),
      perResponse: pressure.at("perResponse").number({ integer: true, min: 0, max: 255, absent: 0 }),
      logitPerUnit: pressure.at("logitPerUnit").number({ min: -0.1, max: 0.1, absent: 0 }),
      leaveLogitPerUnit: pressure.at("leaveLogitPerUnit").number({ min: -0.1, max: 0.1, absent: 0 }),
      gapTicks: pressure.at("gapTicks").number({ integer: true, min: 0, max: 7, absent: 0 }),
    },
    returnRate: root.at("returnRate").number({ min: 0, max: 1, absent: 0 }),
    influence: root.at("influence").absent ? null : readInfluence(root.at("influence"), model.response.steps.length, personas),
    shocks: root.at("shocks").list().map((entry) => readShock(entry, personas)),
    economicValueMinor: root.at("economicValueMinor").absent ? null : root.at("economicValueMinor").number({ min: -1e12, max: 1e12 }),
    worlds: root.at("worlds").number({ integer: true, min: 1, max: model.response.worlds, absent: model.response.worlds }),
    population: readPopulation(root.at("population")),
    contactPolicy: readContactPolicy(root.at("contactPolicy")),
    design: root.at("design").absent ? null : readDesign(root.at("design"), ticks, [...model.response.stimuli, ...newStimuli]),
  };
}

/** The stimuli a study rehearses, in the model's order, then the new ones. */
export function stimuliOf(model: Model, study: Study): readonly Stimulus[] {
  const all = [...model.response.stimuli, ...study.newStimuli];
  return study.stimuli.length === 0 ? all : all.filter((stimulus) => study.stimuli.includes(stimulus.id));
}

/** The id or name of a persona's people with one history. */
export const partOf = (persona: string, { name }: StudyHistory): string => `${persona}/${name}`;

/** Most contacts from elsewhere of one history, and at one tick. */
const OUTSIDE_MOST = { all: 1_000, tick: 8 } as const;

function readHistory(name: string, entry: Entry): StudyHistory {
  entry.only(["share", "contactsAt"]);
  const contactsAt = entry.at("contactsAt").absent ? [] : entry.at("contactsAt").list().map((at) => at.number({ integer: true, min: 0 }));
  if (contactsAt.length > OUTSIDE_MOST.all || contactsAt.some((tick) => contactsAt.filter((other) => other === tick).length > OUTSIDE_MOST.tick)) entry.at("contactsAt").fail(`at most ${OUTSIDE_MOST.all} contacts, and ${OUTSIDE_MOST.tick} at one tick`);
  return { name, share: entry.at("share").number({ min: 0, max: 1 }), contactsAt };
}

/** Refuses a study with histories where only whole personas can be compared. */
export function refuseHistories(study: Study, what: string): void {
  if (study.histories.length > 0) throw new PopulaceError("BAD_STUDY", `study ${study.name}: ${what} is found for whole personas; take out \`histories\`, or look for contacts (--find contacts)`, { study: study.name });
}

/** Indexes (in the model) of the personas a study rehearses. */
export function personasOf(model: Model, study: Study): readonly number[] {
  const all = model.mixture.personas.map((_, index) => index);
  return study.personas.length === 0 ? all : all.filter((index) => study.personas.includes(model.mixture.personas[index].id));
}

/** Id of a thing named by id or by an unambiguous name. */
type Resolver = (entry: Entry) => string;

function resolver(noun: string, things: readonly { readonly id: string; readonly name: string }[]): Resolver {
  return (entry) => {
    const name = entry.text();
    if (things.some((thing) => thing.id === name)) return name;
    const named = things.filter((thing) => thing.name === name);
    if (named.length === 1) return named[0].id;
    if (named.length > 1) entry.fail(`${named.length} ${noun} entries are named "${name}"; use one of the ids ${named.map((thing) => thing.id).join(", ")}`);
    return entry.fail(`unknown ${noun} "${name}"${didYouMean(name, [...new Set(things.flatMap((thing) => [thing.id, thing.name]))])}`);
  };
}

function resolved(entry: Entry, of: Resolver): readonly string[] {
  const ids = entry.list().map(of);
  ids.forEach((found, index) => {
    if (ids.indexOf(found) < index) entry.list()[index].fail(`"${found}" is named twice`);
  });
  return ids;
}

const orEmpty = (entry: Entry): Entry => (entry.absent ? new Entry(entry.source, entry.keys, {}) : entry);

function readPopulation(entry: Entry): StudyPopulation {
  const given = orEmpty(entry).only(["form", "factors", "precision", "draws"]);
  const or = <T extends string>(key: string, choices: readonly T[]): T => (given.at(key).absent ? choices[0] : given.at(key).oneOf(choices));
  const factors = given.at("factors").number({ integer: true, min: 4, max: 16, absent: 4 });
  if (factors % 4 !== 0) given.at("factors").fail(`expected 4, 8, 12 or 16; found ${factors}`);
  const population: StudyPopulation = {
    form: or("form", ["auto", "coded", "factor"] as const), factors: factors as StudyPopulation["factors"],
    precision: or("precision", ["int8", "int16"] as const), draws: or("draws", ["auto", "dense", "thinned"] as const),
  };
  if (population.precision === "int16" && population.form === "factor") given.at("precision").fail(`the factor form has int8 factors; leave precision out, or use form "coded"`);
  return population;
}

function readContactPolicy(entry: Entry): StudyContactPolicy {
  const given = orEmpty(entry).only(["leaveCostMinor", "budgetMinor", "contactsMax"]);
  const orNull = (key: string, range: { readonly min: number; readonly max: number; readonly integer?: boolean }): number | null => (given.at(key).absent ? null : given.at(key).number(range));
  return {
    leaveCostMinor: given.at("leaveCostMinor").number({ min: 0, max: 1e12, absent: 0 }),
    budgetMinor: orNull("budgetMinor", { min: 0, max: 1e15 }), contactsMax: orNull("contactsMax", { integer: true, min: 0, max: STUDY_LIMITS.ticks }),
  };
}

function readStimulus(entry: Entry): Stimulus {
  entry.only(["id", "name", "contact", "channel", "offer", "copy", "tags", "features", "contactCostMinor"]);
  const offer = orEmpty(entry.at("offer")).only(["priceCut", "valueMinor", "costMinor"]);
  const copy = orEmpty(entry.at("copy")).only(["subject", "body"]);
  const stimulusId = entry.at("id").text();
  const optional = <T>(child: Entry, key: string, read: () => T): Record<string, T> => (child.absent ? {} : { [key]: read() });
  const minor = (key: string) => optional(offer.at(key), key, () => offer.at(key).number({ integer: true, min: 0, max: 1e12 }));
  return {
    id: id(stimulusId),
    name: entry.at("name").text(stimulusId),
    contact: entry.at("contact").boolean(true),
    channel: entry.at("channel").text(""),
    offer: { ...optional(offer.at("priceCut"), "priceCut", () => offer.at("priceCut").number({ min: 0, max: 1 })), ...minor("valueMinor"), ...minor("costMinor") },
    copy: { ...optional(copy.at("subject"), "subject", () => copy.at("subject").text()), ...optional(copy.at("body"), "body", () => copy.at("body").text()) },
    tags: Object.fromEntries(entry.at("tags").entries().map(([tag, value]) => [tag, value.text()])),
    features: Object.fromEntries(entry.at("features").entries().map(([name, value]) => [name, value.number()])),
    contactCostMinor: entry.at("contactCostMinor").number({ min: 0, max: 1e12, absent: 0 }),
  };
}

function readScenario(entry: Entry, ticks: number, personas: Resolver, stimuli: Resolver): StudyScenario {
  entry.only(["name", "contacts"]);
  const contacts = entry.at("contacts").list().map((contact) => {
    contact.only(["stimulus", "fromTick", "everyTicks", "personas"]);
    return {
      stimulus: stimuli(contact.at("stimulus")),
      fromTick: contact.at("fromTick").number({ integer: true, min: 0, max: ticks - 1, absent: 0 }),
      everyTicks: contact.at("everyTicks").number({ integer: true, min: 0, max: STUDY_LIMITS.ticks, absent: 0 }),
      personas: resolved(contact.at("personas"), personas),
    };
  });
  if (contacts.length === 0) entry.at("contacts").fail("expected a list of {stimulus, fromTick, everyTicks, personas}; found none");
  return { name: entry.at("name").text(), contacts };
}

function readInfluence(entry: Entry, steps: number, personas: Resolver): StudyInfluence {
  entry.only(["graph", "shareRate", "warmthPerShare", "warmthHalfLifeTicks", "awarePerShare", "awareLogit"]);
  const rates = entry.at("shareRate");
  const shareRate = rates.isList ? rates.list().map((rate) => rate.number({ min: 0, max: 1 })) : [rates.number({ min: 0, max: 1 })];
  if (shareRate.length !== 1 && shareRate.length !== steps) rates.fail(`expected one rate, or one for each of the ${steps} steps; found ${shareRate.length}`);
  return {
    graph: readGraph(entry.at("graph"), personas),
    shareRate,
    warmthPerShare: entry.at("warmthPerShare").number({ min: -100, max: 100, absent: 0 }),
    warmthHalfLifeTicks: entry.at("warmthHalfLifeTicks").number({ min: 0.01, max: 1e6, absent: 7 }),
    awarePerShare: entry.at("awarePerShare").number({ min: 0, max: 1, absent: 0 }),
    awareLogit: entry.at("awareLogit").number({ min: -10, max: 10, absent: 0 }),
  };
}

function readGraph(entry: Entry, personas: Resolver): StudyInfluence["graph"] {
  entry.only(["kind", "edges", "neighbors", "rewire", "links"]);
  const kind = entry.at("kind").oneOf(["edges", "small-world", "scale-free"] as const);
  switch (kind) {
    case "edges":
      entry.only(["kind", "edges"]);
      return {
        kind,
        edges: entry.at("edges").list().map((edge) => {
          edge.only(["from", "to", "weight"]);
          return { from: personas(edge.at("from")), to: personas(edge.at("to")), weight: edge.at("weight").number({ min: 0, max: 100, absent: 1 }) };
        }),
      };
    case "small-world":
      entry.only(["kind", "neighbors", "rewire"]);
      return { kind, neighbors: entry.at("neighbors").number({ integer: true, min: 1, max: 1_000, absent: 2 }), rewire: entry.at("rewire").number({ min: 0, max: 1, absent: 0.1 }) };
    case "scale-free":
      entry.only(["kind", "links"]);
      return { kind, links: entry.at("links").number({ integer: true, min: 1, max: 1_000, absent: 2 }) };
  }
}

function readShock(entry: Entry, personas: Resolver): ModelShock {
  entry.only(["attitude", "channel", "persona", "size", "halfLifeTicks", "startTick", "source", "evidence"]);
  const attitude = entry.at("attitude").oneOf(["price-sensitivity", "channel-affinity", "brand-warmth", "contact-pressure"] as const);
  const persona = entry.at("persona");
  return {
    attitude,
    channel: attitude === "channel-affinity" ? entry.at("channel").text() : entry.at("channel").text("*"),
    persona: persona.absent || persona.value === "*" ? "*" : personas(persona),
    size: entry.at("size").number({ min: -10, max: 10 }),
    halfLifeTicks: entry.at("halfLifeTicks").number({ min: 0.01, max: 1e6, absent: 7 }),
    startTick: entry.at("startTick").number({ integer: true, min: -1e6, max: 1e6, absent: 0 }),
    source: entry.at("source").text("study"),
    evidence: entry.at("evidence").text(""),
  };
}
