// `npm pack` and `npm publish`: the checkout as one npm package that runs without it.
// Node strips types from files, but not from files inside node_modules; so the rooms are emitted as JavaScript under dist/
// (types blanked, lines kept), their assets beside them, every `@populace/x` rewritten to the path it stands for.
// The manifest of the root has no dependencies (tools/run.mjs says why); for the time of packing it is replaced by one that
// collects those of the rooms; tools/run.mjs puts it back (npm's postpack, or whatever is run next if packing broke off).
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { readTree } from "./rules/rule.ts";
import { ROOMS, isTest } from "./rooms.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const manifestPath = join(root, "package.json");
const keptManifestPath = join(root, ".tools", "package.json");
const PACKED_ROOMS = ROOMS.map((room) => room.name).filter((name) => name !== "tools" && name !== "test");

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

// Node calls its own type stripping experimental, on every run.
process.removeAllListeners("warning");
pack();

function pack(): void {
  const dist = join(root, "dist");
  rmSync(dist, { recursive: true, force: true });
  const doors = new Map<string, string>();
  for (const room of PACKED_ROOMS) {
    for (const [door, file] of Object.entries(readManifest(join(root, room, "package.json")).exports ?? {})) {
      doors.set(posix.join(`@populace/${room}`, door), posix.join(room, file));
    }
  }
  let emitted = 0;
  let copied = 0;
  for (const path of readTree(root).files) {
    if (!PACKED_ROOMS.some((room) => path.startsWith(`${room}/`)) || isLeftOut(path)) continue;
    const target = join(dist, path.replace(/\.(m?)ts$/, ".$1js"));
    mkdirSync(dirname(target), { recursive: true });
    if (/\.m?ts$/.test(path) && !path.endsWith(".as.ts")) {
      writeFileSync(target, rewritten(stripTypeScriptTypes(readFileSync(join(root, path), "utf8")), path, doors));
      emitted++;
    } else {
      copyFileSync(join(root, path), target);
      copied++;
    }
  }
  copyFileSync(join(root, "tools", "launch.cjs"), join(dist, "populace.cjs"));
  chmodSync(join(dist, "populace.cjs"), 0o755);
  mkdirSync(dirname(keptManifestPath), { recursive: true });
  copyFileSync(manifestPath, keptManifestPath);
  writeFileSync(manifestPath, `${JSON.stringify(packedManifest(), null, 2)}\n`);
  process.stderr.write(`populace: packed ${emitted} modules and ${copied} other files of ${PACKED_ROOMS.length} rooms\n`);
}

function isLeftOut(path: string): boolean {
  return isTest(path) || /\.(d\.ts|as\.ts|py)$/.test(path) || path.endsWith("/package.json") || /\/(fixtures?|testdata)\//.test(path);
}

/** Imports, worker addresses and resolved names are string literals: `./x.ts` becomes `./x.js`, a door its file. */
function rewritten(code: string, path: string, doors: ReadonlyMap<string, string>): string {
  const toJs = (file: string): string => file.replace(/\.(m?)ts$/, ".$1js");
  return code
    .replace(/(["'])(\.\.?\/[^"'\n]+\.m?ts)\1/g, (_, quote: string, file: string) => `${quote}${toJs(file)}${quote}`)
    .replace(/(["'])(@populace\/[a-z-]+(?:\/[a-z-]+)?)\1/g, (whole, quote: string, name: string) => {
      const file = doors.get(name);
      if (file === undefined) return whole;
      const to = toJs(relative(dirname(path), file)).replaceAll("\\", "/");
      return `${quote}${to.startsWith(".") ? to : `./${to}`}${quote}`;
    });
}

function packedManifest(): object {
  const own = readManifest(manifestPath);
  const dependencies = new Map<string, string>();
  for (const room of PACKED_ROOMS) {
    for (const [name, version] of Object.entries(readManifest(join(root, room, "package.json")).dependencies ?? {})) {
      if (!name.startsWith("@populace/")) dependencies.set(name, version);
    }
  }
  return {
    name: own.name,
    version: own.version,
    description: own.description,
    license: own.license,
    type: "module",
    bin: { populace: "dist/populace.cjs" },
    files: ["dist", "ARCHITECTURE.md", "GLOSSARY.md", "CHANGELOG.md"],
    engines: { node: ">=18" },
    dependencies: Object.fromEntries([...dependencies].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    // The pinned Node itself: the launcher starts it when the system's is too old.
    optionalDependencies: readManifest(join(root, "tools", "package.json")).optionalDependencies,
  };
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, "utf8")) as Manifest;
}
