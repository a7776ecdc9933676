import fastify from "fastify";
import helmet from "@fastify/helmet";
import swagger from "@fastify/swagger";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { PopulaceError } from "@populace/domain";
import type { Campaign, ScoreTable } from "@populace/domain";
import { SILENT } from "@populace/io";
import type { Logger, Store } from "@populace/io";
import { answer, errorAnswer } from "../core/errors.ts";
import { GATEWAY_LIMITS } from "../core/limits.ts";
import type { DecisionPolicy } from "../core/prioritize.ts";
import { Releases } from "../core/release.ts";
import { BODY_TEXT } from "../routes/context.ts";
import type { GatewayApp, RouteContext } from "../routes/context.ts";
import { modelRoutes } from "../routes/model.ts";
import { operationRoutes } from "../routes/operation.ts";
import { outcomesRoute } from "../routes/outcomes.ts";
import { prioritizeRoute } from "../routes/prioritize.ts";
import { simulateRoute } from "../routes/simulate.ts";
import type { ClusterLink } from "./cluster.ts";
import { GatewayMetrics } from "./metrics.ts";
import { WhatIfDesk, type LoadModel } from "./what-if.ts";

export interface GatewayOptions {
  /** The newest committed score table, or null while there is none. Called at the start and at every refresh; without it `cluster` says what is served. */
  readonly loadTable?: () => ScoreTable | null | Promise<ScoreTable | null>;
  /** What the gateway follows, and where its outcomes are counted. */
  readonly cluster?: ClusterLink;
  /** Staleness of the release from which /ready says no; default: never, for an old decision is better than none. */
  readonly staleSecondsMax?: number;
  /** The model behind the newest committed table; without it what-if questions are refused. */
  readonly loadModel?: LoadModel;
  /** Milliseconds between looks for a newer release; 0 (default) = only when `refresh` is called. */
  readonly refreshMs?: number;
  /** Where outcomes are kept; null = they are refused. */
  readonly store?: Store | null;
  readonly campaigns?: readonly Campaign[];
  /** Purpose a contact needs consent for; default "marketing". */
  readonly purpose?: string;
  /** Ask every recipient for consent; default false: only those who bring one, or when a request names a purpose. */
  readonly requireConsent?: boolean;
  readonly logger?: Logger;
  /** More lines for /metrics, in the Prometheus text format. */
  readonly moreMetrics?: () => Promise<string>;
  readonly nowMs?: () => number;
}

export interface Gateway {
  /** The HTTP application; `app.inject` answers without a port. */
  readonly app: GatewayApp;
  /** Loads the newest table and swaps it in; false when nothing changed or it failed (the last release is served on). */
  refresh(): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * Builds a gateway and loads its first release. Without one it answers all the same: /ready says 503 and decisions
 * `UNAVAILABLE`. Listening is `startGateway`'s.
 */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { loadTable = () => null, cluster = null, staleSecondsMax = Number.POSITIVE_INFINITY, loadModel, refreshMs = 0, store = null, campaigns = [], purpose = "marketing", requireConsent = false, logger = SILENT, moreMetrics = () => Promise.resolve(""), nowMs = Date.now } = options;
  const policy: DecisionPolicy = { campaigns, purpose, requireConsent };
  const releases = new Releases(policy);
  const metrics = new GatewayMetrics();
  const whatIf = loadModel === undefined ? null : new WhatIfDesk(loadModel, logger);
  const context: RouteContext = { releases, policy, store, cluster, staleSecondsMax, metrics, moreMetrics, whatIf, nowMs };
  if (cluster !== null) metrics.watch(cluster);

