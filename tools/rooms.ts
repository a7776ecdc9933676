// The rooms, and what each may import. ARCHITECTURE.md shows the same table; the check proves they agree.

export interface Room {
  readonly name: string;
  /** Rooms that may be imported from anywhere inside. */
  readonly imports: readonly string[];
  /** Rooms that only the effectful part may import: shell/ and main.ts. */
  readonly shellImports: readonly string[];
  /** Pure: no clock, no randomness of its own, no I/O, nothing awaited. "core" means every core/ folder of the room. */
  readonly pure: "all" | "core" | "none";
}

const PROCESS_IMPORTS = ["domain", "protocol", "io"] as const;

export const ROOMS: readonly Room[] = [
  { name: "domain", imports: [], shellImports: [], pure: "all" },
  { name: "kernels", imports: ["domain"], shellImports: [], pure: "core" },
  { name: "protocol", imports: ["domain"], shellImports: [], pure: "core" },
  { name: "io", imports: ["domain"], shellImports: [], pure: "core" },
  { name: "studies", imports: ["domain", "protocol", "kernels", "io"], shellImports: [], pure: "core" },
  { name: "coordinator", imports: PROCESS_IMPORTS, shellImports: ["studies"], pure: "core" },
  { name: "agent-runtime", imports: [...PROCESS_IMPORTS, "kernels"], shellImports: [], pure: "core" },
  { name: "gateway", imports: [...PROCESS_IMPORTS, "kernels"], shellImports: ["studies"], pure: "core" },
  { name: "signals", imports: PROCESS_IMPORTS, shellImports: [], pure: "core" },
  {
    name: "cli",
    imports: ["domain", "kernels", "protocol", "io", "studies", "coordinator", "agent-runtime", "gateway", "signals"],
    shellImports: [],
    pure: "core",
  },
  { name: "tools", imports: ["domain"], shellImports: [], pure: "none" },
  {
    name: "test",
    imports: ["domain", "kernels", "protocol", "io", "studies", "coordinator", "agent-runtime", "gateway", "signals", "cli", "tools"],
    shellImports: [],
    pure: "none",
  },
];

/** The words of domain that io may use: it speaks bytes and strings and knows no message, but fails as everybody does. */
export const IO_WORDS: readonly string[] = ["PopulaceError", "ErrorCode", "ERROR_TABLE", "isPopulaceError"];

/** The room a path from the root lies in, or null for a file of the root itself. */
export function roomOf(path: string): Room | null {
  return ROOMS.find((room) => path.startsWith(`${room.name}/`)) ?? null;
}

/** Whether a source file must be pure; tests beside it need not be. */
export function isPure(path: string): boolean {
  const room = roomOf(path);
  if (room === null || isTest(path)) return false;
  return room.pure === "all" || (room.pure === "core" && path.includes("/core/"));
}

export function isTest(path: string): boolean {
  return /\.(test|bench|peer|fixture)\.ts$/.test(path) || path.startsWith("test/");
}
