import type { Model, Study } from "@populace/studies";

/** Persona id -> name, for people; JSON keeps the ids. With a study's histories also of the parts of each persona, `ID/HISTORY` -> `NAME/HISTORY`. */
export const personaNames = (model: Pick<Model, "mixture">, histories: Study["histories"] = []): ReadonlyMap<string, string> =>
  new Map(model.mixture.personas.flatMap(({ id, name }) => [[id as string, name] as const, ...histories.map((history) => [`${id}/${history.name}`, `${name}/${history.name}`] as const)]));

/** Stimulus id -> name. */
export const stimulusNames = (model: Pick<Model, "response">): ReadonlyMap<string, string> => new Map(model.response.stimuli.map((stimulus) => [stimulus.id, stimulus.name]));

/** Tenant of a store that one person uses alone. */
export const LOCAL_TENANT = "local";
