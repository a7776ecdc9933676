import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PopulaceError } from "@populace/domain";
import { Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client";

/** One metric at one moment. Base units (seconds, bytes), the unit in the name, counters end in `_total`; labels have few values, never ids. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly kind: "gauge" | "counter";
  readonly samples: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: number }[];
}

/** Whether a process is well, or may be sent work; the reason is for people. */
export interface Status {
  readonly isOk: boolean;
  readonly reason: string;
}

export interface StatusServerOptions {
  /** host:port, or :port for every address of this machine; port 0 takes a free one. */
  readonly listen: string;
  readonly metrics: () => readonly Metric[];
  /** Is it to be restarted? */
  readonly health: () => Status;
  /** May it be sent work? */
  readonly readiness: () => Status;
}

/**
 * Serves `/metrics` in the Prometheus text format (those given, and the process's own), `/healthz` and `/readyz` (200 or 503, with
 * the reason). UNAVAILABLE when the port is in use.
 */
export async function startStatusServer(options: StatusServerOptions): Promise<{ readonly url: string; close(): Promise<void> }> {
  const own = new Registry();
  collectDefaultMetrics({ register: own });
  const server = createServer((request, response) => {
    const answer = (code: number, type: string, body: string): void => void response.writeHead(code, { "content-type": type, "cache-control": "no-store" }).end(body);
    const status = ({ isOk, reason }: Status): void => answer(isOk ? 200 : 503, "text/plain; charset=utf-8", `${isOk ? "ok" : "not ok"}: ${reason}\n`);
    switch (request.url?.split("?")[0]) {
      case "/healthz": return status(options.health());
      case "/readyz": return status(options.readiness());
      case "/metrics":
        Promise.all([own.metrics(), metricsText(options.metrics())]).then((parts) => answer(200, own.contentType, parts.join("\n")), (error: unknown) => answer(500, "text/plain", `${String(error)}\n`));
        return;
      default: return answer(404, "text/plain; charset=utf-8", "there are /metrics, /healthz and /readyz\n");
    }
  });
  const match = /^(.*):(\d{1,5})$/.exec(options.listen);
  if (match === null || Number(match[2]) > 65_535) throw new PopulaceError("BAD_USAGE", `"${options.listen.slice(0, 80)}" is no address to listen on; expected HOST:PORT, or :PORT for every address of this machine`, { listen: options.listen });
  const host = match[1] === "" ? "0.0.0.0" : match[1];
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(new PopulaceError("UNAVAILABLE", `cannot serve metrics on ${options.listen} (${error.code ?? error.message}); choose another with --metrics`, { listen: options.listen }, error)));
    server.listen(Number(match[2]), host.replace(/^\[|\]$/g, ""), resolve);
  });
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}

/** The metrics in the Prometheus text format. */
export function metricsText(metrics: readonly Metric[]): Promise<string> {
  const registry = new Registry();
  for (const { name, help, kind, samples } of metrics) {
    const labelNames = [...new Set(samples.flatMap((sample) => Object.keys(sample.labels ?? {})))];
    const metric = kind === "gauge" ? new Gauge({ name, help, labelNames, registers: [registry] }) : new Counter({ name, help, labelNames, registers: [registry] });
    for (const { labels, value } of samples) metric.inc(labels ?? {}, value);
  }
  return registry.metrics();
}
