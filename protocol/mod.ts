export * from "./plan.ts";
export * from "./messages.ts";
