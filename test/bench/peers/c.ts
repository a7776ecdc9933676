// Peers in C: one file, compiled for this very processor by whatever compiler there is.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { absentPeer, type Peer, type PeerArrays, startPeer, temporaryFolder } from "./peer.ts";

const run = promisify(execFile);
const FLAGS = ["-O3", "-march=native", "-std=c11"];

/** Compiles `source` of this folder and starts it (peer.h says what it must do). Absent without a compiler, or when it does not compile. */
export async function cPeer<R>(source: string, arrays: PeerArrays): Promise<Peer<R>> {
  const program = join(temporaryFolder(), "peer");
  for (const compiler of ["gcc", "cc"]) {
    try {
      await run(compiler, [...FLAGS, "-o", program, join(import.meta.dirname, source), "-lm"]);
      const { stdout } = await run(compiler, ["-dumpfullversion", "-dumpversion"]);
      return await startPeer(`C, ${compiler} ${stdout.trim().split("\n")[0]!} ${FLAGS.slice(0, 2).join(" ")}`, program, [], arrays);
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === "ENOENT") continue;
      return absentPeer("C", `${compiler} failed: ${(error as Error).message.split("\n")[1] ?? ""}`);
    }
  }
  return absentPeer("C", "no gcc or cc");
}
