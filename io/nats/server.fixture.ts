// Real nats-servers for tests: `npm test` says where the programs are (tools/nats.ts), else the tests skip and say why.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A server program of this machine; `why` says why there is none. */
export interface NatsProgram {
  readonly name: string;
  readonly path: string;
  readonly why: string;
}

const program = (name: string, variable: string, reason: string): NatsProgram => ({
  name, path: process.env[variable] ?? "", why: process.env[reason] ?? `${variable} names no program; tests are run by "npm test"`,
});

/** The server this machine would deploy with, and a current one. */
export const NATS = program("nats-server", "POPULACE_NATS_SERVER", "POPULACE_NO_NATS");
export const NATS_CURRENT = program("current nats-server", "POPULACE_NATS_SERVER_CURRENT", "POPULACE_NO_NATS_CURRENT");

export interface ServerOptions {
  readonly program?: NatsProgram;
  /** Lines for the configuration file, after port, store and name. */
  readonly config?: string;
  /** The whole configuration instead, given port and store. */
  readonly whole?: (place: { readonly port: number; readonly storeDir: string }) => string;
  /** Without it the server has no JetStream. */
  readonly jetStream?: boolean;
  /** Bytes of the JetStream store. */
  readonly fileBytesMax?: number;
  /** The command that starts it, given the program and its arguments; default: the program itself. */
  readonly command?: (program: string, args: readonly string[], storeDir: string) => readonly string[];
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly pid: () => number;
  /** The JetStream store; it outlives `kill`. */
  readonly storeDir: string;
  readonly output: () => string;
  /** Starts it again on the same port, configuration and store; resolves when it answers. */
  start(): Promise<void>;
  /** Sends the signal and, unless it only pauses or resumes, waits for the end of the process. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Kills it and removes its folder. */
  remove(): Promise<void>;
}

const READY_MS_MAX = 30_000;
const running = new Set<ChildProcess>();
process.on("exit", () => { for (const child of running) child.kill("SIGKILL"); });

/** Starts one server with a store of its own and resolves when it answers. */
export async function startNatsServer(options: ServerOptions = {}): Promise<NatsServer> {
  const server = prepared(options, await freePort(), "");
  await server.start();
  return server;
}

/** Starts a cluster of servers that know one another; resolves when all answer. Its streams may want replicas. */
export async function startNatsCluster(size: number, options: ServerOptions = {}): Promise<readonly NatsServer[]> {
  const ports: number[] = [], routes: number[] = [];
  for (let index = 0; index < size; index += 1) {
    ports.push(await freePort());
    routes.push(await freePort());
  }
  const servers = ports.map((port, index) => prepared(options, port, [
    "cluster {", "  name: test", `  listen: "127.0.0.1:${routes[index]}"`, `  routes: [${routes.map((route) => `"nats-route://127.0.0.1:${route}"`).join(", ")}]`, "}",
  ].join("\n")));
  await Promise.all(servers.map((server) => server.start()));
  return servers;
}

function prepared(options: ServerOptions, port: number, cluster: string): NatsServer {
  const { path } = options.program ?? NATS;
  const folder = mkdtempSync(join(tmpdir(), "populace-nats-"));
  const storeDir = join(folder, "store");
  mkdirSync(storeDir);
  const config = join(folder, "server.conf");
  writeFileSync(config, options.whole?.({ port, storeDir }) ?? [
    `server_name: server-${port}`,
    `listen: "127.0.0.1:${port}"`,
    `log_file: ${JSON.stringify(join(folder, "server.log"))}`,
    options.jetStream === false ? "" : `jetstream { store_dir: ${JSON.stringify(storeDir)}, max_file_store: ${options.fileBytesMax ?? 64 * 1024 ** 3}, max_memory_store: 67108864 }`,
    cluster,
    options.config ?? "",
    "",
  ].join("\n"));
  const args = ["-c", config];
  const [command, ...rest] = options.command?.(path, args, storeDir) ?? [path, ...args];
  let child: ChildProcess | null = null;
  let ended: Promise<unknown> = Promise.resolve();
  let said = "";
  const output = (): string => {
    let log = "";
    try {
      log = readFileSync(join(folder, "server.log"), "utf8");
    } catch {
      // It has not come to writing one.
    }
    return said + log;
  };

  const server: NatsServer = {
    url: `nats://127.0.0.1:${port}`,
    port,
    pid: () => child?.pid ?? 0,
    storeDir,
    output,
    async start() {
      const started = spawn(command!, rest, { stdio: ["ignore", "pipe", "pipe"] });
      child = started;
      running.add(started);
      const collect = (chunk: Buffer): void => { said += chunk.toString(); };
      started.stdout.on("data", collect);
      started.stderr.on("data", collect);
      ended = new Promise((resolve) => started.once("exit", resolve)).then(() => running.delete(started));
      const until = performance.now() + READY_MS_MAX;
      while (!(await answers(port))) {
        if (started.exitCode !== null || performance.now() > until) throw new Error(`nats-server does not answer on port ${port}:\n${output()}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async kill(signal = "SIGKILL") {
      child?.kill(signal);
      if (signal === "SIGSTOP" || signal === "SIGCONT") return;
      await ended;
    },
    async remove() {
      child?.kill("SIGCONT");
      child?.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return server;
}

/** Whether a NATS server greets on the port. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, end(false));
    socket.once("data", (chunk: Buffer) => end(chunk.toString().startsWith("INFO "))());
    socket.once("error", end(false));
  });
}

/** A port that nobody listens on, below those that the kernel hands to clients: it stays free between a kill and a restart. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
