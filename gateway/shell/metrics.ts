import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Decision } from "@populace/domain";
import type { ClusterLink } from "./cluster.ts";

/** Metrics of one gateway; labels never hold ids of recipients. */
export class GatewayMetrics {
  readonly registry = new Registry();
  readonly requests = new Histogram({ name: "populace_gateway_request_seconds", help: "Duration of requests", labelNames: ["route", "status"], buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1], registers: [this.registry] });
  readonly outcomes = new Counter({ name: "populace_gateway_outcomes_total", help: "Outcomes stored", registers: [this.registry] });
  readonly version = new Gauge({ name: "populace_gateway_release_version", help: "Model version of the release being served", registers: [this.registry] });
  readonly number = new Gauge({ name: "populace_gateway_release_number", help: "Number of the release being served, as the cluster announced it; 0 = none, or not announced", registers: [this.registry] });
  readonly deadLetters = new Counter({ name: "populace_gateway_dead_letters_total", help: "Outcomes that could not be counted; GET /v1/outcomes/refused says why", registers: [this.registry] });
  readonly refreshFailures = new Counter({ name: "populace_gateway_refresh_failures_total", help: "Failed attempts to load a newer release; the last one is served on", registers: [this.registry] });
  readonly #decisions = new Counter({ name: "populace_gateway_decisions_total", help: "Recipients decided on", labelNames: ["fits_none"], registers: [this.registry] });
  readonly #suppressed = new Counter({ name: "populace_gateway_suppressed_total", help: "Campaigns suppressed", labelNames: ["reason"], registers: [this.registry] });

  /** Shows what a link to a cluster sees, at the moment it is asked. */
  watch(cluster: ClusterLink): void {
    const registers = [this.registry];
    const gauge = (name: string, help: string, value: () => number): void => void new Gauge({ name, help, registers, collect() { this.set(value()); } });
    gauge("populace_gateway_release_stale_seconds", "Seconds since a leader last said that this release is the newest; 0 while it does", () => cluster.staleSeconds());
    gauge("populace_gateway_cluster_live", "Whether the cluster's transport answers", () => (cluster.connection().isLive ? 1 : 0));
    gauge("populace_gateway_outcomes_waiting", "Outcomes on this disk that no commit has named", () => cluster.waiting());
    for (const [name, help] of [["eventsSent", "Outcomes sent to the ledger, repeats too"], ["eventsSettled", "Outcomes that a commit has named"], ["eventsRefused", "Of them those that the ledger refused"], ["idsForgotten", "Ids of outcomes that the ledger's horizon has passed"], ["releasesTaken", "Releases taken over"], ["releasesFailed", "Attempts to take over a release that failed; the one before is served on"]] as const) {
      const counter = new Counter({ name: `populace_gateway_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`, help, registers, collect() { this.reset(); this.inc(cluster.counters[name]); } });
      void counter;
    }
  }

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
