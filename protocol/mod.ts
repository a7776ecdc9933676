export * from "./plan.ts";
export * from "./messages.ts";
export * from "./subjects.ts";
