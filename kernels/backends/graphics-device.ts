import { existsSync, readdirSync } from "node:fs";

/**
 * Why a GPU is not worth looking for, or "". Looks at device files only: loading Dawn costs 20 ms at every start of the
 * command line and complains on stderr where there is no Vulkan.
 */
export function missingGraphicsDevice(): string {
  if (process.platform !== "linux") return "";
  const isThere = existsSync("/dev/dri") || readdirSync("/dev").some((name) => name.startsWith("nvidia") || name === "dxg");
  return isThere ? "" : "sees no graphics device (/dev/dri, /dev/nvidia*, /dev/dxg)";
}
