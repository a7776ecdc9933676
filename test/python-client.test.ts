// A client in another language, made from control.proto alone: submits a plan, watches the run, reads the result as Parquet.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { samplePlan } from "@populace/kernels/sample-plan";
import { columnCount, encodePlan } from "@populace/protocol";
import { describe, expect, it, onTestFinished } from "vitest";
import { startSmallCluster } from "../cli/cluster.fixture.ts";
import { ROOT } from "./helpers/data.ts";
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
});
