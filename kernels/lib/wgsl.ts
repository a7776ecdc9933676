import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { PopulaceError } from "@populace/domain/error";

/** A WGSL program put together from files, and what the host must know of it. */
export interface WgslSource {
  /** File name of the program itself, for people. */
  readonly name: string;
  readonly code: string;
  /** File and line (from 1) of a line (from 1) of `code`: "philox.wgsl:12". */
  origin(line: number): string;
  /** The `var<storage, ...>` of group 0, in the order of their bindings. */
  readonly buffers: readonly { readonly name: string; readonly isWritten: boolean }[];
  /** The fields of the struct that `var<uniform> params` of group 1 has, in order; empty without one. */
  readonly params: readonly { readonly name: string; readonly isSigned: boolean }[];
  /** Threads of a workgroup: a number, or the name of an `override` and its default. */
  readonly groupSize: { readonly override: string | null; readonly threads: number };
}

const INCLUDE = /^#include "([^"\n]+)"$/;
const sources = new Map<string, WgslSource>();

/**
 * The program of a `.wgsl` file: a line `#include "../lib/philox.wgsl"` stands for that file, whose path is relative to the
 * file that names it; each file is taken once, however often it is named. INTERNAL when a file is missing or the program does
 * not declare its buffers and parameters as kernels/README.md says. Read once a thread.
 */
export function readWgsl(url: URL): WgslSource {
  let source = sources.get(url.href);
  if (source === undefined) {
    source = assembleWgsl(textOf(url), url);
    sources.set(url.href, source);
  }
  return source;
}

/** The program of a text that stands as if it were the file at `url`. */
export function assembleWgsl(text: string, url: URL): WgslSource {
  const lines: string[] = [];
  const origins: string[] = [];
  const taken = new Set([url.href]);
  const take = (part: string, at: URL): void => {
    part.split("\n").forEach((line, index) => {
      const included = INCLUDE.exec(line.trim());
      if (included === null) {
        lines.push(line);
        origins.push(`${basename(at.pathname)}:${index + 1}`);
        return;
      }
      const next = new URL(included[1]!, at);
      if (taken.has(next.href)) return;
      taken.add(next.href);
      take(textOf(next), next);
    });
  };
  take(text, url);
  const name = basename(url.pathname);
  const code = lines.join("\n");
  const bare = code.replace(/\/\/[^\n]*/g, "");
  return { name, code, origin: (line) => origins[line - 1] ?? name, buffers: buffersOf(bare, name), params: paramsOf(bare, name), groupSize: groupSizeOf(bare, name) };
}

function textOf(url: URL): string {
  try {
    return readFileSync(url, "utf8");
  } catch (error) {
    throw new PopulaceError("INTERNAL", `WGSL file ${fileURLToPath(url)} cannot be read`, { file: basename(url.pathname) }, error);
  }
}

function buffersOf(code: string, name: string): WgslSource["buffers"] {
  const found = [...code.matchAll(/@group\(0\)\s*@binding\((\d+)\)\s*var<storage(?:\s*,\s*(read|read_write))?>\s*(\w+)/g)]
    .map((match) => ({ binding: Number(match[1]), name: match[3]!, isWritten: match[2] === "read_write" }))
    .toSorted((a, b) => a.binding - b.binding);
  found.forEach((buffer, index) => {
    if (buffer.binding !== index) throw new PopulaceError("INTERNAL", `${name}: storage buffer ${buffer.name} has binding ${buffer.binding} of group 0, expected ${index}: they count from 0 without gaps`);
  });
  return found.map((buffer) => ({ name: buffer.name, isWritten: buffer.isWritten }));
}

function paramsOf(code: string, name: string): WgslSource["params"] {
  const declared = /@group\(1\)\s*@binding\(0\)\s*var<uniform>\s*params\s*:\s*(\w+)/.exec(code);
  if (declared === null) return [];
  const struct = new RegExp(`struct\\s+${declared[1]}\\s*\\{([^}]*)\\}`).exec(code);
  const fields = (struct?.[1] ?? "").split(",").map((field) => field.trim()).filter((field) => field !== "");
  return fields.map((field) => {
    const [, fieldName, type] = /^(\w+)\s*:\s*(u32|i32)$/.exec(field) ?? [];
    if (fieldName === undefined) throw new PopulaceError("INTERNAL", `${name}: field \`${field}\` of ${declared[1]} is neither u32 nor i32; parameters are single words`);
    return { name: fieldName, isSigned: type === "i32" };
  });
}

function groupSizeOf(code: string, name: string): WgslSource["groupSize"] {
  const size = /@workgroup_size\(\s*(\w+)\s*\)/.exec(code)?.[1];
  const declared = size === undefined ? null : new RegExp(`\\b(const|override)\\s+${size}\\s*(?::\\s*u32)?\\s*=\\s*(\\d+)u?\\s*;`).exec(code);
  const threads = Number.parseInt(declared?.[2] ?? size ?? "", 10);
  if (!(threads > 0)) throw new PopulaceError("INTERNAL", `${name}: @workgroup_size(${size ?? ""}) is neither one number nor one const or override with a value`);
  return { override: declared?.[1] === "override" ? size! : null, threads };
}
