// What deploy/ ships: built, held against the published schemas, and started as it says, with the keys that `populace keys` makes.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { runPopulace } from "@populace/cli";
import { NATS_CURRENT, type NatsServer, startNatsServer } from "../io/nats/server.fixture.ts";
import { type Checker, manifestCheckers } from "../tools/manifests.ts";
import { ROOT } from "./helpers/data.ts";

const DEPLOY = join(ROOT, "deploy");
const folder = mkdtempSync(join(tmpdir(), "populace-deploy-"));
const running = new Set<ChildProcess>();
process.on("exit", () => { for (const child of running) child.kill("SIGKILL"); });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { kubectl, kubernetes, compose, promtool } = await manifestCheckers(ROOT);
const text = (...path: string[]): string => readFileSync(join(DEPLOY, ...path), "utf8");
const unless = (...checkers: Checker[]): { readonly skip: boolean; readonly why: string } => {
  const missing = checkers.find((checker) => checker.path === "");
  return { skip: missing !== undefined, why: missing === undefined ? "" : ` (skipped: ${missing.why})` };
};

/** Runs a command line in this process. */
async function populace(...args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  let said = "";
  const code = await runPopulace(args, new AbortController().signal, { out: (more) => { said += more; }, err: (more) => { said += more; } });
  return { code, said };
}

const keysIn = (out: string, ...more: readonly string[]): ReturnType<typeof populace> => populace("keys", "--out", out, ...more);
const SECRETS = ["nats", "coordinator", "node", "gateway", "client"] as const;

describe("populace keys", () => {
  const out = join(folder, "keys");
  const files = (): Readonly<Record<string, string>> => Object.fromEntries(readdirSync(out, { recursive: true, encoding: "utf8" }).filter((path) => statSync(join(out, path)).isFile()).map((path) => [path, readFileSync(join(out, path), "utf8")]));

  test("keeps keys and authorities when it is called again, and makes certificates anew", async () => {
    expect(await keysIn(out)).toMatchObject({ code: 0 });
    const first = files();
    for (const path of Object.keys(first).filter((each) => /\.(key|seed)$/.test(each))) expect(statSync(join(out, path)).mode & 0o077, path).toBe(0);
    expect(await keysIn(out, "--nats", "one.nats")).toMatchObject({ code: 0 });
    const second = files();
    expect(Object.keys(second)).toEqual(Object.keys(first));
    const changed = Object.keys(first).filter((path) => first[path] !== second[path]).toSorted();
    expect(changed).toEqual([...["client", "coordinator", "nats"].flatMap((role) => [`${role}/tls.crt`, `${role}/tls.key`]), "nats/nats.conf"].toSorted());
    expect(second["nats/nats.conf"]).not.toContain("routes");
    expect(first["nats/nats.conf"]).toContain("sync_interval: always");
    expect((await keysIn(out, "--old-nats"), files()["nats/nats.conf"])).not.toContain("sync_interval");
  });

  test("names what is broken instead of making half of it anew", async () => {
    writeFileSync(join(out, "node", "nats.seed"), "no seed\n");
    const broken = await keysIn(out, "--json");
    expect(broken).toMatchObject({ code: 1 });
    expect(JSON.parse(broken.said)).toMatchObject({ error: { code: "CORRUPT", message: expect.stringContaining("no nkey seed") } });
    rmSync(join(out, "operator", "nats-ca.key"));
    expect(JSON.parse((await keysIn(out, "--json")).said)).toMatchObject({ error: { code: "FILE_MISSING", message: expect.stringContaining("nats-ca.key") } });
  });
});

interface Container {
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly startupProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly livenessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
}

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly template?: { readonly metadata: { readonly labels: object }; readonly spec: { readonly automountServiceAccountToken: boolean; readonly securityContext: object; readonly containers: readonly [Container]; readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[] } } };
}

/** Definitions of all kinds, as Kubernetes publishes them. */
interface Schemas {
  readonly $defs: Readonly<Record<string, { readonly "x-kubernetes-group-version-kind"?: readonly { readonly group: string; readonly version: string; readonly kind: string }[] }>>;
}

const KUSTOMIZATIONS = ["base", "overlays/gpu", "overlays/autoscaling", "overlays/small"] as const;
const built = (name: string): readonly Manifest[] => parseAllDocuments(execFileSync(kubectl.path, ["kustomize", join(DEPLOY, "kubernetes", name)], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })).map((document) => document.toJS() as Manifest);

