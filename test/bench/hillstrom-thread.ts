// A worker thread of hillstrom.bench.ts: the campaign that was never seen, while the main thread predicts the other halves.
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import type { ProtocolOptions } from "./hillstrom-protocol.ts";
import { hillstromLeaveOut } from "./hillstrom-protocol.ts";
import { readRealData } from "./real-data.ts";

if (!isMainThread) parentPort!.postMessage(hillstromLeaveOut((await readRealData("hillstrom"))!, workerData as ProtocolOptions));
