import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Decision } from "@populace/domain";

/** Metrics of one gateway; labels never hold ids of recipients. */
export class GatewayMetrics {
  readonly registry = new Registry();
  readonly requests = new Histogram({ name: "populace_gateway_request_seconds", help: "Duration of requests", labelNames: ["route", "status"], buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1], registers: [this.registry] });
  readonly outcomes = new Counter({ name: "populace_gateway_outcomes_total", help: "Outcomes stored", registers: [this.registry] });
  readonly version = new Gauge({ name: "populace_gateway_release_version", help: "Model version of the release being served", registers: [this.registry] });
  readonly refreshFailures = new Counter({ name: "populace_gateway_refresh_failures_total", help: "Failed attempts to load a newer release; the last one is served on", registers: [this.registry] });
  readonly #decisions = new Counter({ name: "populace_gateway_decisions_total", help: "Recipients decided on", labelNames: ["fits_none"], registers: [this.registry] });
  readonly #suppressed = new Counter({ name: "populace_gateway_suppressed_total", help: "Campaigns suppressed", labelNames: ["reason"], registers: [this.registry] });

  decided(decisions: readonly Decision[]): void {
    let strangers = 0;
    const reasons = new Map<string, number>();
    for (const decision of decisions) {
      if (decision.fitsNone) strangers++;
      for (const { reason } of decision.suppressed) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    if (strangers > 0) this.#decisions.inc({ fits_none: "true" }, strangers);
    if (decisions.length > strangers) this.#decisions.inc({ fits_none: "false" }, decisions.length - strangers);
    for (const [reason, count] of reasons) this.#suppressed.inc({ reason }, count);
  }
}
