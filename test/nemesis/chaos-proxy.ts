import { createServer, connect, type Socket } from "node:net";

/** A direction of the traffic through a proxy. */
export type Direction = "to server" | "to client";

/** A TCP proxy whose traffic can be disturbed as a network would: what is held back arrives when it is let go, in order. */
export interface ChaosProxy {
  readonly port: number;
  /** Nothing passes in these directions any more, in connections old and new; no side is told. */
  cut(...directions: readonly Direction[]): void;
  /** Ends every connection, and refuses new ones until `heal`. */
  refuse(): void;
  /** Ends every connection; new ones are welcome. */
  reset(): void;
  /** Every chunk arrives so much later. */
  delay(ms: number): void;
  /** At most so many bytes a second in each direction of each connection. */
  limit(bytesPerSecond: number): void;
  /** Undisturbed again. */
  heal(): void;
  close(): Promise<void>;
}

/** What one side may be ahead of the other: beyond it TCP itself makes the sender wait. */
const AHEAD_BYTES_MAX = 256 * 1024;

/** Starts a proxy to a port of this machine. */
export async function startChaosProxy(serverPort: number): Promise<ChaosProxy> {
  const sockets = new Set<Socket>(), orphans = new Set<Socket>(), pumps = new Set<() => void>(), cuts = new Set<Direction>();
  let isRefusing = false, delayMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY;
  const reset = (): void => { for (const socket of sockets) socket.destroy(); };
  const wake = (): void => { for (const pump of pumps) pump(); };

  function pipe(from: Socket, to: Socket, direction: Direction): void {
    const queue: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
    let ahead = 0, freeMs = 0, timer: NodeJS.Timeout | null = null;
    const pump = (): void => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      for (let head = queue[0]; head !== undefined && !cuts.has(direction); head = queue[0]) {
        const waitMs = Math.max(head.dueMs, freeMs) - performance.now();
        if (waitMs > 0) {
          timer = setTimeout(pump, waitMs);
          return;
        }
        queue.shift();
        ahead -= head.chunk.length;
        if (bytesPerSecond !== Number.POSITIVE_INFINITY) freeMs = performance.now() + (head.chunk.length / bytesPerSecond) * 1000;
        to.write(head.chunk);
        if (ahead < AHEAD_BYTES_MAX) from.resume();
      }
    };
    pumps.add(pump);
    from.on("data", (chunk: Buffer) => {
      queue.push({ chunk, dueMs: performance.now() + delayMs });
      ahead += chunk.length;
      if (ahead >= AHEAD_BYTES_MAX) from.pause();
      pump();
    });
    from.on("error", () => {});
    from.on("close", () => {
      pumps.delete(pump);
      if (timer !== null) clearTimeout(timer);
      sockets.delete(from);
      // Through a cut it is not to be seen that the other side is gone.
      if (cuts.has(direction)) orphans.add(to);
      else to.destroy();
    });
  }

  const server = createServer((client) => {
    if (isRefusing) {
      client.destroy();
      return;
    }
    const upstream = connect(serverPort, "127.0.0.1");
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
    }
    pipe(client, upstream, "to server");
    pipe(upstream, client, "to client");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    port: address.port,
    cut(...directions) {
      for (const direction of directions) cuts.add(direction);
    },
    refuse() {
      isRefusing = true;
      reset();
    },
    reset,
    delay(ms) {
      delayMs = ms;
    },
    limit(most) {
      bytesPerSecond = most;
    },
    heal() {
      isRefusing = false;
      delayMs = 0;
      bytesPerSecond = Number.POSITIVE_INFINITY;
      cuts.clear();
      for (const orphan of orphans) orphan.destroy();
      orphans.clear();
      wake();
    },
    async close() {
      reset();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