/** The flags of a command, as its help lists them. */
async function flagsOf(command: string): Promise<readonly string[]> {
  const { code, said } = await populace(command, "--help");
  expect(code, said).toBe(0);
  return [...said.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map((match) => match[1]);
}

/** A command line of a manifest names a command that exists, flags that it has, and files of the folder that it mounts. */
async function expectKnown([command, ...args]: readonly string[], secret: string | null): Promise<void> {
  const flags = await flagsOf(command);
  for (const arg of args) {
    expect(flags, `${command} ${arg}`).toContain(arg.split("=")[0]);
    const [, file] = /\/run\/secrets\/populace\/(\S+)/.exec(arg) ?? [];
    if (file !== undefined) expect(readdirSync(join(folder, "made", secret!)), arg).toContain(file);
  }
}

describe("manifests", () => {
  beforeAll(async () => { expect(await keysIn(join(folder, "made"))).toMatchObject({ code: 0 }); });

  const kustomized = unless(kubectl, kubernetes);
  describe.skipIf(kustomized.skip)(`of Kubernetes${kustomized.why}`, () => {
    const schemas: Schemas = kustomized.skip ? { $defs: {} } : JSON.parse(readFileSync(kubernetes.path, "utf8")) as Schemas;
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    if (!kustomized.skip) ajv.addSchema(schemas);
    const faults = (manifest: Manifest): unknown => {
      const [version, group = ""] = manifest.apiVersion.split("/").toReversed();
      const name = Object.keys(schemas.$defs).find((each) => schemas.$defs[each]["x-kubernetes-group-version-kind"]?.some((kind) => kind.kind === manifest.kind && kind.group === group && kind.version === version) === true);
      if (name === undefined) return `no ${manifest.kind} of ${manifest.apiVersion}`;
      const validate = ajv.getSchema(`https://kubernetes.io/api/_definitions.json#/$defs/${name}`)!;
      return validate(manifest) ? null : validate.errors;
    };

    test.each(KUSTOMIZATIONS)("%s fits the published schemas, and a field too many would not", (name) => {
      const manifests = built(name);
      expect(manifests.length).toBeGreaterThan(20);
      for (const manifest of manifests) {
        expect(faults(manifest), `${manifest.kind} ${manifest.metadata.name}`).toBe(null);
        expect(faults({ ...manifest, metadata: { ...manifest.metadata, nmae: "x" } } as Manifest)).not.toBe(null);
      }
    });

    test.each(KUSTOMIZATIONS)("%s starts commands that exist, as nobody, with the secrets that `populace keys` makes", async (name) => {
      const pods = built(name).flatMap((manifest) => (manifest.spec?.template === undefined ? [] : [{ name: manifest.metadata.name, ...manifest.spec.template.spec }]));
      expect(pods.map((pod) => pod.name).toSorted()).toEqual(["client", "coordinator", "gateway", "nats", "node", ...(name === "overlays/gpu" ? ["node-gpu"] : [])].toSorted());
      for (const pod of pods) {
        expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } } });
        const [container] = pod.containers;
        expect(container.securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } });
        expect(container.image).toMatch(/:/);
        const secret = pod.volumes.find((volume) => volume.secret !== undefined)?.secret?.secretName.replace(/^populace-/, "") ?? null;
        expect(SECRETS).toContain(secret);
        if (container.args !== undefined) await expectKnown(container.args, secret);
        for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
          if (probe !== undefined) expect(container.ports!.map((port) => port.name)).toContain(probe.httpGet.port);
        }
        for (const mount of container.volumeMounts) if (mount.name !== "data") expect(pod.volumes.map((volume) => volume.name)).toContain(mount.name);
      }
    });
  });

  const composed = unless(compose);
  test.skipIf(composed.skip)(`of compose fit its specification, and a key too many would not${composed.why}`, () => {
    const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(readFileSync(compose.path, "utf8")) as object);
    const file = composeFile();
    expect(validate(file), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ ...file, services: { ...file.services, node: { ...file.services["node"], comand: [] } } })).toBe(false);
  });

  test("of compose start commands that exist, with the secrets that `populace keys` makes", async () => {
    const { services } = composeFile();
    for (const [name, { command, volumes = [] }] of Object.entries(services)) {
      const secret = volumes.map((volume) => /^\.\/secrets\/(\w+):/.exec(volume)?.[1]).find((each) => each !== undefined) ?? null;
      if (secret !== null) expect(SECRETS).toContain(secret);
      if (name.startsWith("nats-")) expect(existsSync(join(folder, "made", secret!, command![2].split("/").at(-1)!))).toBe(true);
      else if (command !== undefined) await expectKnown(command, secret);
    }
    expect(Object.keys(services)).toEqual(expect.arrayContaining(["nats-1", "nats-2", "nats-3", "coordinator-1", "coordinator-2", "node", "gateway", "client"]));
  });
});

