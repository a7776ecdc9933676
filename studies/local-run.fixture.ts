import { createHash } from "node:crypto";
import { influenceStep, initialClimate } from "@populace/kernels";
import { createBlock, createOutput, createWorkspace, stepBlock } from "@populace/kernels/reference";
import { blocksOf, columnCount } from "@populace/protocol";
import type { Plan } from "@populace/protocol";
import type { RunOutcome, RunPlan } from "./run.ts";

/** Runs a plan block by block in this process with the reference kernel; without a log, its "roots" only tell runs apart. */
export const localRun: RunPlan = (plan) => Promise.resolve(runHere(plan));

export function runHere(plan: Plan): RunOutcome {
  const { cells, personas, worlds, ticks, scenarios } = plan;
  const columns = columnCount(plan.steps.length);
  const workspace = createWorkspace(plan);
  const blocks = blocksOf(plan).map((block) => createBlock(plan, block, "stored"));
  const counts = new Float64Array(cells.length * personas.length * worlds * columns);
  const tickCounts = new Float64Array(ticks * cells.length * personas.length * columns);
  const roots: string[] = [];
  let climate = initialClimate(plan);
  let exposures = 0;
  for (let tick = 0; tick < ticks; tick += 1) {
    const sections = new Float64Array(personas.length * scenarios.length * 2);
    for (const block of blocks) {
      const output = createOutput(plan);
      stepBlock(plan, block, tick, climate, output, workspace);
      const persona = block.block.persona;
      output.sections.forEach((value, at) => (sections[persona * scenarios.length * 2 + at] += value));
      for (let cell = 0; cell < cells.length; cell += 1) {
        for (let world = 0; world < worlds; world += 1) {
          for (let column = 0; column < columns; column += 1) {
            const value = output.counts[(cell * worlds + world) * columns + column];
            counts[((cell * personas.length + persona) * worlds + world) * columns + column] += value;
            tickCounts[((tick * cells.length + cell) * personas.length + persona) * columns + column] += value;
            if (column === 0) exposures += value;
          }
        }
      }
    }
    climate = influenceStep(plan, climate, sections);
    roots.push(createHash("sha256").update(new Uint8Array(tickCounts.buffer)).digest("hex"));
  }
  return {
    runId: createHash("sha256").update(JSON.stringify(plan.personas.map((persona) => [persona.id, persona.agents]))).digest("hex"), rootHash: roots.at(-1) ?? "", roots, exposures, seconds: 0, backend: "reference",
    execution: { shards: 1, workers: 1, backend: "reference", population: "stored", spanTicks: 1, checkpointTicks: 0 },
    counts, tickCounts, cached: false, uncheckedFrom: null,
  };
}
