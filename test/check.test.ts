import { writeFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { readTree, sources, codeOnly } from "../tools/rules/rule.ts";
import { ROOMS, isPure, roomOf } from "../tools/rooms.ts";
import { ROOT } from "./helpers/data.ts";
import { type Ended, copyOfCheckout, run } from "./helpers/process.ts";

/** Plants files into a copy of the checkout and runs rules of the check over it. */
async function checkWith(planted: Readonly<Record<string, string>>, ...rules: string[]): Promise<Ended & { copy: string }> {
  const copy = copyOfCheckout(true);
  for (const [path, text] of Object.entries(planted)) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    writeFileSync(join(copy, path), text);
  }
  return { copy, ...(await run(process.execPath, [join(ROOT, "tools", "check.ts"), "--root", copy, ...rules])) };
}

describe("the check of the house rules", () => {
  test("names a planted forbidden import, by room name and by path", async () => {
    const { code, stdout } = await checkWith(
      {
        "protocol/planted.ts": 'import { startNode } from "@populace/agent-runtime";\nexport const planted = startNode;\n',
        "kernels/planted.ts": 'import { join } from "../io/mod.ts";\nexport const planted = join;\n',
        "coordinator/core/planted.ts": 'import { compile } from "@populace/studies";\nexport const planted = compile;\n',
        "coordinator/shell/planted.ts": 'import { compile } from "@populace/studies";\nexport const planted = compile;\n',
        "gateway/core/planted.ts": 'import { planted } from "../shell/planted.ts";\nexport const again = planted;\n',
        "gateway/shell/planted.ts": "export const planted = 1;\n",
        "io/planted.ts": 'import { personaShare } from "@populace/domain";\nexport const planted = personaShare;\n',
        "signals/planted.ts": 'import { again } from "./planted-too.ts";\nexport const planted = again;\n',
        "signals/planted-too.ts": 'import { planted } from "./planted.ts";\nexport const again = planted;\n',
      },
      "direction",
    );
    expect(code).toBe(1);
    expect(stdout).toContain('protocol/planted.ts: imports "@populace/agent-runtime": protocol may import domain');
    expect(stdout).toContain('kernels/planted.ts: imports "../io/mod.ts": another room is imported by its name');
    expect(stdout).toContain('coordinator/core/planted.ts: imports "@populace/studies": only the shell of coordinator may import studies');
    expect(stdout).not.toContain("coordinator/shell/planted.ts");
    expect(stdout).toContain('gateway/core/planted.ts: imports "../shell/planted.ts": core/ decides and knows no shell');
    expect(stdout).toContain("io/planted.ts:1: io knows of domain the error class and its codes only, not personaShare");
    expect(stdout).toContain("an import cycle");
  });

  test("names planted clocks, chance, input and waiting in pure rooms, and not in a shell", async () => {
    const { code, stdout } = await checkWith(
      {
        "domain/planted.ts": 'import { readFileSync } from "node:fs";\n// Date.now() in a comment is no call\nexport const planted = [Date.now(), Math.random(), "Math.random()", readFileSync];\n',
        "coordinator/core/planted.ts": "export async function planted(): Promise<number> {\n  return performance.now() + new Date().getTime();\n}\n",
        "coordinator/shell/planted.ts": "export const planted = (): number => Date.now();\n",
      },
      "purity",
    );
    expect(code).toBe(1);
    for (const place of ["domain/planted.ts:1: imports node:fs", "domain/planted.ts:3: `Date.now`", "domain/planted.ts:3: `Math.random`", "coordinator/core/planted.ts:1: `async`", "coordinator/core/planted.ts:2: `performance.now`", "coordinator/core/planted.ts:2: `new Date()`"]) {
      expect(stdout).toContain(place);
    }
    expect(stdout.match(/domain\/planted\.ts/g)).toHaveLength(3);
    expect(stdout).not.toContain("coordinator/shell/planted.ts");
  });

  test("names planted machine paths, British spelling, tests that hide others, and compiled output beside a source", async () => {
    const { code, stdout } = await checkWith(
      {
        "cli/planted.ts": `export const planted = "/${"home"}/somebody/populace behavi${"our"}";\n`,
        "cli/planted.js": "export const planted = 1;\n",
        "cli/planted.test.ts": `import { test } from "vitest";\ntest.${"only"}("hides the others", () => {});\n`,
        "PLANTED.md": `[nowhere](./no-such-file.md)\n${">".repeat(7)} theirs\n`,
      },
      "words",
      "files",
      "tests",
      "links",
    );
    expect(code).toBe(1);
    expect(stdout).toContain("is an absolute path of one machine");
    expect(stdout).toContain("PLANTED.md:2: `>>>>>>> theirs` is a mark that a merge has left");
    expect(stdout).toContain("the house spells American");
    expect(stdout).toContain("cli/planted.js: compiled output beside its source");
    expect(stdout).toContain("cli/planted.test.ts:2:");
    expect(stdout).toContain("PLANTED.md:1: links to ./no-such-file.md");
  });

  test("sees every TypeScript source there is, and no AssemblyScript", async () => {
    const { copy, stdout } = await checkWith({ "domain/unseen.as.ts": "export function f(): i32 { return 1; }\n" }, "direction");
    const expected = sources(readTree(copy)).filter((path) => roomOf(path) !== null);
    expect(expected).not.toContain("domain/unseen.as.ts");
    expect(Number(/(\d+) modules/.exec(stdout)?.[1])).toBe(expected.length);
    expect(stdout).not.toContain("did not see");
    expect(expected.length).toBeGreaterThan(100);
    expect(Number(/(\d+) between rooms/.exec(stdout)?.[1])).toBeGreaterThan(50);
  });
});

describe("the rooms", () => {
  test("form an order: nothing imports what imports it", () => {
    const reach = (name: string, seen: Set<string> = new Set()): Set<string> => {
      const room = ROOMS.find((each) => each.name === name);
      for (const next of [...(room?.imports ?? []), ...(room?.shellImports ?? [])]) {
        if (!seen.has(next)) {
          seen.add(next);
          reach(next, seen);
        }
      }
      return seen;
    };
    for (const room of ROOMS) expect(reach(room.name), room.name).not.toContain(room.name);
    for (const process of ["coordinator", "agent-runtime", "gateway", "signals"]) {
      for (const other of ["coordinator", "agent-runtime", "gateway", "signals"]) expect(reach(process)).not.toContain(other);
    }
    expect(reach("domain").size).toBe(0);
  });

  test("all exist, and every one of the process rooms has a core that must be pure", () => {
    const tree = readTree(ROOT);
    for (const room of ROOMS) expect(tree.files.some((path) => path.startsWith(`${room.name}/`)), room.name).toBe(true);
    expect(isPure("domain/persona/trait.ts")).toBe(true);
    expect(isPure("coordinator/core/run.ts")).toBe(true);
    expect(isPure("coordinator/shell/service.ts")).toBe(false);
    expect(isPure("domain/persona/trait.test.ts")).toBe(false);
  });
});

describe("codeOnly", () => {
  test("keeps calls and offsets, and blanks what only looks like a call", () => {
    const text = 'a(); // Date.now()\nconst s = "Date.now()"; /* x */ const r = /Date.now"/g; const t = `Date.now ${b(`in ${c()}`)} {`; d();';
    const code = codeOnly(text);
    expect(code).toHaveLength(text.length);
    expect(code).not.toContain("Date.now");
    for (const call of ["a();", "b(", "c()", "d();"]) expect(code.indexOf(call)).toBe(text.indexOf(call));
  });
});
