import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isJobPlan, isKernelPlan, jobPlan, type PlanJob } from "./job-plan.ts";
import { blocksOf } from "./plan.ts";
import { decodePlan, encodePlan, planHash, runIdOf, runSpecOf } from "./plan-codec.ts";
import { rootOfJob } from "./root.ts";

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());
const JOB: PlanJob = { function: "fit", version: "1-ab", parameters: "{\"seed\":1}", inputs: [{ name: "data", parts: ["aa", "bb"] }, { name: "empty", parts: [] }] };
const idOf = (job: PlanJob): string => runIdOf(runSpecOf(jobPlan(job), planHash(jobPlan(job), sha256)), sha256);

describe("the plan of a job", () => {
  test("comes back from its bytes, is one block of one tick, and counts nobody as an agent", () => {
    const plan = jobPlan(JOB), back = decodePlan(encodePlan(plan));
    expect(back).toEqual(plan);
    expect([isJobPlan(back), isKernelPlan(back), isJobPlan(decodePlan(encodePlan(back)))]).toEqual([true, false, true]);
    expect(blocksOf(plan)).toHaveLength(1);
    expect(runSpecOf(plan, "ff")).toMatchObject({ agents: 0, ticks: 1 });
  });

  test("has another id for every other function, version, parameter and part, and for another cut of the same parts", () => {
    const others: readonly PlanJob[] = [
      { ...JOB, function: "cluster" }, { ...JOB, version: "2-ab" }, { ...JOB, parameters: "{}" }, { ...JOB, inputs: [] }, { ...JOB, inputs: [{ name: "data", parts: ["aa"] }, { name: "empty", parts: ["bb"] }] },
    ];
    expect(new Set([JOB, ...others].map(idOf)).size).toBe(6);
  });

  test("cut short is CORRUPT, of another specification INCOMPATIBLE", () => {
    const bytes = encodePlan(jobPlan(JOB));
    expect(() => decodePlan(bytes.subarray(0, bytes.length - 3))).toThrow(expect.objectContaining({ code: "CORRUPT" }));
    const other = new TextDecoder("latin1").decode(bytes).replace("job-1", "job-9");
    expect(() => decodePlan(Uint8Array.from(other, (character) => character.charCodeAt(0)))).toThrow(expect.objectContaining({ code: "INCOMPATIBLE" }));
  });

  test("has a root that depends on the output and on the run", () => {
    const output = new TextEncoder().encode("model");
    expect(new Set([rootOfJob("00".repeat(32), output, sha256), rootOfJob("01".repeat(32), output, sha256), rootOfJob("00".repeat(32), output.subarray(1), sha256)]).size).toBe(3);
  });
});
