import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { metricsText, startStatusServer } from "./status-server.ts";

const METRICS = [
  { name: "populace_runs", help: "Runs by state.", kind: "gauge" as const, samples: [{ labels: { tenant: "a", state: "running" }, value: 2 }, { labels: { tenant: "a", state: "done" }, value: 0 }] },
  { name: "populace_ticks_committed_total", help: "Ticks committed.", kind: "counter" as const, samples: [{ value: 2 ** 40 }] },
];

describe("the status server", () => {
  test("tells metrics as they are at that moment, health and readiness with their reasons", async () => {
    let isReady = false;
    const server = await startStatusServer({ listen: "127.0.0.1:0", metrics: () => METRICS, health: () => ({ isOk: true, reason: "alive" }), readiness: () => ({ isOk: isReady, reason: isReady ? "leads" : "no leader is known" }) });
    const get = async (path: string): Promise<readonly [number, string]> => { const response = await fetch(server.url + path); return [response.status, await response.text()]; };
    expect(await get("/healthz")).toEqual([200, "ok: alive\n"]);
    expect(await get("/readyz")).toEqual([503, "not ok: no leader is known\n"]);
    isReady = true;
    expect(await get("/readyz")).toEqual([200, "ok: leads\n"]);
    const [code, text] = await get("/metrics");
    expect(code).toBe(200);
    expect(text).toContain('populace_runs{tenant="a",state="running"} 2\n');
    expect(text).toContain("process_resident_memory_bytes ");
    expect((await get("/other"))[0]).toBe(404);
    await server.close();
  });

  test("writes the text format, exact for large counters and escaped for odd labels", async () => {
    expect(await metricsText(METRICS.slice(1))).toBe("# HELP populace_ticks_committed_total Ticks committed.\n# TYPE populace_ticks_committed_total counter\npopulace_ticks_committed_total 1099511627776\n");
    expect(await metricsText([{ name: "x", help: "x", kind: "gauge", samples: [{ labels: { reason: 'a "b"\\\nc' }, value: -1 }] }])).toContain('x{reason="a \\"b\\"\\\\\\nc"} -1');
  });

  test("names the flag when its port is in use or is none", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const options = { metrics: () => [], health: () => ({ isOk: true, reason: "" }), readiness: () => ({ isOk: true, reason: "" }) };
    await expect(startStatusServer({ ...options, listen: `127.0.0.1:${(other.address() as AddressInfo).port}` })).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("--metrics") });
    await expect(startStatusServer({ ...options, listen: "9100" })).rejects.toMatchObject({ code: "BAD_USAGE" });
    other.close();
  });
});
