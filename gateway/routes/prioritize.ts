import { sha256Hex } from "@populace/io";
import { ErrorResponse, PrioritizeRequest, PrioritizeResponse } from "../core/schemas.ts";
import { served } from "./context.ts";
import type { GatewayApp, RouteContext } from "./context.ts";

const utf8 = new TextEncoder();

/** POST /v1/prioritize: one recipient or many, campaigns in the body or held here. */
export function prioritizeRoute(app: GatewayApp, context: RouteContext): void {
  app.post("/v1/prioritize", {
    schema: { summary: "Ranks campaigns for recipients", body: PrioritizeRequest, response: { 200: PrioritizeResponse, "4xx": ErrorResponse, "5xx": ErrorResponse } },
    handler: (request) => {
      const { table, decide } = served(context);
      const { recipient, recipients, ...policy } = request.body;
      const atMs = context.nowMs();
      const decisions = decide(request.body, atMs);
      const people = recipients ?? [recipient!];
      // Consent is judged by the day it is asked on, so the day is an input; the millisecond is not.
      const common = JSON.stringify([table.release, policy, policy.campaigns === undefined ? context.policy.campaigns : null, Math.floor(atMs / 86_400_000)]);
      context.metrics.decided(decisions);
      return {
        release: table.release, model: table.model, version: table.version, evidence: table.evidence, mode: policy.mode ?? "plain", currency: table.currency, minorUnits: table.minorUnits,
        decisions: decisions.map((decision, index) => ({ decisionId: sha256Hex(utf8.encode(common + JSON.stringify(people[index]))), ...decision })) as never,
      };
    },
  });
}
