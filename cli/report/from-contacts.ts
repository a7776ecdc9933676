import type { ContactPolicyResult, Model, Study } from "@populace/studies";
import { personaNames, stimulusNames } from "../names.ts";
import { percent } from "../output.ts";
import { HUES, INK, chart } from "./chart.ts";
import type { Figure } from "./figures.ts";
import { warningsOf } from "./from-run.ts";
import { tablePage } from "./page.ts";

/** Value of each policy with its interval, and what agents made of it. */
async function policiesFigure(result: ContactPolicyResult, unit: string, minor: number): Promise<Figure> {
  const drawn = result.policies.filter(({ name }) => name !== "random"), random = result.policies.find(({ name }) => name === "random")!;
  const values = drawn.map(({ name, value, low, high }) => ({ name, value: value / minor, low: low / minor, high: high / minor }));
  const lived = result.agents.filter(({ name }) => name !== "random").map(({ name, value }) => ({ name, value: value / minor }));
  const y = { field: "name", type: "nominal", sort: null, axis: { title: null } } as const, title = `value per agent beyond never contacting (${unit})`;
  const of = (name: string): number => values.find((row) => row.name === name)!.value;
  return {
    title: "Policies of contact",
    see: `Looking ahead brings ${of("sequential").toFixed(2)} ${unit} an agent, not looking ${of("myopic").toFixed(2)}, the best single cadence ${of("best-fixed").toFixed(2)}, knowing the world ${of("oracle").toFixed(2)}, and contacting at random ${(random.value / minor).toFixed(2)} (not drawn). Bars: 90 % of the worlds that chose nothing; crosses: what agents made of it.`,
    svg: await chart("policies", "Value of contact policies", {
      width: 430, height: { step: 34 },
      layer: [
        { data: { values }, mark: { type: "rule", strokeWidth: 3, opacity: 0.5, color: HUES[0] }, encoding: { y, x: { field: "low", type: "quantitative", axis: { title, tickCount: 6 } }, x2: { field: "high" } } },
        { data: { values }, mark: { type: "point", filled: true, size: 70, opacity: 1, color: HUES[0] }, encoding: { y, x: { field: "value", type: "quantitative" } } },
        { data: { values: lived }, mark: { type: "point", shape: "cross", size: 60, color: INK, opacity: 1 }, encoding: { y, x: { field: "value", type: "quantitative" } } },
      ],
    } as never),
  };
}

/** Who gets what when. */
async function scheduleFigure(model: Model, study: Study, result: ContactPolicyResult): Promise<Figure> {
  const personas = personaNames(model, study.histories), stimuli = new Map([...stimulusNames(model), ...study.newStimuli.map((stimulus) => [stimulus.id as string, stimulus.name] as const)]);
  const contacts = new Set([...model.response.stimuli, ...study.newStimuli].filter(({ contact }) => contact).map(({ id }) => id as string));
  const values = result.personas.flatMap((persona, p) => result.schedule[p].flatMap((stimulus, tick) => (stimulus === null || !contacts.has(stimulus) ? [] : [{ persona: personas.get(persona) ?? persona, tick, stimulus: stimuli.get(stimulus) ?? stimulus }])));
  return {
    title: "The sequential policy",
    see: `${values.length} contacts over ${study.ticks} ticks and ${result.personas.length} personas; those who have left get none.`,
    svg: await chart("schedule", "Contacts of the sequential policy by persona and tick", {
      width: 430, height: { step: 34 }, data: { values }, mark: { type: "square", filled: true, size: 110, opacity: 1 },
      encoding: {
        x: { field: "tick", type: "quantitative", scale: { domain: [0, Math.max(1, study.ticks - 1)] }, axis: { title: "tick", tickMinStep: 1, format: "d" } },
        y: { field: "persona", type: "nominal", sort: null, scale: { domain: result.personas.map((persona) => personas.get(persona) ?? persona) }, axis: { title: null, labelLimit: 300 } },
        color: { field: "stimulus", type: "nominal", legend: { title: null, orient: "top", columns: 3, symbolOpacity: 1 } },
      },
    } as never),
  };
}

/** The page of a sequential contact policy. */
export async function contactsPage(model: Model, study: Study, result: ContactPolicyResult): Promise<string> {
  const unit = model.schema.value?.currency ?? "value", minor = model.schema.value?.minorUnits ?? 100;
  const money = (value: number): string => (value / minor).toFixed(3);
  return tablePage(
    {
      title: "Whom to contact when with what", subtitle: `${model.name}, version ${model.version}: value of ${result.step} over ${study.ticks} ticks`, warnings: warningsOf(model),
      provenance: [["model", `${model.name}, version ${model.version}, ${model.evidence}`], ["seed", String(study.seed)], ...(result.run === null ? [] : [["run", result.run.runId], ["root hash", result.run.rootHash]] as const)],
    },
    [await policiesFigure(result, unit, minor), await scheduleFigure(model, study, result)],
    {
      title: `${result.policies.length} policies`, columns: ["policy", `value per agent (${unit})`, "90 % interval", "contacts per agent", "leaving", `spent (${unit})`],
      rows: result.policies.map((row) => [row.name, money(row.value), `${money(row.low)} to ${money(row.high)}`, row.contacts.toFixed(2), percent(row.left), (row.spendMinor / minor).toFixed(2)]),
    },
    "Chosen on one half of the worlds, judged on the other. The policy knows pressure, ticks since the last contact, contacts and ticks left of each persona; its schedule is sealed into the plan, and the run gives the same root hash on any machine.",
  );
}
