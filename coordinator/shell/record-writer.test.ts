import { memoryPorts, memoryStore } from "@populace/io";
import { RUN_RECORD, runKey, type RunRecord } from "@populace/protocol";
import { expect, test } from "vitest";
import { changeRecord, claimRecord } from "./record-writer.ts";
import { readRecord, writeRecord } from "./run-store.ts";

const RUN = "aa";
const RECORD: RunRecord = {
  run: RUN, attempt: 1, firstAttempt: 1, term: 1, change: 1, view: 1, state: "running", number: 1, label: "", priority: 0, wanted: {}, execution: null, shards: [], owners: [], unfit: [], checkedTick: -1, uncheckedFrom: -1, dispute: null, suspectFrom: -1,
  code: "", reason: "", tick: -1, root: RUN, exposures: 0, seconds: 0, backends: [], spec: { kernelSpec: "k", arithmeticProfile: "p", planHash: "", seed: [0, 0], agents: 1, ticks: 3 },
};

test("a run is claimed with the last that an earlier leader wrote, who can write no more (simulator seed 4013966)", async () => {
  const ports = memoryPorts();
  try {
    const [old, young] = [memoryStore(), memoryStore()], [before, after] = [{ ports: { ...ports, store: old }, tenant: "t", term: 1 }, { ports: { ...ports, store: young }, tenant: "t", term: 2 }];
    const entered = await changeRecord(before, RECORD);
    await young.transaction((tables) => writeRecord(tables, "t", entered));
    const decided = await changeRecord(before, { ...entered, firstAttempt: 2, unfit: ["liar wasm"] });
    const claimed = await claimRecord(after, RUN);
    expect(claimed).toEqual({ ...decided, term: 2, change: decided.change + 1 });
    expect([readRecord(young, "t", RUN), RUN_RECORD.decode((await ports.registry.get(runKey("t", RUN)))!.bytes)]).toEqual([claimed, claimed]);
    await expect(changeRecord(before, { ...decided, owners: ["a"] })).rejects.toMatchObject({ code: "STALE_TERM" });
    expect(await claimRecord(after, RUN)).toEqual(claimed);
    const late = memoryStore();
    await late.transaction((tables) => writeRecord(tables, "t", { ...entered, term: 0 }));
    await expect(claimRecord({ ...before, ports: { ...ports, store: late } }, RUN)).rejects.toMatchObject({ code: "STALE_TERM" });
  } finally {
    await ports.close();
  }
});
