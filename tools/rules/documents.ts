// The documents against the source: links, the glossary, the tables that are stated twice.
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOMS, isTest } from "../rooms.ts";
import { type Finding, type Tree, lineOf, sources } from "./rule.ts";

export function links(tree: Tree): Finding {
  const documents = tree.files.filter((path) => path.endsWith(".md"));
  const violations: string[] = [];
  let count = 0;
  for (const path of documents) {
    const text = tree.text(path).replace(/```[\s\S]*?```/g, (block) => block.replace(/[^\n]/g, " "));
    for (const match of text.matchAll(/!?\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)|(?:src|href)="([^"]+)"/g)) {
      const link = match[1] ?? match[2]!;
      if (/^(https?|mailto):/.test(link)) continue;
      count++;
      const [file, anchor] = link.split("#") as [string, string | undefined];
      const target = file === "" ? path : normalize(join(dirname(path), file));
      if (!existsSync(join(tree.root, target))) violations.push(`${path}:${lineOf(text, match.index)}: links to ${link}, which does not exist`);
      else if (anchor !== undefined && target.endsWith(".md") && !anchors(tree.text(target)).has(anchor)) violations.push(`${path}:${lineOf(text, match.index)}: ${target} has no heading #${anchor}`);
    }
  }
  return { saw: `${documents.length} documents, ${count} links`, violations };
}

function anchors(text: string): Set<string> {
  return new Set([...text.matchAll(/^#+\s+(.+)$/gm)].map((match) => match[1]!.toLowerCase().replace(/[^\w\s-]/g, "").trim().replace(/\s/g, "-")));
}

/** The glossary is a table of terms in use: a term nobody uses is dropped, a duplicate is a second meaning. */
export function glossary(tree: Tree): Finding {
  if (!tree.files.includes("GLOSSARY.md")) return { saw: "no GLOSSARY.md", violations: ["GLOSSARY.md: is missing"] };
  const rows = [...tree.text("GLOSSARY.md").matchAll(/^\| ([^|]+?) \| ([^|]+?) \|$/gm)].filter((row) => row[1] !== "term" && !/^-+$/.test(row[1]!));
  const corpus = [...sources(tree), ...tree.files.filter((path) => path.endsWith(".md") && path !== "GLOSSARY.md")].map((path) => tree.text(path)).join("\n").toLowerCase();
  const violations: string[] = [];
  const seen = new Set<string>();
  for (const row of rows) {
    for (const term of row[1]!.replace(/\([^)]*\)/g, "").split(",").map((each) => each.trim().toLowerCase())) {
      if (seen.has(term)) violations.push(`GLOSSARY.md: "${term}" is explained twice`);
      seen.add(term);
      const joined = term.replace(/[ -]/g, "");
      if (!corpus.includes(term) && !corpus.includes(joined) && !corpus.includes(term.replaceAll(" ", "-"))) violations.push(`GLOSSARY.md: "${term}" is used nowhere; drop it`);
    }
  }
  if (rows.length < 30) violations.push(`GLOSSARY.md: only ${rows.length} rows were read; is it still a table of two columns?`);
  return { saw: `${rows.length} rows, ${seen.size} terms`, violations };
}

/** The error table: what ARCHITECTURE.md shows is what domain/error.ts says, and every code is raised somewhere. */
export async function errors(tree: Tree): Promise<Finding> {
  const table = await errorTable(tree);
  const codes = Object.keys(table);
  const violations = compared(tree, "ARCHITECTURE.md", "errors", errorMarkdown(table));
  const raising = sources(tree).filter((path) => path !== "domain/error.ts" && !isTest(path)).map((path) => tree.text(path)).join("\n");
  for (const code of codes) if (!raising.includes(`"${code}"`)) violations.push(`domain/error.ts: ${code} is raised nowhere; use it or retire it`);
  const tests = sources(tree).filter(isTest).map((path) => tree.text(path)).join("\n");
  const untested = codes.filter((code) => !tests.includes(code));
  if (untested.length > 0) violations.push(`domain/error.ts: no test causes ${untested.join(", ")}`);
  return { saw: `${codes.length} codes, ${codes.length - untested.length} of them caused by a test`, violations };
}

/** The table of rooms in ARCHITECTURE.md is the one that the direction rule enforces. */
export function rooms(tree: Tree): Finding {
  const violations = compared(tree, "ARCHITECTURE.md", "rooms", roomMarkdown());
  for (const room of ROOMS) if (!tree.files.some((path) => path.startsWith(`${room.name}/`))) violations.push(`tools/rooms.ts: room ${room.name} does not exist`);
  const folders = new Set(tree.files.filter((path) => path.includes("/") && !path.startsWith(".")).map((path) => path.split("/")[0]!));
  const unknown = [...folders].filter((folder) => folder !== "deploy" && !ROOMS.some((room) => room.name === folder));
  if (unknown.length > 0) violations.push(`tools/rooms.ts: does not know ${unknown.join(", ")}; give a new room its imports there first`);
  return { saw: `${ROOMS.length} rooms`, violations };
}

/** What the generated blocks should hold, by file and name; `npm run check -- --write` puts them there. */
export async function generatedBlocks(tree: Tree): Promise<readonly { path: string; name: string; content: string }[]> {
  return [
    { path: "ARCHITECTURE.md", name: "rooms", content: roomMarkdown() },
    { path: "ARCHITECTURE.md", name: "errors", content: errorMarkdown(await errorTable(tree)) },
  ];
}

/** The pattern of a generated block: `<!-- name -->` to `<!-- /name -->`, each on a line of its own. */
export function blockPattern(name: string): RegExp {
  return new RegExp(`(<!-- ${name} -->\n)([\\s\\S]*?)(\n<!-- /${name} -->)`);
}

function compared(tree: Tree, path: string, name: string, expected: string): string[] {
  const found = tree.files.includes(path) ? blockPattern(name).exec(tree.text(path)) : null;
  if (found === null) return [`${path}: has no block <!-- ${name} -->`];
  return found[2] === expected ? [] : [`${path}: the table of ${name} differs from the source; run \`npm run check -- --write\``];
}

interface ErrorRow {
  readonly sentence: string;
  readonly http: number;
  readonly grpc: string;
  readonly exit: number;
  readonly retry: boolean;
}

async function errorTable(tree: Tree): Promise<Readonly<Record<string, ErrorRow>>> {
  const module = (await import(join(tree.root, "domain/error.ts"))) as { ERROR_TABLE: Readonly<Record<string, ErrorRow>> };
  return module.ERROR_TABLE;
}

function errorMarkdown(table: Readonly<Record<string, ErrorRow>>): string {
  const rows = Object.entries(table).map(([code, row]) => `| \`${code}\` | ${row.sentence} | ${row.http} | ${row.grpc} | ${row.exit} | ${row.retry ? "yes" : "no"} |`);
  return ["| code | what happened | HTTP | gRPC | exit | retry helps |", "|---|---|---|---|---|---|", ...rows].join("\n");
}

function roomMarkdown(): string {
  const rows = ROOMS.map((room) => {
    const shell = room.shellImports.length > 0 ? `; its shell also ${room.shellImports.join(", ")}` : "";
    const pure = { all: "all of it", core: "core/", none: "-" }[room.pure];
    return `| ${room.name} | ${room.imports.join(", ") || "nothing"}${shell} | ${pure} |`;
  });
  return ["| room | may import | pure |", "|---|---|---|", ...rows].join("\n");
}
