// What files there are, what they may hold, and what they are called.
import { statSync } from "node:fs";
import { basename, join } from "node:path";
import { type Finding, type Tree, codeOnly, lineOf, sources } from "./rule.ts";

const FILE_BYTES_MAX = 1024 * 1024;

/** Text that belongs to one machine, one network or one merge: it is wrong everywhere else. The patterns are spelled so that this file passes. */
const FOREIGN: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: new RegExp(`(?<![\\w.~-])/(?:${["work", "root", "home", "Users"].join("|")})/[\\w.]`, "g"), what: "an absolute path of one machine" },
  { pattern: new RegExp(`^(?:${"<".repeat(7)}|${">".repeat(7)}) .*`, "gm"), what: "a mark that a merge has left" },
  { pattern: new RegExp(`https?://[^\\s"'\`)]*(?:${["registry", "npmjs", "artifactory", "verdaccio"].join("|")})[^\\s"'\`)]*`, "gi"), what: "a package registry's address" },
];

const BRITISH = /\b\w*(?:prioriti|normali|optimi|randomi|standardi|seriali|initiali|summari|regulari|marginali|minimi|maximi|recogni|organi|generali|categori|quanti|symboli|penali|authori|synchroni|utili|visuali)s(?:e|ed|es|ing|ation|er)\b|\b(?:behaviour|colour|neighbour|favour|honour|labour|centre|catalogue|cancell(?:ed|ing)|travell(?:ed|ing)|licence)\w*\b/gi;

export function files(tree: Tree): Finding {
  const violations: string[] = [];
  const known = new Set(tree.files);
  let bytes = 0;
  for (const path of tree.files) {
    const size = statSync(join(tree.root, path)).size;
    bytes += size;
    if (size > FILE_BYTES_MAX) violations.push(`${path}: ${size} bytes; a tracked file stays within ${FILE_BYTES_MAX}`);
    if (/\.(js|d\.ts|js\.map)$/.test(path) && known.has(path.replace(/\.(js|d\.ts|js\.map)$/, ".ts"))) violations.push(`${path}: compiled output beside its source; delete it`);
    if (/(^|\/)src\//.test(path)) violations.push(`${path}: rooms have no src folder`);
    const name = basename(path);
    if (/\.m?ts$/.test(path) && !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*\.m?ts$/.test(name)) violations.push(`${path}: file names are kebab-case`);
  }
  return { saw: `${tree.files.length} files, ${(bytes / 1e6).toFixed(1)} MB`, violations };
}

export function words(tree: Tree): Finding {
  const texts = tree.files.filter((path) => isText(path) && path !== "pnpm-lock.yaml");
  const violations: string[] = [];
  for (const path of texts) {
    const text = tree.text(path);
    for (const { pattern, what } of FOREIGN) {
      for (const match of text.matchAll(pattern)) violations.push(`${path}:${lineOf(text, match.index)}: \`${match[0]}\` is ${what}`);
    }
    if (!/\.(md|ts|yaml|html)$/.test(path) || path.endsWith("tidiness.ts")) continue;
    for (const match of text.matchAll(BRITISH)) if (match[0] !== match[0].toUpperCase()) violations.push(`${path}:${lineOf(text, match.index)}: \`${match[0]}\`; the house spells American`);
  }
  return { saw: `${texts.length} text files`, violations };
}

/** Tests that would hide others, or themselves, for good. */
export function testHygiene(tree: Tree): Finding {
  const tests = tree.files.filter((path) => path.endsWith(".test.ts"));
  const violations: string[] = [];
  let count = 0;
  for (const path of tests) {
    const code = codeOnly(tree.text(path));
    count += [...code.matchAll(/\b(?:it|test)(?:\.\w+(?:\([^)]*\))?)*\s*\(/g)].length;
    for (const match of code.matchAll(/\b(?:describe|it|test)\.(only|skip|todo)\s*\(/g)) violations.push(`${path}:${lineOf(code, match.index)}: \`${match[0].trim()}\` stays in the file; use skipIf with a reason in the name, or delete it`);
    for (const match of code.matchAll(/\bexpect\s*\(\s*(?:true|1)\s*\)\s*\.toBe/g)) violations.push(`${path}:${lineOf(code, match.index)}: a test that cannot fail`);
  }
  return { saw: `${tests.length} test files, ${count} tests written`, violations };
}

/** Rooms keep one door, and their manifests pin exact versions. */
export function manifests(tree: Tree): Finding {
  const violations: string[] = [];
  const paths = tree.files.filter((path) => /^[^/]+\/package\.json$/.test(path));
  let dependencies = 0;
  for (const path of paths) {
    const manifest = JSON.parse(tree.text(path)) as { name: string; exports?: Record<string, string>; dependencies?: Record<string, string>; devDependencies?: Record<string, string> };
    if (manifest.name !== `@populace/${path.split("/")[0]}`) violations.push(`${path}: is named ${manifest.name}`);
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      dependencies++;
      const expected = name.startsWith("@populace/") ? /^workspace:\*$/ : /^\d+\.\d+\.\d+$/;
      if (!expected.test(version)) violations.push(`${path}: ${name} "${version}"; versions are exact, rooms are workspace:*`);
    }
    for (const target of Object.values(manifest.exports ?? {})) {
      if (!tree.files.includes(join(path.split("/")[0]!, target))) violations.push(`${path}: exports ${target}, which does not exist`);
    }
  }
  const root = JSON.parse(tree.text("package.json")) as { dependencies?: object; devDependencies?: object; optionalDependencies?: object };
  if (root.dependencies ?? root.devDependencies ?? root.optionalDependencies) violations.push("package.json: the root has no npm dependencies (tools/package.json has them), so that a habitual npm ci passes");
  return { saw: `${paths.length} manifests, ${dependencies} dependencies`, violations };
}

function isText(path: string): boolean {
  return /\.(ts|mts|mjs|js|json|yaml|yml|md|html|css|svg|txt|proto|wgsl|csv|py|sh|bif)$/.test(path) || /(^|\/)(run|LICENSE|Dockerfile)$/.test(path);
}

/** Every function, class and table that a door exports says what it is; a type may speak through its name and its fields. */
export function docstrings(tree: Tree): Finding {
  const violations: string[] = [];
  let seen = 0;
  for (const path of publicSources(tree)) {
    const lines = tree.text(path).split("\n");
    lines.forEach((line, index) => {
      const match = /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const) (\w+)/.exec(line);
      if (match === null) return;
      seen++;
      // Adjacent one-liners and overloads share the docstring of the first.
      let first = index;
      while (first > 0 && /^export /.test(lines[first - 1] ?? "")) first--;
      if (!/\*\/\s*$/.test(lines[first - 1] ?? "")) violations.push(`${path}:${index + 1}: ${match[1]} is public and has no docstring`);
    });
  }
  return { saw: `${seen} public names`, violations };
}

function publicSources(tree: Tree): string[] {
  const found = new Set<string>();
  const visit = (path: string): void => {
    if (found.has(path) || !tree.files.includes(path)) return;
    found.add(path);
    for (const match of tree.text(path).matchAll(/^export (?:type )?\* from "(\.[^"]+)"/gm)) visit(join(path, "..", match[1]!));
  };
  for (const path of sources(tree)) if (/^[^/]+\/mod\.ts$/.test(path)) visit(path);
  return [...found];
}
