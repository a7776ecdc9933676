import { id } from "@populace/domain";
import type { Stimulus } from "@populace/domain";
import { StrictDocument, suggestion } from "./strict-document.ts";
import type { StrictKeys } from "./strict-document.ts";
import type { Model, ModelShock } from "./model.ts";

/** Limits of a study: above them a refusal names the limit. */
export const STUDY_LIMITS = { agents: 100_000_000, ticks: 3_650, stimuli: 512, worlds: 4_096 } as const;

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
  readonly pressure: { readonly perContact: number; readonly perResponse: number; readonly logitPerUnit: number; readonly leaveLogitPerUnit: number; readonly gapTicks: number };
  readonly returnRate: number;
  readonly influence: StudyInfluence | null;
  readonly shocks: readonly ModelShock[];
  /** Economic value of the last step, minor units; absent = the value model, else 100. */
  readonly economicValueMinor: number | null;
  readonly worlds: number;
}

export interface StudyScenario {
  readonly name: string;
  /** Which stimulus at which ticks, for all personas or those named. */
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
 * The study in a YAML or JSON file (`source` a path) or an object, with its names resolved against the model: personas to
 * ids, stimuli to ids, defaults filled in. The default pressure has no effect and nothing decays, so that an unadorned study
 * rehearses exactly the rates the model states. Throws BAD_STUDY naming file, line, column and key.
 */
export function readStudy(source: string | object, model: Model): Study {
  const document = new StrictDocument(source, "BAD_STUDY");
  const keys = document.keys();
  const personaId = names("persona", model.mixture.personas);
  const newStimuli = keys.objects("newStimuli").map(readStimulus);
  const stimulusId = names("stimulus", [...model.response.stimuli, ...newStimuli]);
  newStimuli.forEach((stimulus, index) => {
    const taken = [...model.response.stimuli, ...newStimuli.slice(0, index)].some((other) => other.id === stimulus.id);
    if (taken) document.refuse(["newStimuli", index, "id"], `"${stimulus.id}" is already a stimulus; give the new one another id`);
  });
  const resolve = (list: readonly string[], of: typeof personaId, path: StrictKeys["path"], key: string): readonly string[] =>
    list.map((name, index) => of(name, (message) => document.refuse([...path, key, index], message)));

  const ticks = keys.integer("ticks", 30, 1, STUDY_LIMITS.ticks);
  const chosen = resolve(keys.texts("stimuli"), stimulusId, [], "stimuli");
  const pressure = keys.object("pressure");
  const shocks = keys.objects("shocks");
  const economicValueMinor = keys.has("economicValueMinor") ? keys.number("economicValueMinor", undefined, -1e12, 1e12) : null;
  const study: Study = {
    name: keys.text("name", "study"),
    seed: keys.integer("seed", 1, 0, Number.MAX_SAFE_INTEGER),
    agents: keys.integer("agents", 100_000, 1, STUDY_LIMITS.agents),
    ticks,
    personas: resolve(keys.texts("personas"), personaId, [], "personas"),
    stimuli: chosen,
    newStimuli,
    scenarios: keys.objects("scenarios").map((scenario) => readScenario(scenario, ticks, resolve, personaId, stimulusId)),
    everyTicks: keys.integer("everyTicks", 7, 1, STUDY_LIMITS.ticks),
    pressure: {
      perContact: pressure.integer("perContact", 32, 0, 255),
      perResponse: pressure.integer("perResponse", 0, 0, 255),
      logitPerUnit: pressure.number("logitPerUnit", 0, -0.1, 0.1),
      leaveLogitPerUnit: pressure.number("leaveLogitPerUnit", 0, -0.1, 0.1),
      gapTicks: pressure.integer("gapTicks", 0, 0, 7),
    },
    returnRate: keys.number("returnRate", 0, 0, 1),
    influence: keys.has("influence") ? readInfluence(keys.object("influence"), model, personaId) : null,
    shocks: shocks.map((shock) => readShock(shock, personaId)),
    economicValueMinor,
    worlds: keys.integer("worlds", model.response.worlds, 1, STUDY_LIMITS.worlds),
  };
  pressure.done();
  keys.done();
  duplicates(study.scenarios.map((scenario) => scenario.name), (name, index) => document.refuse(["scenarios", index, "name"], `"${name}" is used twice; scenarios need different names`));
  duplicates(study.personas, (name, index) => document.refuse(["personas", index], `"${name}" is named twice`));
  duplicates(study.stimuli, (name, index) => document.refuse(["stimuli", index], `"${name}" is named twice`));
  if (study.worlds > model.response.worlds) {
    document.refuse(["worlds"], `expected at most ${model.response.worlds}, the worlds (posterior draws) of the model, found ${study.worlds}; refit with more`);
  }
  return study;
}

/** The stimuli a study rehearses, in the model's order, then the new ones. */
export function stimuliOf(model: Model, study: Study): readonly Stimulus[] {
  const all = [...model.response.stimuli, ...study.newStimuli];
  return study.stimuli.length === 0 ? all : all.filter((stimulus) => study.stimuli.includes(stimulus.id));
}

/** Indexes (in the model) of the personas a study rehearses. */
export function personasOf(model: Model, study: Study): readonly number[] {
  const all = model.mixture.personas.map((_, index) => index);
  return study.personas.length === 0 ? all : all.filter((index) => study.personas.includes(model.mixture.personas[index].id));
}

type Refuse = (message: string) => never;
type Resolver = (name: string, refuse: Refuse) => string;

/** Resolves an id or an unambiguous name to the id. */
function names(noun: string, things: readonly { readonly id: string; readonly name: string }[]): Resolver {
  return (name, refuse) => {
    if (things.some((thing) => thing.id === name)) return name;
    const named = things.filter((thing) => thing.name === name);
    if (named.length > 1) refuse(`${named.length} ${noun}s are named "${name}"; use the id, one of ${named.map((thing) => thing.id).join(", ")}`);
    if (named.length === 1) return named[0].id;
    return refuse(`unknown ${noun} "${name}"${suggestion(name, things.flatMap((thing) => [thing.id, thing.name]))}; known: ${things.map((thing) => thing.id).join(", ")}`);
  };
}

function duplicates(list: readonly string[], refuse: (name: string, index: number) => never): void {
  list.forEach((name, index) => {
    if (list.indexOf(name) < index) refuse(name, index);
  });
}

function readStimulus(keys: StrictKeys): Stimulus {
  const offer = keys.object("offer");
  const copy = keys.object("copy");
  const optional = <T>(key: string, source: StrictKeys, read: () => T): Record<string, T> => (source.has(key) ? { [key]: read() } : {});
  const stimulusId = keys.text("id");
  const stimulus: Stimulus = {
    id: id(stimulusId),
    name: keys.text("name", stimulusId),
    contact: keys.boolean("contact", true),
    channel: keys.text("channel", ""),
    offer: {
      ...optional("priceCut", offer, () => offer.number("priceCut", undefined, 0, 1)),
      ...optional("valueMinor", offer, () => offer.integer("valueMinor", undefined, 0, 1e12)),
      ...optional("costMinor", offer, () => offer.integer("costMinor", undefined, 0, 1e12)),
    },
    copy: {
      ...optional("subject", copy, () => copy.text("subject")),
      ...optional("body", copy, () => copy.text("body")),
    },
    tags: keys.table<string>("tags", "text"),
    features: keys.table<number>("features", "number"),
    contactCostMinor: keys.number("contactCostMinor", 0, 0, 1e12),
  };
  offer.done();
  copy.done();
  keys.done();
  return stimulus;
}

function readScenario(
  keys: StrictKeys, ticks: number, resolve: (list: readonly string[], of: Resolver, path: StrictKeys["path"], key: string) => readonly string[],
  personaId: Resolver, stimulusId: Resolver,
): StudyScenario {
  const scenario: StudyScenario = {
    name: keys.text("name"),
    contacts: keys.objects("contacts").map((contact) => {
      const read = {
        stimulus: stimulusId(contact.text("stimulus"), (message) => contact.refuse("stimulus", message)),
        fromTick: contact.integer("fromTick", 0, 0, ticks - 1),
        /** 0 = once. */
        everyTicks: contact.integer("everyTicks", 0, 0, STUDY_LIMITS.ticks),
        personas: resolve(contact.texts("personas"), personaId, contact.path, "personas"),
      };
      contact.done();
      return read;
    }),
  };
  if (scenario.contacts.length === 0) keys.refuse("contacts", "is empty; expected a list of {stimulus, fromTick, everyTicks, personas}");
  keys.done();
  return scenario;
}

function readInfluence(keys: StrictKeys, model: Model, personaId: Resolver): StudyInfluence {
  const graph = keys.object("graph");
  const kind = graph.oneOf("kind", ["edges", "small-world", "scale-free"] as const);
  const resolved = (edge: StrictKeys, key: string): string => personaId(edge.text(key), (message) => edge.refuse(key, message));
  const read: StudyInfluence = {
    graph:
      kind === "edges"
        ? {
            kind,
            edges: graph.objects("edges").map((edge) => {
              const found = { from: resolved(edge, "from"), to: resolved(edge, "to"), weight: edge.number("weight", 1, 0, 100) };
              edge.done();
              return found;
            }),
          }
        : kind === "small-world"
          ? { kind, neighbors: graph.integer("neighbors", 2, 1, 1_000), rewire: graph.number("rewire", 0.1, 0, 1) }
          : { kind, links: graph.integer("links", 2, 1, 1_000) },
    shareRate: keys.numbers("shareRate", 0, 1),
    warmthPerShare: keys.number("warmthPerShare", 0, -100, 100),
    warmthHalfLifeTicks: keys.number("warmthHalfLifeTicks", 7, 0.01, 1e6),
    awarePerShare: keys.number("awarePerShare", 0, 0, 1),
    awareLogit: keys.number("awareLogit", 0, -10, 10),
  };
  const steps = model.response.steps.length;
  if (read.shareRate.length !== 1 && read.shareRate.length !== steps) keys.refuse("shareRate", `expected one rate, or one for each of the ${steps} steps, found ${read.shareRate.length}`);
  graph.done();
  keys.done();
  return read;
}

function readShock(keys: StrictKeys, personaId: Resolver): ModelShock {
  const attitude = keys.oneOf("attitude", ["price-sensitivity", "channel-affinity", "brand-warmth", "contact-pressure"] as const);
  const persona = keys.text("persona", "*");
  const shock: ModelShock = {
    attitude,
    channel: attitude === "channel-affinity" ? keys.text("channel") : keys.text("channel", "*"),
    persona: persona === "*" ? persona : personaId(persona, (message) => keys.refuse("persona", message)),
    size: keys.number("size", undefined, -10, 10),
    halfLifeTicks: keys.number("halfLifeTicks", 7, 0.01, 1e6),
    startTick: keys.integer("startTick", 0, -1e6, 1e6),
    source: keys.text("source", "study"),
    evidence: keys.text("evidence", ""),
  };
  keys.done();
  return shock;
}
