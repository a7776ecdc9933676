import { PopulaceError } from "@populace/domain";
import { ErrorResponse, SimulateRequest, SimulateResponse } from "../core/schemas.ts";
import { releaseFields } from "../core/release.ts";
import { served } from "./context.ts";
import type { GatewayApp, RouteContext } from "./context.ts";

/** POST /v1/simulate: what one contact with a stimulus would bring, simulated from the model of the release being served. */
export function simulateRoute(app: GatewayApp, context: RouteContext): void {
  app.post("/v1/simulate", {
    schema: {
      summary: "What if everybody met this stimulus once?",
      description: "Simulates agents at once and commits nothing. Rates come with their intervals and evidence; a stimulus the model has never seen is answered from its features, and its intervals say so.",
      body: SimulateRequest, response: { 200: SimulateResponse, "4xx": ErrorResponse, "5xx": ErrorResponse },
    },
    async handler(request) {
      const current = served(context), { table } = current;
      if (context.whatIf === null) throw new PopulaceError("UNAVAILABLE", "this gateway was started without models, so it cannot simulate", {});
      const startedMs = performance.now();
      const { stimulus, agents, personas, seed } = request.body;
      const { answer, backend } = await context.whatIf.ask(table.release, {
        stimulus, ...(agents === undefined ? {} : { agents }), ...(personas === undefined ? {} : { personas }), ...(seed === undefined ? {} : { seed }),
      });
      return {
        ...releaseFields(current),
        stimulus: answer.stimulus, agents: answer.agents, exposures: answer.exposures, backend, milliseconds: performance.now() - startedMs,
        rates: answer.rates.map(({ persona, step, mean, low, high, ess, label, responses, exposures }) => ({ persona, step, mean, low, high, ess, label, responses, exposures })),
      };
    },
  });
}
