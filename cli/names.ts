import type { Model } from "@populace/studies";

/** Persona id -> name, for people; JSON keeps the ids. */
export const personaNames = (model: Pick<Model, "mixture">): ReadonlyMap<string, string> => new Map(model.mixture.personas.map((persona) => [persona.id, persona.name]));

/** Stimulus id -> name. */
export const stimulusNames = (model: Pick<Model, "response">): ReadonlyMap<string, string> => new Map(model.response.stimuli.map((stimulus) => [stimulus.id, stimulus.name]));

/** Tenant of a store that one person uses alone. */
export const LOCAL_TENANT = "local";
