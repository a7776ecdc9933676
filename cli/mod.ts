export { runPopulace } from "./program.ts";
