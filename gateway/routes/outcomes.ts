import { PopulaceError } from "@populace/domain";
import { sortOutcomes } from "../core/outcome.ts";
import { ErrorResponse, OutcomesRequest, OutcomesResponse } from "../core/schemas.ts";
import { storeOutcomes } from "../shell/outbox.ts";
import { served } from "./context.ts";
import type { GatewayApp, RouteContext } from "./context.ts";

/** POST /v1/outcomes: 202 once the outcomes are on disk here; a later `learn` folds them into the model. */
export function outcomesRoute(app: GatewayApp, context: RouteContext): void {
  app.post("/v1/outcomes", {
    schema: { summary: "Takes observed outcomes", body: OutcomesRequest, response: { 202: OutcomesResponse, "4xx": ErrorResponse, "5xx": ErrorResponse } },
    handler: async (request, reply) => {
      if (context.store === null) throw new PopulaceError("UNAVAILABLE", "this gateway has no store for outcomes; start it with --store DIR", {});
      const { outcomes, purpose } = request.body;
      const { accepted, withoutConsent } = sortOutcomes(served(context).table, outcomes, purpose, context.policy, context.nowMs());
      const stored = await storeOutcomes(context.store, accepted);
      context.metrics.outcomes.inc(stored);
      return reply.code(202).send({ accepted: stored, doubled: accepted.length - stored, withoutConsent });
    },
  });
}
