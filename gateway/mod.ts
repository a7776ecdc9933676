export { createGateway, startGateway, type Gateway, type GatewayOptions, type RunningGateway } from "./shell/gateway.ts";
export { linkCluster, type ClusterLink, type ClusterPorts } from "./shell/cluster.ts";
export { readOutcomes, storeEvents, storeOutcomes, type StoredOutcome } from "./shell/outbox.ts";
export { GATEWAY_LIMITS } from "./core/limits.ts";
export type { Outcome } from "./core/schemas.ts";
