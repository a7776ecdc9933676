// What a rule of the house is given and what it answers.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Tree {
  readonly root: string;
  /** Paths from the root, of files that are tracked or could be: nothing ignored, nothing installed. */
  readonly files: readonly string[];
  text(path: string): string;
}

export interface Finding {
  /** What was looked at, with its count, so that a pass by looking at nothing shows. */
  readonly saw: string;
  /** One sentence each: where, what, and what to do instead. */
  readonly violations: readonly string[];
}

export interface Rule {
  readonly name: string;
  readonly run: (tree: Tree) => Finding | Promise<Finding>;
}

export function readTree(root: string): Tree {
  const texts = new Map<string, string>();
  return {
    root,
    files: listed(root).filter((path) => existsSync(join(root, path))).toSorted(),
    text(path) {
      const known = texts.get(path);
      if (known !== undefined) return known;
      const text = readFileSync(join(root, path), "utf8");
      texts.set(path, text);
      return text;
    },
  };
}

function listed(root: string): string[] {
  if (existsSync(join(root, ".git"))) {
    return execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
      .split("\0")
      .filter((path) => path !== "");
  }
  const found: string[] = [];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      if (["node_modules", "dist", ".git", ".populace", ".tools"].includes(entry.name)) continue;
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile()) found.push(path);
    }
  };
  visit("");
  return found;
}

/** TypeScript that Node runs: the AssemblyScript twins (`x.as.ts`) are another language. */
export function sources(tree: Tree): string[] {
  return tree.files.filter((path) => /\.m?ts$/.test(path) && !path.endsWith(".as.ts") && !path.endsWith(".d.ts"));
}

/** The line of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let index = 0; index < offset; index++) if (text.charCodeAt(index) === 10) line++;
  return line;
}

/**
 * The code with comments, strings and regular expressions blanked to spaces of the same length, so that offsets stay and
 * a search finds calls only. The parts of a template between `${` and `}` stay. Division is told from a regular
 * expression by what stands before it, which suffices for formatted code.
 */
export function codeOnly(text: string): string {
  const out = text.split("");
  const blank = (from: number, to: number): void => {
    for (let index = from; index < to; index++) if (out[index] !== "\n") out[index] = " ";
  };
  const templates: number[] = [];
  let depth = 0;
  let index = 0;
  const template = (start: number): number => {
    let at = start;
    while (at < text.length && text[at] !== "`" && !(text[at] === "$" && text[at + 1] === "{")) at += text[at] === "\\" ? 2 : 1;
    blank(start, Math.min(at, text.length));
    if (text[at] === "`") return at + 1;
    templates.push(depth);
    return at + 2;
  };
  while (index < text.length) {
    const char = text[index];
    const next = text[index + 1];
    if (char === "/" && (next === "/" || next === "*")) {
      const stop = next === "/" ? text.indexOf("\n", index) : text.indexOf("*/", index + 2);
      const end = stop < 0 ? text.length : stop + (next === "/" ? 0 : 2);
      blank(index, end);
      index = end;
    } else if (char === '"' || char === "'") {
      let at = index + 1;
      while (at < text.length && text[at] !== char && text[at] !== "\n") at += text[at] === "\\" ? 2 : 1;
      blank(index + 1, at);
      index = at + 1;
    } else if (char === "`") {
      index = template(index + 1);
    } else if (char === "{") {
      depth++;
      index++;
    } else if (char === "}") {
      if (templates.length > 0 && templates.at(-1) === depth) {
        templates.pop();
        index = template(index + 1);
      } else {
        depth--;
        index++;
      }
    } else if (char === "/" && /(^|[=(,:;!&|?{}[+\-*%<>~^\n]|\breturn|\btypeof|\bcase)\s*$/.test(text.slice(Math.max(0, index - 20), index))) {
      let at = index + 1;
      let inClass = false;
      while (at < text.length && text[at] !== "\n" && (inClass || text[at] !== "/")) {
        if (text[at] === "\\") at++;
        else if (text[at] === "[") inClass = true;
        else if (text[at] === "]") inClass = false;
        at++;
      }
      blank(index + 1, at);
      index = at + 1;
    } else {
      index++;
    }
  }
  return out.join("");
}
