// A client in another language, made from control.proto alone: submits a plan, watches the run, reads the result as Parquet.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { samplePlan } from "@populace/kernels/sample-plan";
import { columnCount, encodePlan } from "@populace/protocol";
import { calibrationOf, modelText, scoreTableOf, type Model } from "@populace/studies";
import type { ScoreTable } from "@populace/domain";
import { describe, expect, it, onTestFinished } from "vitest";
import { startSmallCluster } from "../cli/cluster.fixture.ts";
import { ROOT } from "./helpers/data.ts";
import { GATEWAY_MODEL } from "./helpers/gateway-client.ts";
import { run, temporaryFolder } from "./helpers/process.ts";

const PACKAGES = process.env["POPULACE_PYTHON_PATH"] ?? "";
const why = PACKAGES === "" ? ` (skipped: ${process.env["POPULACE_NO_PYTHON"] ?? "tests are run by \"npm test\""})` : "";

describe.skipIf(PACKAGES === "")(`the Python client${why}`, () => {
  it("submits, watches and reads what this machine computes alone; is told why it is refused", async () => {
    const { address, coordinator, close } = await startSmallCluster();
    onTestFinished(close);
    const folder = temporaryFolder();
    const plan = samplePlan(31, { agents: [4000, 900], ticks: 5, influence: false, worlds: 2, gapTicks: 0, copula: false });
    writeFileSync(join(folder, "study.plan"), encodePlan(plan));
    const client = (...args: readonly string[]) => run("python3", [join(ROOT, "cli", "examples", "python", "client.py"), address, ...args], { env: { PYTHONPATH: PACKAGES } });
    const ended = await client(join(folder, "study.plan"), join(folder, "ticks.parquet"));
    expect(ended.code, ended.stderr).toBe(0);
    const said = JSON.parse(ended.stdout);
    const [record] = await coordinator.runs();
    expect(record).toMatchObject({ state: "done", label: "python" });
    const { rootHash, exposures, counts } = await coordinator.outcome(record.run);
    expect(said).toMatchObject({ run: record.run, root: rootHash, exposures });
    expect(said.columns).toEqual(["tick", "scenario", "persona", "stimulus", "step", "exposures", "responses", "left", "shared"]);
    expect(counts.reduce((sum, count, index) => sum + (index % columnCount(plan.steps.length) === 0 ? count : 0), 0)).toBe(exposures);
    expect(ended.stderr).toMatch(/done +tick 5 of 5/);

    writeFileSync(join(folder, "wrong.plan"), "no plan");
    const refused = await client(join(folder, "wrong.plan"), join(folder, "none.parquet"));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^CORRUPT: /);
  });

  it("passes the calibration gate, or says why it goes round it", async () => {
    const { address, close } = await startSmallCluster();
    onTestFinished(close);
    const request = join(temporaryFolder(), "request.json");
    const release = (model: Model, table: ScoreTable, force: string) => (writeFileSync(request, JSON.stringify([modelText(model), JSON.stringify(table), force])), run("python3", ["-c", `
import json, sys
sys.path.insert(0, ${JSON.stringify(join(ROOT, "cli", "examples", "python"))})
from client import Cluster, Refusal
model, table, force = (text.encode() for text in json.load(open(sys.argv[1])))
try:
    print(Cluster(${JSON.stringify(address)}).release(table, model, force=force.decode()).note)
except Refusal as refusal:
    raise SystemExit(str(refusal))
`, request], { env: { PYTHONPATH: PACKAGES } }));
    const passed: Model = { ...GATEWAY_MODEL, calibration: calibrationOf("held-out rows", Array.from({ length: 40 }, (_, i) => (i + 0.5) / 40), null) };
    const failed: Model = { ...passed, calibration: calibrationOf("held-out rows", Array.from({ length: 40 }, () => 0.999), null) };
    expect(await release(failed, scoreTableOf(failed), "")).toMatchObject({ code: 1, stderr: expect.stringMatching(/^UNCALIBRATED: .*40 of 40 outcomes/) });
    expect(await release(passed, scoreTableOf({ ...passed, version: 9 }), "")).toMatchObject({ code: 1, stderr: expect.stringMatching(/^BAD_REQUEST: the score table is not that of/) });
    expect(await release(failed, scoreTableOf(failed), "the season was odd")).toMatchObject({ code: 0, stdout: expect.stringMatching(/by force: the season was odd \(.*40 of 40 outcomes/) });
    expect(await release(passed, scoreTableOf(passed), "")).toMatchObject({ code: 0, stdout: "\n" });
  });
});
