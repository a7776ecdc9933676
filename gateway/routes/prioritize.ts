import { sha256Hex } from "@populace/io";
import { ErrorResponse, PrioritizeRequest, PrioritizeResponse } from "../core/schemas.ts";
import { releaseFields } from "../core/release.ts";
import { BODY_TEXT, served } from "./context.ts";
import type { GatewayApp, RouteContext } from "./context.ts";

const utf8 = new TextEncoder();

/** POST /v1/prioritize: one recipient or many, campaigns in the body or held here. */
export function prioritizeRoute(app: GatewayApp, context: RouteContext): void {
  const heldHash = sha256Hex(utf8.encode(JSON.stringify([context.policy.campaigns, context.policy.purpose, context.policy.requireConsent])));
  app.post("/v1/prioritize", {
    schema: { summary: "Ranks campaigns for recipients", body: PrioritizeRequest, response: { 200: PrioritizeResponse, "4xx": ErrorResponse, "5xx": ErrorResponse } },
    handler: (request) => {
      const current = served(context), { table, decide } = current;
      const atMs = context.nowMs();
      const decisions = decide(request.body, atMs);
      // Everything a decision rests on: the release, what is asked (held campaigns belong to the process), and the day, by which
      // consent is judged. The millisecond is not an input.
      const inputs = sha256Hex(utf8.encode(`${table.release}\n${Math.floor(atMs / 86_400_000)}\n${heldHash}\n${BODY_TEXT.get(request as never) ?? ""}`));
      context.metrics.decided(decisions);
      return {
        ...releaseFields(current), mode: request.body.mode ?? "plain", currency: table.currency, minorUnits: table.minorUnits,
        decisions: decisions.map((decision, index) => ({ decisionId: decisions.length === 1 ? inputs : `${inputs}-${index}`, ...decision })) as never,
      };
    },
  });
}
