// `npm test`: the rules of the house, then every test, then one closing line `N passed, N failed[, N skipped]`.
//   npm test                          everything
//   npm test -- domain/random -t "x"  only the tests of matching files and names, without the rules
import { execFileSync } from "node:child_process";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { type TestModule, startVitest } from "vitest/node";
import { check } from "./check.ts";
import { nats } from "./nats.ts";
import { python } from "./python.ts";
import { ROOMS } from "./rooms.ts";
import { vulkan } from "./vulkan.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({ allowPositionals: true, options: { testNamePattern: { type: "string", short: "t" } } });
const isPartial = positionals.length > 0 || values.testNamePattern !== undefined;

type TestError = ReturnType<TestModule["errors"]>[number];

interface Tally {
  passed: number;
  failed: number;
  readonly skipped: string[];
}

if (process.env.POPULACE_PROVISION === "1") execFileSync(process.execPath, [`${root}/tools/provision.ts`], { stdio: "inherit" });

// Beside the check, since the first time it fetches; needed before vitest forks, since a process finds its libraries when it starts.
const provided = Promise.all([vulkan(root), nats(root), python(root)]);
const tally: Tally = { passed: 0, failed: 0, skipped: [] };
if (!isPartial) {
  const started = performance.now();
  const { passed, failed } = await check(root);
  tally.passed += passed;
  tally.failed += failed.length;
  console.log(timed("check", (performance.now() - started) / 1000));
}
const [gpu, servers, packages] = await provided;
Object.assign(process.env, gpu.env, servers.env, packages.env);
console.log(`vulkan: ${gpu.note}\nnats: ${servers.note}\npython: ${packages.note}`);
await runTests(tally);

if (tally.skipped.length > 0) console.log(["", "Skipped:", ...tally.skipped.map((each) => `  ${each}`)].join("\n"));
const line = `${tally.passed} passed, ${tally.failed} failed${tally.skipped.length > 0 ? `, ${tally.skipped.length} skipped` : ""}`;
// The line is the last one: nothing that a test left behind prints after it.
process.stdout.write(`\n${line}\n`, () => process.exit(tally.failed === 0 ? 0 : 1));

async function runTests(into: Tally): Promise<void> {
  const vitest = await startVitest("test", positionals, {
    root,
    watch: false,
    reporters: [{ onTestModuleEnd: (module: TestModule) => console.log(described(module)) }],
    ...(values.testNamePattern === undefined ? {} : { testNamePattern: values.testNamePattern }),
  });
  const modules = vitest.state.getTestModules();
  const errors = vitest.state.getUnhandledErrors();
  await vitest.close();
  const seconds = new Map<string, number>();
  for (const module of modules) {
    const path = relative(root, module.moduleId);
    const suite = ROOMS.find((room) => path.startsWith(`${room.name}/`))?.name ?? "root";
    seconds.set(suite, (seconds.get(suite) ?? 0) + (module.diagnostic().duration + module.diagnostic().collectDuration) / 1000);
    for (const test of module.children.allTests()) {
      const result = test.result();
      if (result.state === "passed") into.passed++;
      else if (result.state === "failed") into.failed++;
      else if (values.testNamePattern === undefined) into.skipped.push(`${path}: ${test.fullName}${result.state === "skipped" && result.note ? ` (${result.note})` : ""}`);
    }
    // A file that does not load, or holds nothing, has no test to fail; a failing hook of a suite fails none of its tests.
    if (module.errors().length > 0) into.failed++;
    into.failed += [...module.children.allSuites()].filter((each) => each.errors().length > 0).length;
  }
  for (const error of errors) {
    into.failed++;
    console.log(`FAIL outside any test: ${shown(error as TestError)}`);
  }
  if (modules.length === 0) {
    into.failed++;
    console.log(`FAIL no test file matches ${positionals.join(" ") || "**/*.test.ts"}`);
  }
  for (const [suite, taken] of [...seconds].toSorted(([a], [b]) => a.localeCompare(b))) console.log(timed(suite, taken));
}

/** One line for a file, and under it what failed and why. */
function described(module: TestModule): string {
  const tests = [...module.children.allTests()];
  const failures = tests.filter((test) => test.result().state === "failed");
  const skipped = tests.filter((test) => test.result().state === "skipped").length;
  const seconds = (module.diagnostic().duration / 1000).toFixed(1);
  const lines = [`${module.ok() ? "ok  " : "FAIL"} ${relative(root, module.moduleId)} ${tests.length - failures.length - skipped} of ${tests.length}${skipped > 0 ? `, ${skipped} skipped` : ""} (${seconds} s)`];
  const own = [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => suite.errors())];
  for (const error of own) lines.push(indented(shown(error)));
  for (const test of failures) {
    lines.push(`       ${test.fullName}`);
    for (const error of test.result().errors ?? []) lines.push(indented(shown(error)));
  }
  return lines.join("\n");
}

/** The message, the difference, and the frames in our own files. */
function shown(error: TestError): string {
  const frames = (error.stacks ?? []).filter((frame) => !frame.file.includes("node_modules")).slice(0, 3);
  const at = frames.map((frame) => `at ${relative(root, frame.file)}:${frame.line}:${frame.column}`);
  return stripVTControlCharacters([error.message, typeof error.diff === "string" ? error.diff : "", ...at].filter((part) => part !== "").join("\n"));
}

function indented(text: string): string {
  return text.split("\n").slice(0, 30).map((each) => `         ${each}`).join("\n");
}

/** What each took here and now, which says more of the machine's load than of the tests: there is nothing to exceed. */
function timed(suite: string, taken: number): string {
  return `time ${suite.padEnd(14)} ${taken.toFixed(1).padStart(6)} s`;
}
