import type { GatewayApp, RouteContext } from "./context.ts";

/** GET /health (the process lives), /ready (it serves a release), /metrics, /openapi.json. */
export function operationRoutes(app: GatewayApp, context: RouteContext): void {
  app.get("/health", { schema: { summary: "The process lives" } }, () => ({ status: "ok" }));
  app.get("/ready", { schema: { summary: "A release is served" } }, (_request, reply) => {
    const table = context.releases.current?.table;
    return table === undefined ? reply.code(503).send({ status: "no release" }) : reply.send({ status: "ready", release: table.release, version: table.version });
  });
  app.get("/metrics", { schema: { hide: true } }, async (_request, reply) => reply.type(context.metrics.registry.contentType).send(await context.metrics.registry.metrics()));
  app.get("/openapi.json", { schema: { hide: true } }, () => app.swagger());
}
