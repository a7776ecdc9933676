import type { Bus } from "@populace/io";
import type { SignalRecord } from "../core/record.ts";

/** Subject of the signals of one format: `pop.<tenant>.signal.<format>`. */
export const signalSubject = (tenant: string, format: string): string => `pop.${tenant}.signal.${format}`;

/** Publishes each record as JSON on its format's subject and returns how many; delivery is at most once, as the bus'. */
export function publishSignals(bus: Bus, tenant: string, records: readonly SignalRecord[]): number {
  const encoder = new TextEncoder();
  for (const record of records) bus.publish(signalSubject(tenant, record.format), encoder.encode(JSON.stringify(record)));
  return records.length;
}
