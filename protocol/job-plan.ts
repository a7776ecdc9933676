import { PopulaceError } from "@populace/domain";
import { CanonicalReader, CanonicalWriter } from "./canonical.ts";
import { behaviorPlan, isBehaviorPlan } from "./behavior-plan.ts";
import type { Plan } from "./plan.ts";

/** The specification that a RunSpec of a job names in place of a kernel's. */
export const JOB_SPEC = "job-1";
/** The first text of a job plan's canonical bytes. */
export const JOB_MAGIC = "populace job 1";
/** What stands in place of a kernel's backend where a function computes. */
export const JOB_BACKEND = "job";

/** A file that a job reads, in the parts in which it lies in the blob store. */
export interface JobInput {
  readonly name: string;
  /** Blob addresses of the parts in their order. */
  readonly parts: readonly string[];
}

/** One call of a pure function: its output follows from these alone. */
export interface PlanJob {
  readonly function: string;
  /** Of the function: another version may have another output. */
  readonly version: string;
  /** Canonical text that the function reads. */
  readonly parameters: string;
  readonly inputs: readonly JobInput[];
}

/**
 * A plan whose one block is computed by a function instead of a kernel, in one tick. To whoever places, commits and checks it is a plan like any
 * other, with nothing to count: the block's leaf is the SHA-256 of the output, twice, and the commit's `sums` is the output's blob address.
 */
export interface JobPlan extends Plan {
  readonly job: PlanJob;
}

/** Whether a function computes a plan. */
export const isJobPlan = (plan: Plan): plan is JobPlan => "job" in plan;

/** Whether a kernel moves the agents of a plan. */
export const isKernelPlan = (plan: Plan): boolean => !isBehaviorPlan(plan) && !isJobPlan(plan);

/** Function and version as nodes name what they compute. */
export const jobName = (job: Pick<PlanJob, "function" | "version">): string => `${job.function} ${job.version}`;

/** Blob addresses of all parts of all inputs. */
export const inputParts = ({ job }: JobPlan): readonly string[] => job.inputs.flatMap(({ parts }) => parts);

/** The plan of a job. */
export function jobPlan({ function: name, version, parameters, inputs }: PlanJob): JobPlan {
  const { behavior: _, ...empty } = behaviorPlan({ seed: [0, 0], ticks: 1, counters: [], personas: [{ id: "job", key: [0, 0], agents: 1 }], behavior: { name: "", module: "", blockAgents: 1, hasMessages: false, parameters: [] } });
  return { ...empty, stimuli: [], scenarios: [], cells: [], job: { function: name, version, parameters, inputs } };
}

/** Canonical bytes of a job plan. */
export function encodeJobPlan({ job }: JobPlan): Uint8Array {
  const writer = new CanonicalWriter();
  writer.text(JOB_MAGIC).text(JOB_SPEC).text(job.function).text(job.version).text(job.parameters);
  writer.u32(job.inputs.length);
  for (const { name, parts } of job.inputs) {
    writer.text(name).u32(parts.length);
    for (const part of parts) writer.text(part);
  }
  return writer.finish();
}

/** The plan of its canonical bytes; CORRUPT when they are not a whole one, INCOMPATIBLE when another version made them. */
export function decodeJobPlan(bytes: Uint8Array): JobPlan {
  const reader = new CanonicalReader(bytes, "the job");
  reader.text();
  const spec = reader.text();
  if (spec !== JOB_SPEC) throw new PopulaceError("INCOMPATIBLE", `the job is made for ${spec}; this version runs ${JOB_SPEC}: submit it again`, { spec });
  const many = <T>(read: () => T): T[] => Array.from({ length: reader.u32() }, read);
  const job: PlanJob = {
    function: reader.text(), version: reader.text(), parameters: reader.text(),
    inputs: many(() => ({ name: reader.text(), parts: many(() => reader.text()) })),
  };
  reader.end();
  return jobPlan(job);
}
