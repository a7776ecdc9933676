export * from "./philox.ts";
export * from "./random-stream.ts";
