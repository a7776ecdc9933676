import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "./helpers/data.ts";
import { npm, npmRefusal } from "./helpers/npm.ts";
import { copyOfCheckout, run, temporaryFolder } from "./helpers/process.ts";

const RUN = join(ROOT, "tools", "run.mjs");

function probe(text: string): string {
  const file = join(temporaryFolder(), "probe.mjs");
  writeFileSync(file, text);
  // run.mjs takes files relative to the root; an absolute path is joined below it, so climb out of it first.
  return `${"../".repeat(ROOT.split("/").length)}${file}`;
}

describe("tools/run.mjs", () => {
  test("passes arguments, stdout, the working directory and the exit code through, and adds nothing to stdout", async () => {
    const file = probe("console.log(JSON.stringify([process.argv.slice(2), process.cwd(), process.versions.node])); process.exit(7);");
    const cwd = temporaryFolder();
    const { code, stdout } = await run(process.execPath, [RUN, file, "--json", "a b", '$x"y', ""], { cwd });
    expect(code).toBe(7);
    expect(JSON.parse(stdout)).toEqual([["--json", "a b", '$x"y', ""], cwd, process.versions.node]);
  });

  test("lets an interrupted child finish and returns what it decided", async () => {
    const file = probe('process.on("SIGINT", () => { console.log("finishing"); setTimeout(() => process.exit(5), 50); }); console.log("ready"); setTimeout(() => process.exit(9), 20000);');
    const { code, stdout } = await run(process.execPath, [RUN, file], { when: "ready", act: (kill) => kill("SIGINT") });
    expect(stdout).toBe("ready\nfinishing\n");
    expect(code).toBe(5);
  });

  test("reports a child ended by a signal as shells do", async () => {
    const file = probe('process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 20000);');
    const { code } = await run(process.execPath, [RUN, file]);
    expect(code).toBe(128 + 15);
  });
});

describe("a fresh clone", () => {
  test("is set up by a habitual npm ci and npm install with the machine's own Node, and keeps its files as they are", { timeout: 300_000 }, async (context) => {
    const refusal = await npmRefusal();
    if (refusal !== null) return context.skip(refusal);
    const clone = copyOfCheckout(false);
    for (const command of ["ci", "install"]) {
      const { code, stderr } = await npm([command], clone);
      expect(code, stderr).toBe(0);
      for (const program of ["node", "tsc", "vitest"]) expect(existsSync(join(clone, "node_modules", ".bin", program)), `${command}: ${program}`).toBe(true);
      for (const file of ["package.json", "package-lock.json", "pnpm-lock.yaml"]) expect(readFileSync(join(clone, file), "utf8")).toBe(readFileSync(join(ROOT, file), "utf8"));
    }
    const { code, stdout } = await npm(["run", "-s", "populace", "--", "--version"], clone);
    expect(code).toBe(0);
    expect(stdout.trim()).toBe((JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string }).version);
  });
});
