/** The thread of a job that begins when a file is there: so a test can do things in the middle of one. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

while (!existsSync(process.env["POPULACE_TEST_GATE"]!)) await sleep(10);
await import("@populace/studies/job-thread");
