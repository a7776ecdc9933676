// Who may import whom: between rooms, and inside a process main.ts -> shell/ -> core/.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { cruise } from "dependency-cruiser";
import { IO_WORDS, ROOMS, isTest, roomOf } from "../rooms.ts";
import { type Finding, type Tree, lineOf, sources } from "./rule.ts";

interface Dependency {
  readonly module: string;
  readonly resolved: string;
  readonly dependencyTypes: readonly string[];
}

interface CruisedModule {
  readonly source: string;
  readonly dependencies: readonly Dependency[];
}

/**
 * Every import of every source, resolved by dependency-cruiser, against the table of rooms. It must have seen exactly the
 * sources there are: with a compiler it cannot use it would report none and pass.
 */
export async function direction(tree: Tree): Promise<Finding> {
  const files = sources(tree).filter((path) => roomOf(path) !== null);
  const modules = await cruised(tree.root, ROOMS.map((room) => room.name).filter((name) => existsSync(join(tree.root, name))));
  const violations: string[] = [];
  const missed = files.filter((path) => !modules.has(path));
  if (missed.length > 0) violations.push(`dependency-cruiser did not see ${missed.length} of ${files.length} sources, first ${missed[0]}: its compiler (typescript 6, see pnpm-workspace.yaml) is missing`);

  let imports = 0;
  let crossings = 0;
  for (const path of files) {
    for (const dependency of modules.get(path) ?? []) {
      imports++;
      const verdict = forbidden(path, dependency);
      if (verdict !== null) violations.push(`${path}: imports "${dependency.module}": ${verdict}`);
      if (roomOf(path) !== roomOf(target(dependency)) && roomOf(target(dependency)) !== null) crossings++;
    }
  }
  violations.push(...ioWords(tree, files));
  violations.push(...cycles(modules, files));
  return { saw: `${files.length} modules, ${imports} imports, ${crossings} between rooms`, violations };
}

async function cruised(root: string, folders: readonly string[]): Promise<Map<string, readonly Dependency[]>> {
  const result = await cruise(
    [...folders],
    {
      baseDir: root,
      tsPreCompilationDeps: true,
      preserveSymlinks: false,
      exclude: { path: "(^|/)(node_modules|dist)/|\\.as\\.ts$" },
      doNotFollow: { path: "(^|/)node_modules/" },
      enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"], extensions: [".ts", ".mts", ".mjs", ".js", ".json"] },
    } as never,
  );
  const output = result.output;
  if (typeof output === "string") throw new Error("dependency-cruiser answered text where its result was expected");
  return new Map((output.modules as readonly CruisedModule[]).map((module) => [module.source, module.dependencies]));
}

/** Where an import leads, as a path from the root; an unresolved `@populace/x` leads to its room all the same. */
function target(dependency: Dependency): string {
  const named = /^@populace\/([a-z-]+)/.exec(dependency.module);
  if (named !== null) return `${named[1]}/`;
  return dependency.resolved;
}

function forbidden(path: string, dependency: Dependency): string | null {
  const from = roomOf(path);
  const to = target(dependency);
  const room = roomOf(to);
  if (from === null) return null;
  // Every process loads domain, and every command waits for it.
  if (from.name === "domain" && !isTest(path) && dependency.dependencyTypes.some((type) => type.startsWith("npm"))) return "domain uses no library";
  if (room === null) return null;
  if (room.name === from.name) return inside(path, dependency);
  // Tests and tools may look behind a door.
  if (dependency.module.startsWith(".") && !["tools", "test"].includes(from.name)) return `another room is imported by its name, "@populace/${room.name}"`;
  if (room.name === "test") return "nothing imports test";
  if (from.imports.includes(room.name)) return null;
  const isEffectful = path.includes("/shell/") || path.endsWith("/main.ts") || isTest(path);
  if (from.shellImports.includes(room.name)) return isEffectful ? null : `only the shell of ${from.name} may import ${room.name}`;
  return `${from.name} may import ${[...from.imports, ...from.shellImports].join(", ") || "no other room"}`;
}

function inside(path: string, dependency: Dependency): string | null {
  if (dependency.module.startsWith("@populace/")) return "a room imports its own files by their relative path";
  if (isTest(path)) return null;
  const to = dependency.resolved;
  if (isTest(to)) return "nothing imports a test";
  if (path.includes("/core/") && (to.includes("/shell/") || to.endsWith("/main.ts"))) return "core/ decides and knows no shell";
  if (path.includes("/shell/") && to.endsWith("/main.ts")) return "a shell does not import the process around it";
  return null;
}

function ioWords(tree: Tree, files: readonly string[]): string[] {
  const violations: string[] = [];
  for (const path of files.filter((each) => each.startsWith("io/") && !isTest(each))) {
    const text = tree.text(path);
    for (const match of text.matchAll(/(?:import|export)\s+(?:type\s+)?(\{[^}]*\}|\*[^"]*)\s*from\s*"@populace\/domain"/g)) {
      const names = match[1]!.startsWith("*") ? ["*"] : match[1]!.slice(1, -1).split(",").map((name) => name.replace(/^\s*type\s+/, "").split(" as ")[0]!.trim()).filter((name) => name !== "");
      const foreign = names.filter((name) => !IO_WORDS.includes(name));
      if (foreign.length > 0) violations.push(`${path}:${lineOf(text, match.index)}: io knows of domain the error class and its codes only, not ${foreign.join(", ")}`);
    }
  }
  return violations;
}

/** Import cycles within and between rooms; types vanish before anything runs, so a cycle of types alone is harmless. */
function cycles(modules: ReadonlyMap<string, readonly Dependency[]>, files: readonly string[]): string[] {
  const state = new Map<string, "open" | "done">();
  const stack: string[] = [];
  const found: string[] = [];
  const visit = (path: string): void => {
    state.set(path, "open");
    stack.push(path);
    for (const dependency of modules.get(path) ?? []) {
      const next = dependency.resolved;
      if (!modules.has(next) || next.includes("node_modules/") || dependency.dependencyTypes.includes("type-only")) continue;
      if (state.get(next) === "open") found.push(`${[...stack.slice(stack.indexOf(next)), next].join(" -> ")}: an import cycle; move what both need into a file of its own`);
      else if (!state.has(next)) visit(next);
    }
    stack.pop();
    state.set(path, "done");
  };
  for (const path of files) if (!state.has(path)) visit(path);
  return found;
}
