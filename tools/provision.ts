// Installs Debian's Chromium for the browser tests when it is absent: only where POPULACE_PROVISION=1 says the machine may
// be changed (a continuous-integration machine). What cannot be had is reported, and its tests skip by name.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const INSTALL_MS_MAX = 240_000;

if (CHROMIUM.some((path) => existsSync(path))) console.log("provision: Chromium is present");
else {
  const prefix = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...args: string[]): boolean => {
    const [command, ...rest] = [...prefix, "apt-get", ...args];
    return spawnSync(command!, rest, { env, stdio: ["ignore", "ignore", "inherit"], timeout: INSTALL_MS_MAX }).status === 0;
  };
  const isInstalled = apt("update", "-qq") && apt("install", "-y", "-qq", "--no-install-recommends", "chromium");
  console.log(isInstalled ? "provision: installed Chromium" : "provision: Chromium could not be installed; the browser tests will be skipped");
}
