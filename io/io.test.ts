import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { claimProcess, createLifecycle, openEmbeddedPorts, openStore, subjectMatcher, writeAtomicVia, writeFileAtomic } from "./mod.ts";

const root = mkdtempSync(join(tmpdir(), "populace-io-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const door = join(import.meta.dirname, "mod.ts");

describe("subjects", () => {
  test("filters match token by token", () => {
    expect(["a", "a.b", "a.b.c", "b.b"].filter(subjectMatcher("a.*"))).toEqual(["a.b"]);
    expect(["a", "a.b", "a.b.c", "ab"].filter(subjectMatcher("a.>"))).toEqual(["a.b", "a.b.c"]);
  });
});

describe("files", () => {
  test("are written whole or not at all", async () => {
    const path = join(root, "deep", "file.txt");
    writeFileAtomic(path, "old");
    await expect(writeAtomicVia(path, (temporary) => { writeFileSync(temporary, "half"); throw new Error("planted"); })).rejects.toThrow("planted");
    expect(readFileSync(path, "utf8")).toBe("old");
    await writeAtomicVia(path, (temporary) => writeFileSync(temporary, "new"));
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(join(root, "deep"))).toEqual(["file.txt"]);
    expect(() => writeFileAtomic(join(path, "below-a-file"), "x")).toThrow(expect.objectContaining({ code: "STORE_FAILED" }));
    // Node's own recursive mkdir never returns from there.
    if (existsSync("/proc")) expect(() => writeFileAtomic("/proc/nowhere/file", "x")).toThrow(expect.objectContaining({ code: "STORE_FAILED" }));
  });
});

/** A command on a file system of 3 MB of its own, where this machine lets us mount one. */
const onSmallDisk = (folder: string, ...command: readonly string[]) =>
  spawnSync("unshare", ["--mount", "--map-root-user", "sh", "-c", 'mount -t tmpfs -o size=3m tmpfs "$0" && exec "$@"', folder, ...command], { encoding: "utf8", timeout: 60_000 });

describe("a store on a full disk", () => {
  const canMount = onSmallDisk(root, "true").status === 0;
  test.skipIf(!canMount)("refuses each write by name, keeps what it has, closes, and does not end the process (needs a mount namespace)", () => {
    const script = `
      import { openStore } from ${JSON.stringify(door)};
      const store = openStore(${JSON.stringify(join(root, "store"))}), codes = [];
      for (let i = 0; i < 50; i += 1) {
        try {
          await store.transaction((tables) => tables.put("t", "k" + i, new Uint8Array(100_000).fill(i)));
          await store.flushed();
        } catch (error) {
          codes.push(error.code);
        }
      }
      const kept = store.get("t", "k3")[0];
      await store.close();
      console.log(JSON.stringify({ refused: codes.length, codes: [...new Set(codes)], kept }));`;
    const { status, stdout, stderr } = onSmallDisk(root, process.execPath, "--input-type=module", "-e", script);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    const { refused, codes, kept } = JSON.parse(stdout) as { readonly refused: number; readonly codes: readonly string[]; readonly kept: number };
    expect({ codes, kept }).toEqual({ codes: ["STORE_FAILED"], kept: 3 });
    expect(refused).toBeGreaterThan(5);
  });
});

describe("lifecycle", () => {
  test("stops once, in reverse order, past a step that fails", async () => {
    const lifecycle = createLifecycle();
    const order: string[] = [];
    lifecycle.onStop("first", () => void order.push("first"));
    lifecycle.onStop("second", () => { throw new Error("planted"); });
    lifecycle.onStop("third", async () => void order.push("third"));
    const [failures] = await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    expect(order).toEqual(["third", "first"]);
    expect(failures.map((failure) => failure.name)).toEqual(["second"]);
    expect(lifecycle.signal.reason).toMatchObject({ code: "INTERRUPTED" });
  });
});

describe("a store of two processes", () => {
  test("a folder that is a file is a clear error", () => {
    const path = join(root, "plain-file");
    writeFileSync(path, "");
    expect(() => openStore(path)).toThrow(expect.objectContaining({ code: "STORE_FAILED" }));
  });

  test("one role has one living process, the error names its pid, and a dead one's claim is taken over", async () => {
    const folder = join(root, "claims");
    const script = `import { openStore, claimProcess } from ${JSON.stringify(door)};
      const store = openStore(${JSON.stringify(folder)}); await claimProcess(store, "coordinator", "the store"); console.log("claimed"); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const store = openStore(folder);
    await expect(claimProcess(store, "coordinator", "the store")).rejects.toMatchObject({ code: "STORE_IN_USE", message: expect.stringContaining(String(child.pid)), details: { pid: child.pid } });
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    const release = await claimProcess(store, "coordinator", "the store");
    await expect(claimProcess(store, "coordinator", "the store")).rejects.toMatchObject({ code: "STORE_IN_USE" });
    await release();
    await (await claimProcess(store, "coordinator", "the store"))();
    await store.close();
  });

  test("SIGKILL amid writes loses nothing that was acknowledged and leaves the log whole", async () => {
    const folder = join(root, "killed");
    const script = `import { openEmbeddedPorts } from ${JSON.stringify(door)};
      const { log, store } = openEmbeddedPorts(${JSON.stringify(folder)});
      for (let index = 1; ; index += 1) { const result = await log.append("k", new Uint8Array(5000).fill(index), index === 1 ? 0 : undefined); await store.flushed(); console.log(result.sequence); }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    const gone = new Promise((resolve) => child.once("exit", resolve));
    await new Promise<void>((resolve) => child.stdout.on("data", (chunk) => { printed += String(chunk); if (printed.split("\n").length > 50) resolve(); }));
    child.kill("SIGKILL");
    await gone;
    const acknowledged = Number(printed.slice(0, printed.lastIndexOf("\n")).split("\n").at(-1));
    const ports = openEmbeddedPorts(folder);
    const entries = await ports.log.read("k");
    expect(acknowledged).toBeGreaterThanOrEqual(50);
    expect(entries.length).toBeGreaterThanOrEqual(acknowledged);
    expect(entries.map((entry) => entry.sequence)).toEqual(entries.map((_, index) => index + 1));
    expect(entries.every((entry, index) => entry.bytes.length === 5000 && entry.bytes.every((value) => value === ((index + 1) & 255)))).toBe(true);
    await ports.close();
  });

  test("readers of another process see what was committed", () => {
    const folder = join(root, "killed");
    const script = `import { openEmbeddedPorts } from ${JSON.stringify(door)}; const { log } = openEmbeddedPorts(${JSON.stringify(folder)}); console.log((await log.read("k")).length);`;
    expect(existsSync(folder)).toBe(true);
    expect(Number(spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }).stdout)).toBeGreaterThanOrEqual(50);
  });
});