interface Service {
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
}

const composeFile = (): { readonly services: Readonly<Record<string, Service>> } => parse(text("compose.yaml"), { merge: true }) as ReturnType<typeof composeFile>;

describe("monitoring", () => {
  const rules = unless(promtool);
  test.skipIf(rules.skip)(`raises each alert when it should, and none while all is well${rules.why}`, () => {
    const run = (...args: string[]): string => execFileSync(promtool.path, args, { cwd: join(DEPLOY, "monitoring"), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    expect(run("check", "rules", "alerts.yaml")).toMatch(/SUCCESS: 21 rules/);
    expect(run("test", "rules", "alerts.test.yaml")).toMatch(/SUCCESS/);
    // A dashboard's expressions are checked as rules too.
    const panels = (JSON.parse(text("monitoring", "dashboard.json")) as { readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[] }).panels;
    const expressions = panels.flatMap((panel) => panel.targets.map((target) => target.expr.replaceAll("$tenant", "default")));
    writeFileSync(join(folder, "panels.json"), JSON.stringify({ groups: [{ name: "panels", rules: expressions.map((expr, index) => ({ record: `panel:${index}`, expr })) }] }));
    expect(run("check", "rules", join(folder, "panels.json"))).toMatch(new RegExp(`SUCCESS: ${expressions.length} rules`));
  });

  test("names a section of the runbook with every alert", () => {
    const sections = [...text("RUNBOOK.md").matchAll(/^## (.+)$/gm)].map((match) => match[1].toLowerCase().replaceAll(" ", "-"));
    const named = [...text("monitoring", "alerts.yaml").matchAll(/runbook: "deploy\/RUNBOOK\.md#([a-z-]+)"/g)].map((match) => match[1]);
    expect(named.length).toBe(21);
    for (const section of named) expect(sections).toContain(section);
  });
});

interface Started {
  readonly says: (pattern: RegExp) => Promise<RegExpExecArray>;
  readonly stop: () => Promise<number | null>;
}

/** Starts a process of the product and waits for what it prints. */
function start(args: readonly string[]): Started {
  const child = spawn(process.execPath, [join(ROOT, "cli", "main.ts"), ...args], { env: { ...process.env, NO_COLOR: "1" }, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let said = "";
  let look = (): void => {};
  const ended = new Promise<number | null>((resolve) => child.on("close", (code) => { running.delete(child); look(); resolve(code); }));
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => { said += chunk.toString(); look(); });
  return {
    says: (pattern) => new Promise((resolve, reject) => {
      look = () => {
        const match = pattern.exec(said);
        if (match !== null) resolve(match);
        else if (!running.has(child)) reject(new Error(`populace ${args.join(" ")} ended without saying ${pattern.source}:\n${said}`));
      };
      look();
    }),
    stop: () => { child.kill("SIGTERM"); return ended; },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => { const { port } = server.address() as AddressInfo; server.close(() => resolve(port)); });
  });
}

describe.skipIf(NATS_CURRENT.path === "")(`the cluster of compose.yaml as processes of this machine${NATS_CURRENT.path === "" ? ` (skipped: ${NATS_CURRENT.why})` : ""}`, () => {
  const servers: NatsServer[] = [];
  afterAll(async () => {
    for (const child of running) child.kill("SIGKILL");
    await Promise.all(servers.map((server) => server.remove()));
  });

  test("joins over three NATS servers with TLS and nkeys, is called with mutual TLS, answers its probes and shows every metric that alerts and dashboard ask for", { timeout: 120_000 }, async () => {
    const secrets = join(folder, "secrets");
    expect(await keysIn(secrets, "--nats", "127.0.0.1", "--coordinators", "127.0.0.1", "--mount", join(secrets, "nats"))).toMatchObject({ code: 0 });
    const conf = readFileSync(join(secrets, "nats", "nats.conf"), "utf8");
    // The servers of this machine differ in their ports alone, which `populace keys` does not know; the block that joins them is that of three hosts.
    await keysIn(join(folder, "several"), "--mount", join(secrets, "nats"));
    const [cluster] = /^cluster \{\n[^]*?\n\}$/m.exec(readFileSync(join(folder, "several", "nats", "nats.conf"), "utf8"))!;
    const routes = [await freePort(), await freePort(), await freePort()], monitors = [await freePort(), await freePort(), await freePort()];
    const own = (index: number, port: number, storeDir: string): string => [
      conf.replace('server_name: "127.0.0.1"', `server_name: "nats-${index}"`).replace("0.0.0.0:4222", `127.0.0.1:${port}`).replace("0.0.0.0:8222", `127.0.0.1:${monitors[index]}`).replace('"/data"', JSON.stringify(storeDir)),
      cluster.replace("0.0.0.0:6222", `127.0.0.1:${routes[index]}`).replace(/routes: \[.*\]/, `routes: [${routes.map((route) => `"nats-route://127.0.0.1:${route}"`).join(", ")}]`),
    ].join("\n");
    servers.push(...await Promise.all([0, 1, 2].map((index) => startNatsServer({ program: NATS_CURRENT, whole: ({ port, storeDir }) => own(index, port, storeDir) }))));

    const { services } = composeFile();
    const local = (service: string, role: string): readonly string[] => services[service].command!.map((arg) => arg
      .replace(/^--nats=.*/, `--nats=${servers.map((server) => server.url).join(",")}`).replace("/run/secrets/populace", join(secrets, role)).replace("/data", join(folder, service))
      .replace("0.0.0.0:7600", "127.0.0.1:0").replace(":9100", "127.0.0.1:0").replace("--host=0.0.0.0", "--host=127.0.0.1").replace("--port=8080", "--port=0"));
    const coordinator = start(local("coordinator-1", "coordinator")), node = start([...local("node", "node"), "--workers=1"]), gateway = start(local("gateway", "gateway"));
    const [, address] = await coordinator.says(/ at (127\.0\.0\.1:\d+), store/);
    const urls = await Promise.all([coordinator, node].map(async (each) => (await each.says(/readiness at (http:\S+)/))[1]));
    await node.says(/joined the cluster/);
    await node.says(/calibrated\n/);

    const client = ["--cluster", address, "--tls-ca", join(secrets, "client", "ca.crt"), "--tls-cert", join(secrets, "client", "tls.crt"), "--tls-key", join(secrets, "client", "tls.key"), "--json"];
    expect(JSON.parse((await populace("nodes", ...client)).said)).toMatchObject({ role: "leader", nodes: [{ state: "up" }] });
    expect(JSON.parse((await populace("nodes", "--cluster", address, "--json")).said)).toMatchObject({ error: { code: "UNAVAILABLE" } });
    // NATS's own authority opens no door here.
    expect(JSON.parse((await populace("nodes", ...client.with(5, join(secrets, "nats", "tls.crt")).with(7, join(secrets, "nats", "tls.key")))).said)).toMatchObject({ error: { code: expect.stringMatching(/UNAVAILABLE|FORBIDDEN/) } });

    const [, gatewayUrl] = await gateway.says(/listening on (http:\S+),/);
    for (const url of urls) for (const path of ["/healthz", "/readyz"]) expect((await fetch(`${url}${path}`)).status, `${url}${path}`).toBe(200);
    expect((await fetch(`${gatewayUrl}/health`)).status).toBe(200);
    expect((await fetch(`${gatewayUrl}/ready`)).status).toBe(503);
    for (const path of ["/healthz?js-server-only=true", "/healthz?js-enabled-only=true"]) expect((await fetch(`http://127.0.0.1:${monitors[0]}${path}`)).status, path).toBe(200);

    const shown = new Set((await Promise.all([...urls, gatewayUrl].map(async (url) => (await fetch(`${url}/metrics`)).text()))).flatMap((page) => [...page.matchAll(/^# HELP (\S+)/gm)].map((match) => match[1])));
    const asked = ["alerts.yaml", "alerts.test.yaml", "dashboard.json"].flatMap((file) => text("monitoring", file).match(/\b(?:populace|process|nodejs)_[a-z0-9_]+/g)!.map((name) => name.replace(/_bucket$/, "")));
    for (const name of [...asked, "populace_coordinator_runs"]) expect(shown, name).toContain(name);
    expect(await Promise.all([node, coordinator, gateway].map((each) => each.stop()))).toEqual([0, 0, 0]);
  });
});
