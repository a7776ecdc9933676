import { getResponseRate } from "@populace/domain";
import { consolePage } from "../core/console.ts";
import { ErrorResponse, ModelResponse, PersonasResponse } from "../core/schemas.ts";
import { releaseFields } from "../core/release.ts";
import { served } from "./context.ts";
import type { GatewayApp, RouteContext } from "./context.ts";

/** The page has styles of its own and nothing else: no script, no frame, no foreign origin. */
const CONSOLE_HEADERS = { contentSecurityPolicy: { useDefaults: false, directives: { "default-src": ["'none'"], "style-src": ["'unsafe-inline'"], "base-uri": ["'none'"], "form-action": ["'none'"], "frame-ancestors": ["'none'"] } } };

/** GET /v1/personas, /v1/model and the console's page. */
export function modelRoutes(app: GatewayApp, context: RouteContext): void {
  app.get("/v1/personas", { schema: { summary: "Personas with their response rates", response: { 200: PersonasResponse, "5xx": ErrorResponse } } }, () => {
    const current = served(context), { table } = current;
    return {
      ...releaseFields(current),
      personas: table.mixture.personas.map((persona, p) => ({
        id: persona.id as string, name: persona.name, share: persona.share, lineage: { ...persona.lineage, parents: [...persona.lineage.parents] },
        rates: table.stimuli.flatMap((stimulus, s) => table.steps.map((step, index) => {
          const { mean, low, high, ess, label } = getResponseRate(table, p, s, index);
          return { stimulus: stimulus.id, step, mean, low, high, ess, label };
        })),
      })),
    };
  });

  app.get("/v1/model", { schema: { summary: "The release being served", response: { 200: ModelResponse, "5xx": ErrorResponse } } }, () => {
    const current = served(context), { table } = current;
    return {
      ...releaseFields(current), steps: [...table.steps], currency: table.currency,
      stimuli: table.stimuli.map(({ id, name, contact, channel }) => ({ id, name, contact, channel })),
      attributes: table.mixture.codings.map(({ name, kind, unit, levels }) => ({ name, kind, unit, levels: [...levels] })),
      campaigns: context.policy.campaigns.map((campaign) => campaign.id), consentPurpose: context.policy.requireConsent ? context.policy.purpose : null,
    };
  });

  app.get("/", { schema: { hide: true }, helmet: CONSOLE_HEADERS }, (_request, reply) => reply.type("text/html; charset=utf-8").send(consolePage(context.releases.current?.table ?? null)));
}
