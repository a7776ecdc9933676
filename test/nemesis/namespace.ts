import { spawnSync } from "node:child_process";
import type { Direction } from "./chaos-proxy.ts";

/** A network namespace with one line to this machine, cut by the kernel: packets are dropped, retransmitted, and nobody is told. */
export interface Namespace {
  /** Address of this machine as seen from inside. */
  readonly host: string;
  /** What a command is prefixed with to run inside. */
  readonly prefix: readonly string[];
  cut(direction: Direction): void;
  heal(): void;
  remove(): void;
}

/** Makes a namespace, or says why this machine cannot. Each process number has one address range, out of 10.231.0.0/16. */
export function openNamespace(number: number): Namespace | string {
  const name = `populace-${process.pid}-${number}`, host = `10.231.${number}.1`, inside = `10.231.${number}.2`, outer = `pop${number}`;
  const ip = (...args: readonly string[]): string => {
    const { status, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
    return status === 0 ? "" : `ip ${args.join(" ")}: ${(error?.message ?? stderr).trim()}`;
  };
  const remove = (): void => {
    ip("link", "del", outer);
    ip("netns", "del", name);
  };
  for (const step of [
    ["netns", "add", name], ["link", "add", outer, "type", "veth", "peer", "name", "line", "netns", name], ["addr", "add", `${host}/24`, "dev", outer], ["link", "set", outer, "up"],
    ["-n", name, "addr", "add", `${inside}/24`, "dev", "line"], ["-n", name, "link", "set", "line", "up"], ["-n", name, "link", "set", "lo", "up"],
  ]) {
    const why = ip(...step);
    if (why === "") continue;
    remove();
    return why;
  }
  return {
    host, prefix: ["ip", "netns", "exec", name], remove,
    cut(direction) {
      const why = direction === "to server" ? ip("-n", name, "route", "add", "blackhole", `${host}/32`) : ip("route", "add", "blackhole", `${inside}/32`);
      if (why !== "") throw new Error(why);
    },
    heal() {
      ip("-n", name, "route", "del", "blackhole", `${host}/32`);
      ip("route", "del", "blackhole", `${inside}/32`);
    },
  };
}
