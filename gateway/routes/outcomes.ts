import { PopulaceError } from "@populace/domain";
import type { Store } from "@populace/io";
import { sortOutcomes } from "../core/outcome.ts";
import { DeadLettersResponse, ErrorResponse, OutcomesRequest, OutcomesResponse } from "../core/schemas.ts";
import { readDeadLetters, storeEvents, storeOutcomes } from "../shell/outbox.ts";
import { served } from "./context.ts";
import type { GatewayApp, RouteContext } from "./context.ts";

/**
 * POST /v1/outcomes: 202 once the outcomes are on disk here; a cluster's ledger counts them, or a later `learn` folds them into the model.
 * GET /v1/outcomes/refused: what could not be counted, and why.
 */
export function outcomesRoute(app: GatewayApp, context: RouteContext): void {
  const storeOf = (): Store => {
    if (context.store === null) throw new PopulaceError("UNAVAILABLE", "this gateway has no store for outcomes; start it with --store DIR", {});
    return context.store;
  };
  app.post("/v1/outcomes", {
    schema: { summary: "Takes observed outcomes", body: OutcomesRequest, response: { 202: OutcomesResponse, "4xx": ErrorResponse, "5xx": ErrorResponse } },
    handler: async (request, reply) => {
      const store = storeOf(), { outcomes, purpose } = request.body;
      const { table, ledger } = served(context);
      const { accepted, withoutConsent, refused } = sortOutcomes(table, outcomes, purpose, context.policy, context.nowMs(), ledger === "" || context.cluster === null ? Number.POSITIVE_INFINITY : context.cluster.horizonDays);
      const stored = ledger === "" ? await storeOutcomes(store, accepted, refused) : await storeEvents(store, table, ledger, accepted, refused);
      context.cluster?.wake();
      context.metrics.outcomes.inc(stored);
      context.metrics.deadLetters.inc(refused.length);
      return reply.code(202).send({ accepted: stored, doubled: accepted.length - stored, withoutConsent, refused: [...refused] });
    },
  });
  app.get("/v1/outcomes/refused", {
    schema: { summary: "Outcomes that could not be counted, oldest first", response: { 200: DeadLettersResponse, "4xx": ErrorResponse, "5xx": ErrorResponse } },
    handler: () => ({ refused: [...readDeadLetters(storeOf())] }),
  });
}
