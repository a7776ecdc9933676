export * from "./ids.ts";
export * from "./error.ts";
export * from "./persona/trait.ts";
export * from "./persona/persona.ts";
export * from "./stimulus/stimulus.ts";
export * from "./stimulus/response-model.ts";
export * from "./consent/consent.ts";
