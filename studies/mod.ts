export * from "./schema.ts";
export * from "./model.ts";
export * from "./study.ts";
export * from "./run.ts";
export { Entry, readDocument } from "./document.ts";
