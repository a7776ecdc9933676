export * from "./plan.ts";
export * from "./messages.ts";
export * from "./subjects.ts";
export * from "./limits.ts";
export * from "./canonical.ts";
export * from "./plan-codec.ts";
export * from "./root.ts";
export * from "./codec.ts";
