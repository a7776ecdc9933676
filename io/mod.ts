export type * from "./ports.ts";
export * from "./hash.ts";
