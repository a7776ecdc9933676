export { openNatsPorts, type NatsConnectionInfo, type NatsPorts, type NatsPortsOptions } from "./ports.ts";
export type { NatsCounters, NatsCredentials, NatsRole, NatsTls } from "./link.ts";
export type { StreamFill, StreamSpec } from "./streams.ts";
export { createNatsKey, natsPublicKey, natsServerConfig, type NatsAccess, type NatsServerConfig } from "./server-config.ts";
