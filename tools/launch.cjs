#!/usr/bin/env node
// The `populace` command of the packed form. Plain JavaScript for any Node: it hands over to the Node that came as a
// dependency when the one it was started by is too old, and says what is missing when there is none.
"use strict";
const { spawn } = require("node:child_process");
const { join } = require("node:path");

const main = join(__dirname, "cli", "main.js");
const [major, minor] = process.versions.node.split(".").map(Number);
const isRecent = major > 24 || (major === 24 && minor >= 12);

if (isRecent) {
  process.argv[1] = main;
  import(require("node:url").pathToFileURL(main).href).catch((error) => {
    process.stderr.write(`populace: ${error.message}\n`);
    process.exitCode = 1;
  });
} else {
  let node;
  try {
    node = join(require.resolve(`node-${process.platform}-${process.arch}/package.json`), "..", "bin", "node");
  } catch {
    process.stderr.write(`populace needs Node 24.12 or newer; this is ${process.versions.node}, and no Node came with the packages for ${process.platform}-${process.arch}\n`);
    process.exit(1);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // Ctrl-C reaches the child by the terminal; it decides how to finish, this one only waits.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`populace: could not start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("close", (code, signal) => process.exit(code ?? 128 + (require("node:os").constants.signals[signal] ?? 1)));
}
