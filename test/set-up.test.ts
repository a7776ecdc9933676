import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "./helpers/data.ts";
import { run, temporaryFolder } from "./helpers/process.ts";

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
