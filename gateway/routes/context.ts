import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, RawServerDefault } from "fastify";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { Store } from "@populace/io";
import { PopulaceError } from "@populace/domain";
import type { DecisionPolicy } from "../core/prioritize.ts";
import type { Releases, Served } from "../core/release.ts";
import type { ClusterLink } from "../shell/cluster.ts";
import type { GatewayMetrics } from "../shell/metrics.ts";
import type { WhatIfDesk } from "../shell/what-if.ts";

export type GatewayApp = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** The text of a JSON body while its request lasts. */
export const BODY_TEXT = new WeakMap<FastifyRequest, string>();

/** What every route is given. */
export interface RouteContext {
  readonly releases: Releases;
  readonly policy: DecisionPolicy;
  readonly store: Store | null;
  /** Null in a gateway that serves its own store alone. */
  readonly cluster: ClusterLink | null;
  /** Staleness from which the gateway calls itself not ready; infinite = never. */
  readonly staleSecondsMax: number;
  readonly metrics: GatewayMetrics;
  readonly moreMetrics: () => Promise<string>;
  /** Null without models. */
  readonly whatIf: WhatIfDesk | null;
  /** Epoch milliseconds, for consent. */
  readonly nowMs: () => number;
}

/** The release being served; throws `UNAVAILABLE` before the first one. */
export function served(context: RouteContext): Served {
  const current = context.releases.current;
  if (current === null) throw new PopulaceError("UNAVAILABLE", "no release is served yet; announce one and try again", {});
  return current;
}
