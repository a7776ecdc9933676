/** The thread of a job on a node that errs: its output is the right one with one bit changed, and it is sure of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { existsSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { JobAnswer } from "@populace/agent-runtime";

while (!existsSync(process.env["POPULACE_TEST_GATE"]!)) await sleep(10);
const said = parentPort!.postMessage.bind(parentPort!);
parentPort!.postMessage = (message: JobAnswer) => {
  if (message.kind === "done") message.output[message.output.length >> 1] ^= 1;
  said(message);
};
await import("@populace/studies/job-thread");
