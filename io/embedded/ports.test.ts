import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { portContract } from "../contract.ts";
import { memoryPorts, openEmbeddedPorts } from "../mod.ts";

const root = mkdtempSync(join(tmpdir(), "populace-io-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
let folder = "";
const openNext = (): ReturnType<typeof openEmbeddedPorts> => openEmbeddedPorts((folder = join(root, String((count += 1)))));

portContract("embedded", openNext, async (ports) => {
  await ports.close();
  return openEmbeddedPorts(folder);
});
portContract("memory", () => memoryPorts(), null);