  const app = fastify({
    bodyLimit: GATEWAY_LIMITS.bodyBytesMax,
    requestTimeout: GATEWAY_LIMITS.requestTimeoutMs,
    // Keys that reach for prototypes are refused where the body is parsed.
    onProtoPoisoning: "error",
    onConstructorPoisoning: "error",
    // The defaults would turn "3" into 3 and drop unknown keys without a word.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false, allowUnionTypes: true } },
    routerOptions: { maxParamLength: 200 },
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as GatewayApp;

  app.setErrorHandler((error, request, reply) => {
    const { status, body } = errorAnswer(error);
    if (status >= 500 && !(error instanceof PopulaceError)) logger.error({ route: request.routeOptions.url, error: String((error as Error).stack ?? error) }, "request failed");
    return reply.code(status).send(body as never);
  });
  app.setNotFoundHandler((request, reply) => {
    const { status, body } = answer("NOT_FOUND", `${request.method} ${request.url.slice(0, 100)} is no route; see /openapi.json`, {});
    return reply.code(status).send(body as never);
  });
  app.addHook("onResponse", (request, reply, done) => {
    metrics.requests.observe({ route: request.routeOptions.url ?? "none", status: String(reply.statusCode) }, reply.elapsedTime / 1000);
    done();
  });

  // Answers for machines carry the few headers that matter to them; the page gets the full set.
  app.addHook("onRequest", (_request, reply, done) => {
    reply.headers(API_HEADERS);
    if (cluster !== null) reply.header("populace-stale-seconds", staleText(cluster.staleSeconds()));
    done();
  });
  // The text of a body is kept while its request lasts: decisions are named by it.
  const parseJson = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    BODY_TEXT.set(request, body as string);
    void parseJson(request, body as string, done);
  });
  await app.register(helmet, { global: false });
  await app.register(swagger, { openapi: { openapi: "3.1.0", info: { title: "Populace gateway", description: "Prioritized campaigns for recipients, from the last committed release.", version: "1" } } });
  prioritizeRoute(app, context);
  simulateRoute(app, context);
  outcomesRoute(app, context);
  modelRoutes(app, context);
  operationRoutes(app, context);

  const refresh = async (): Promise<boolean> => {
    try {
      const announced = cluster?.release() ?? null;
      const table = cluster === null ? await loadTable() : (announced?.table ?? null);
      if (table === null || !releases.swap(table, announced ?? undefined)) return false;
      metrics.number.set(announced?.number ?? 0);
      metrics.version.set(table.version);
      logger.info({ release: table.release, version: table.version }, "release served");
      whatIf?.serve(table.release).catch((error: unknown) => logger.warn({ error: (error as Error).message }, "what-if questions cannot be answered"));
      return true;
    } catch (error) {
      metrics.refreshFailures.inc();
      logger.warn({ error: (error as Error).message, served: releases.current?.table.release ?? null }, "no newer release could be loaded");
      return false;
    }
  };
  await refresh();
  cluster?.onRelease(() => void refresh());
  let refreshing = false;
  const timer = refreshMs > 0 ? setInterval(() => {
    // One look at a time: a slow source must not pile up.
    if (refreshing) return;
    refreshing = true;
    void refresh().finally(() => (refreshing = false));
  }, refreshMs) : null;
  timer?.unref();
  await app.ready();
  return {
    app,
    refresh,
    async close() {
      if (timer !== null) clearInterval(timer);
      await app.close();
      await whatIf?.close();
    },
  };
}

/** Tenths of a second are enough; before the first release there is no age. */
const staleText = (seconds: number): string => (Number.isFinite(seconds) ? seconds.toFixed(1) : "unknown");

const API_HEADERS = { "content-security-policy": "default-src 'none'; frame-ancestors 'none'", "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer", "cache-control": "no-store" };

export interface RunningGateway extends Gateway {
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
}

/**
 * Builds a gateway and listens; port 0 takes a free one. Throws `UNAVAILABLE` when the port is taken. The default host is the
 * machine itself: whoever opens it to a network puts authentication in front.
 */
export async function startGateway(options: GatewayOptions & { readonly port?: number; readonly host?: string }): Promise<RunningGateway> {
  const { port = 8080, host = "127.0.0.1" } = options;
  const gateway = await createGateway(options);
  try {
    const url = await gateway.app.listen({ port, host });
    return { ...gateway, url };
  } catch (cause) {
    await gateway.close();
    throw new PopulaceError("UNAVAILABLE", `the gateway cannot listen on ${host}:${port}: ${(cause as Error).message}; choose another with --port`, { host, port }, cause);
  }
}
