import type { GatewayApp, RouteContext } from "./context.ts";

/** GET /health (the process lives), /ready (it serves a release), /metrics, /openapi.json. */
export function operationRoutes(app: GatewayApp, context: RouteContext): void {
  app.get("/health", { schema: { summary: "The process lives" } }, () => ({ status: "ok" }));
  app.get("/ready", { schema: { summary: "A release is served, and how stale it is" } }, (_request, reply) => {
    const { current } = context.releases, { cluster, staleSecondsMax } = context;
    const seconds = cluster?.staleSeconds() ?? 0;
    const link = cluster === null ? {} : { releaseNumber: current?.number ?? 0, staleSeconds: Number.isFinite(seconds) ? seconds : null, cluster: cluster.connection(), outcomesWaiting: cluster.waiting() };
    if (current === null) return reply.code(503).send({ status: "no release", ...link });
    const { release, version } = current.table;
    return seconds > staleSecondsMax ? reply.code(503).send({ status: "stale", release, version, ...link }) : reply.send({ status: "ready", release, version, ...link });
  });
  app.get("/metrics", { schema: { hide: true } }, async (_request, reply) => reply.type(context.metrics.registry.contentType).send(`${await context.metrics.registry.metrics()}\n${await context.moreMetrics()}`));
  app.get("/openapi.json", { schema: { hide: true } }, () => app.swagger());
}
