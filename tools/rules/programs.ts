// The checks that other programs make: the compiler, the linter, the finder of dead code, run as they are.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Finding, type Tree, sources } from "./rule.ts";

const OWN_ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export async function types(tree: Tree): Promise<Finding> {
  const { code, text } = await program("tsc", ["-p", tree.root, "--pretty", "false", "--listFilesOnly", "false"], tree.root);
  const errors = text.split("\n").filter((line) => /error TS\d+/.test(line));
  if (code !== 0 && errors.length === 0) errors.push(`tsc ended with ${code}: ${text.trim().slice(0, 400)}`);
  return { saw: `${sources(tree).length} sources`, violations: errors };
}

export async function lint(tree: Tree): Promise<Finding> {
  const { code, text } = await program("oxlint", ["--type-aware", "--deny-warnings", "--report-unused-disable-directives", "--format=unix", "."], tree.root);
  const seen = text.split("\n").filter((line) => /^\S+:\d+:\d+: /.test(line));
  if (code !== 0 && seen.length === 0) seen.push(`oxlint ended with ${code}: ${text.trim().slice(0, 400)}`);
  return { saw: `${sources(tree).length} sources`, violations: seen.map((line) => (line.startsWith(`${tree.root}/`) ? line.slice(tree.root.length + 1) : line)) };
}

/** Files, exports, types and dependencies that nothing reaches from the doors, the processes and the tests, as knip finds them (knip.json). */
export async function unused(tree: Tree): Promise<Finding> {
  const { code, text } = await program("knip", ["--reporter", "json", "--no-progress"], tree.root);
  const start = text.indexOf("{");
  if (start < 0) return { saw: "nothing", violations: [`knip ended with ${code}: ${text.trim().slice(0, 400)}`] };
  const { issues } = JSON.parse(text.slice(start)) as { issues: readonly Issue[] };
  const violations = issues.flatMap((issue) =>
    [
      ...issue.files.map(() => `${issue.file}: nothing reaches this file`),
      ...issue.dependencies.map((each) => `${issue.file}: depends on ${each.name} and never imports it`),
      ...issue.unlisted.map((each) => `${issue.file}: imports ${each.name}, which its package.json does not list`),
      ...issue.unresolved.map((each) => `${issue.file}: imports ${each.name}, which does not exist`),
      ...[...issue.exports, ...issue.types].map((each) => `${issue.file}:${each.line ?? 1}: exports ${each.name}, which nobody imports`),
    ],
  );
  return { saw: `${sources(tree).length} sources`, violations };
}

interface Issue {
  readonly file: string;
  readonly files: readonly unknown[];
  readonly dependencies: readonly { readonly name: string }[];
  readonly unlisted: readonly { readonly name: string }[];
  readonly unresolved: readonly { readonly name: string }[];
  readonly exports: readonly { readonly name: string; readonly line?: number }[];
  readonly types: readonly { readonly name: string; readonly line?: number }[];
}

function program(name: string, args: readonly string[], cwd: string): Promise<{ code: number; text: string }> {
  const own = join(OWN_ROOT, "node_modules", ".bin", name);
  return new Promise((resolve, reject) => {
    const child = spawn(existsSync(own) ? own : name, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, text }));
  });
}
