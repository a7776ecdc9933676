import { isSimdHere } from "../backends/webassembly.ts";
import type { ExposePlan } from "../expose/plan.ts";
import { referenceRates } from "./reference.ts";
import { wasmRates } from "./wasm.ts";

/**
 * The expected response rates of every world: worlds x cells x personas x steps, each the mean over the persona's first `panelAgents` agents of
 * the nested chance to reach step k at tick 0, by an agent without history (SPEC.md, "Expected rates"). No sampling of responses, so the
 * spread over worlds is that of the parameters. At once and on this thread, in WebAssembly where there is SIMD: the numbers are the same.
 */
export function expectedRates(plan: ExposePlan, options: { readonly panelAgents: number }): Float64Array {
  return isSimdHere() ? wasmRates(plan, options.panelAgents) : referenceRates(plan, options.panelAgents);
}
