import { CONTACTS_MOST, PRESSURES, PopulaceError, RandomStream, TABLE_MOST, indexOfLargest, myopicRule, solveBudget, solveContacts, tableRule, tableSize, walkContacts } from "@populace/domain";
import type { ContactProcess, ContactRule, ContactTable, ContactTick, Stimulus } from "@populace/domain";
import { columnCount } from "@populace/protocol";
import type { ExecutionPlan, Plan } from "@populace/protocol";
import { CrowdLife } from "./crowd-life.ts";
import { economicValue } from "./economic-value.ts";
import type { Model } from "./model.ts";
import { stepOf } from "./optimize.ts";
import { compilePlan, planSource } from "./plan.ts";
import { momentsOf, quantileOfSorted } from "./rates.ts";
import type { RunPlan } from "./run.ts";
import { outsideContacts, stimuliOf } from "./study.ts";
import type { Study, StudyScenario } from "./study.ts";

export interface ContactPolicyOptions {
  /** Step whose responses are worth the economic value; default the last one. */
  readonly step?: string;
  /** Random policies behind the interval of "random"; default 20. */
  readonly replicates?: number;
  readonly execution?: Partial<ExecutionPlan>;
  readonly signal?: AbortSignal;
}

/** The policies compared: what was found, what does not look ahead, one stimulus and cadence for all, chance, and who knows the world. */
export type ContactPolicyName = "sequential" | "myopic" | "best-fixed" | "random" | "oracle";

export interface ContactPolicyRow {
  readonly name: ContactPolicyName;
  /** Expected value per agent over the whole study beyond never contacting anybody, minor units, on the reporting half of the worlds, and 90 % of these worlds. */
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Of "random": over its replicates; null otherwise. */
  readonly se: number | null;
  /** Expected contacts and leavings per agent; money spent over all agents. */
  readonly contacts: number;
  readonly left: number;
  readonly spendMinor: number;
}

export interface ContactPolicyResult {
  readonly step: string;
  readonly policies: readonly ContactPolicyRow[];
  /** Share of the gap between myopic and oracle that the sequential policy closes; null where there is none. */
  readonly gapClosed: number | null;
  /** Share of the reporting worlds in which the sequential policy is the best one but for the oracle's. */
  readonly probabilityBest: number;
  /** Price of money under the budget, in value per unit spent; 0 where the budget does not bind. */
  readonly price: number;
  readonly personas: readonly string[];
  /** What the sequential policy does, by persona and tick: a stimulus' id or null. */
  readonly schedule: readonly (readonly (string | null)[])[];
  /** The schedules as scenarios of a study: what was chosen is sealed into the plan and replayed by any run. */
  readonly scenarios: readonly StudyScenario[];
  readonly tables: readonly ContactTable[];
  /** The same schedules lived by agents in one run, as rival scenarios: value per agent beyond that of "never", minor units. */
  readonly agents: readonly { readonly name: ContactPolicyName; readonly value: number; readonly contacts: number; readonly left: number }[];
  /** Null where no policy makes any contact. */
  readonly run: { readonly runId: string; readonly rootHash: string } | null;
}

/** Worlds that a policy is found or judged on, at most: each costs a crowd of every persona. */
const WORLDS_MOST = 32;
/** Pressures at which rates are computed; those in between lie on straight lines, which are off by less than 1e-4 of a rate. */
const EVERY = 8;

/**
 * Finds whom to contact when with what under contact pressure, a budget and caps: Q iteration over (persona, tick, pressure, ticks since the
 * last contact, contacts left) on the mean field of one half of the worlds (domain/policy/sequential.ts). In a study without `pressure.perResponse`
 * everybody of a persona (and history) who is still there has the same pressure, so the table compiles into a schedule without loss; with it, the
 * mean pressure stands for all. The table does not see who responded before, and the planning no influence between personas. The policies
 * are judged on the other half of the worlds, by crowds whose members leave one by one, and lived by agents in one run. Deterministic in
 * (model, study, options). TOO_LARGE where a table would be.
 */
export async function contactPolicy(model: Model, study: Study, runPlan: RunPlan, options: ContactPolicyOptions = {}): Promise<ContactPolicyResult> {
  const step = stepOf(model, options.step), budget = study.contactPolicy.budgetMinor ?? Infinity;
  const choosing = fieldOf(model, study, step, 0), reporting = fieldOf(model, study, step, 1);
  const { stimuli, contacts, agents } = choosing;
  const processes = choosing.personas.map((_, p) => choosing.processOf(p, choosing.worlds));
  for (const process of processes) {
    if (tableSize(process) > TABLE_MOST) throw new PopulaceError("TOO_LARGE", `study ${study.name}: a contact policy of ${study.ticks} ticks and ${process.contactsMax} contacts has ${tableSize(process)} states a persona, the limit is ${TABLE_MOST}; use longer ticks or a smaller contactPolicy.contactsMax`, { states: tableSize(process) });
  }
  const { tables, price } = solveBudget(processes, agents, budget);
  const walk = (rules: readonly ContactRule[]) => walkContacts(processes, rules, agents, budget);
  const everyPersona = (rule: ContactRule): readonly ContactRule[] => processes.map(() => rule);

  const sequential = walk(tables.map(tableRule)).schedule;
  const myopic = walk(processes.map(myopicRule)).schedule;
  const cadences = [NEVER, ...contacts.flatMap((_, contact) => Array.from({ length: study.ticks }, (_unused, every): ContactRule => ({ tick }) => (tick % (every + 1) === 0 ? contact : -1)))].map((rule) => walk(everyPersona(rule)));
  const fixed = cadences[indexOfLargest(cadences.map(({ value }) => value))].schedule;
  const random = RandomStream.of(study.seed, "contact policy");
  const randoms = Array.from({ length: options.replicates ?? 20 }, (_, replicate) => {
    const stream = random.child(`random ${replicate}`);
    return walk(everyPersona(() => stream.integer(contacts.length + 1) - 1)).schedule;
  });

  const judged = { sequential: reporting.judge(sequential), myopic: reporting.judge(myopic), "best-fixed": reporting.judge(fixed) };
  const randomJudged = randoms.map((schedule) => reporting.judge(schedule));
  const oracle = reporting.worlds.map((world) => {
    // Who knows the world may take any of the others' schedules, too.
    const known = reporting.personas.map((_, p) => reporting.processOf(p, [world]));
    const own = walkContacts(known, known.map((process) => tableRule(solveContacts(process, price))), agents, budget).schedule;
    const tried = [own, sequential, myopic, fixed].map((schedule) => reporting.judge(schedule, [world]));
    return tried[indexOfLargest(tried.map(({ values }) => values[0]))];
  });
  const rowOf = (name: ContactPolicyName, { values, ...rest }: Judged, se: number | null = null): ContactPolicyRow => {
    const sorted = values.toSorted();
    return { name, value: momentsOf(values).mean, low: quantileOfSorted(sorted, 0.05), high: quantileOfSorted(sorted, 0.95), se, ...rest };
  };
  const randomMeans = momentsOf(randomJudged.map(({ values }) => momentsOf(values).mean));
  const rows = [
    ...(["sequential", "myopic", "best-fixed"] as const).map((name) => rowOf(name, judged[name])),
    rowOf("random", pooled(randomJudged), Math.sqrt(randomMeans.variance / randomJudged.length)), rowOf("oracle", joined(oracle)),
  ];
  const valueOf = (name: ContactPolicyName): number => rows.find((row) => row.name === name)!.value;
  const gap = valueOf("oracle") - valueOf("myopic");
  const randomValues = pooled(randomJudged).values;
  const wins = judged.sequential.values.filter((value, world) => value >= judged.myopic.values[world] && value >= judged["best-fixed"].values[world] && value >= randomValues[world]).length;

  const { ids } = choosing;
  const idAt = (schedule: Int16Array, tick: number, p: number): string | null => {
    const contact = schedule[tick * ids.length + p];
    return contact >= 0 ? stimuli[contacts[contact]].id : choosing.idle >= 0 ? stimuli[choosing.idle].id : null;
  };
  const rivals = [["sequential", sequential], ["myopic", myopic], ["best-fixed", fixed], ["random", randoms[0]]] as const;
  const never = new Int16Array(sequential.length).fill(-1);
  const scenarios = [...rivals, ["never", never] as const].map(([name, schedule]) => scenarioOf(name, ids, study.ticks, (tick, p) => idAt(schedule, tick, p))).filter((scenario) => scenario.contacts.length > 0);
  // A study without scenarios would show every stimulus in one of its own.
  const plan = scenarios.length === 0 ? null : compilePlan(model, { ...study, scenarios });
  const outcome = plan === null ? null : await runPlan(plan, options.execution ?? {}, options.signal === undefined ? {} : { signal: options.signal });
  return {
    step: model.response.steps[step].name, policies: rows, gapClosed: gap > 1e-9 * Math.abs(valueOf("oracle")) ? (valueOf("sequential") - valueOf("myopic")) / gap : null, probabilityBest: wins / judged.sequential.values.length,
    price, personas: ids, tables, scenarios, schedule: ids.map((_, p) => Array.from({ length: study.ticks }, (_unused, tick) => idAt(sequential, tick, p))),
    agents: plan === null || outcome === null ? [] : rivals.map(([name]) => {
      const [own, silence] = [name, "never"].map((scenario) => lived(plan, outcome.counts, scenario, choosing, study, step));
      return { name, ...own, value: own.value - silence.value };
    }),
    run: outcome === null ? null : { runId: outcome.runId, rootHash: outcome.rootHash },
  };
}

const NEVER: ContactRule = () => -1;

/** A course of events: contacts of one stimulus at one tick name all their personas. */
function scenarioOf(name: string, personas: readonly string[], ticks: number, at: (tick: number, persona: number) => string | null): StudyScenario {
  const contacts = new Map<string, { stimulus: string; fromTick: number; everyTicks: number; personas: string[] }>();
  for (let tick = 0; tick < ticks; tick += 1) {
    personas.forEach((persona, p) => {
      const stimulus = at(tick, p);
      if (stimulus === null) return;
      const key = `${tick} ${stimulus}`;
      if (!contacts.has(key)) contacts.set(key, { stimulus, fromTick: tick, everyTicks: 0, personas: [] });
      contacts.get(key)!.personas.push(persona);
    });
  }
  return { name, contacts: [...contacts.values()].map((contact) => (contact.personas.length === personas.length ? { ...contact, personas: [] } : contact)) };
}

/** What a schedule came to on some worlds. */
interface Judged {
  /** Value per agent by world. */
  readonly values: Float64Array;
  readonly contacts: number;
  readonly left: number;
  readonly spendMinor: number;
}

const meanOf = (judged: readonly Judged[], of: (each: Judged) => number): number => judged.reduce((sum, each) => sum + of(each) / judged.length, 0);
const countsIn = (judged: readonly Judged[]): Omit<Judged, "values"> => ({ contacts: meanOf(judged, (each) => each.contacts), left: meanOf(judged, (each) => each.left), spendMinor: meanOf(judged, (each) => each.spendMinor) });
/** The mean over schedules, world by world. */
const pooled = (judged: readonly Judged[]): Judged => ({ ...countsIn(judged), values: judged[0].values.map((_, world) => meanOf(judged, (each) => each.values[world])) });
/** One schedule a world, put side by side. */
const joined = (judged: readonly Judged[]): Judged => ({ ...countsIn(judged), values: Float64Array.from(judged, (each) => each.values[0]) });

/** The mean field of one half of the worlds. */
interface Field {
  readonly stimuli: readonly Stimulus[];
  /** Indexes in the model, and ids in the plan: with histories a persona is there once for each. */
  readonly personas: readonly number[];
  readonly ids: readonly string[];
  /** Stimuli that are contacts, and the one that stands for none (-1 = nothing happens then). */
  readonly contacts: readonly number[];
  readonly idle: number;
  readonly agents: readonly number[];
  /** Worlds of the plan that are looked at. */
  readonly worlds: readonly number[];
  readonly worth: readonly (readonly number[])[];
  /** The process of a persona, rates averaged over a crowd and the given worlds. */
  processOf(persona: number, worlds: readonly number[]): ContactProcess;
  /** Value of a schedule (ticks x personas), every member of the crowds leaving for itself. */
  judge(schedule: Int16Array, worlds?: readonly number[]): Judged;
}

function fieldOf(model: Model, study: Study, step: number, half: 0 | 1): Field {
  const stimuli = stimuliOf(model, study), { personas, parts } = planSource(model, study);
  const outside = parts.map(({ history }) => (history === null ? [] : outsideContacts(history, study.ticks)));
  const plan = compilePlan(model, { ...study, scenarios: [], influence: null, population: { ...study.population, form: study.population.form === "factor" ? "factor" : "coded" } }, { half });
  const contacts = stimuli.flatMap((stimulus, s) => (stimulus.contact ? [s] : []));
  if (contacts.length === 0) throw new PopulaceError("BAD_STUDY", `study ${study.name}: no stimulus is a contact, so there is nothing to decide; name one in \`stimuli\``, {});
  const idle = stimuli.findIndex((stimulus) => !stimulus.contact);
  const count = Math.min(WORLDS_MOST, plan.worlds), worlds = Array.from({ length: count }, (_, world) => Math.floor(((world + 0.5) * plan.worlds) / count));
  const worth = personas.map((persona) => stimuli.map((stimulus) => economicValue(model, persona, stimulus, study.economicValueMinor)));
  const agents = plan.personas.map((persona) => persona.agents), members = new CrowdLife(plan, step);
  const { leaveCostMinor } = study.contactPolicy;

  const tickOf = (persona: number, tick: number, among: readonly number[]): ContactTick => {
    const size = contacts.length * PRESSURES;
    const table: ContactTick = { value: new Float64Array(size), leave: new Float64Array(size), spend: new Float64Array(size), gain: new Float64Array(size), idle: 0 };
    let idleRate = 0;
    for (const world of among) {
      members.take(persona, world);
      contacts.forEach((stimulus, contact) => {
        const costs = stimuli[stimulus];
        for (let pressure = 0; pressure < PRESSURES + EVERY - 1; pressure += EVERY) {
          const { last, first, leave } = members.rates(stimulus, tick, Math.min(PRESSURES - 1, pressure)), at = contact * PRESSURES + Math.min(PRESSURES - 1, pressure);
          const spend = costs.contactCostMinor + last * (costs.offer.costMinor ?? 0);
          table.value[at] += (last * worth[persona][stimulus] - spend - leave * leaveCostMinor) / among.length;
          table.leave[at] += leave / among.length;
          table.spend[at] += spend / among.length;
          table.gain[at] += (first * plan.pressureGainResponse) / among.length;
        }
      });
      if (idle >= 0) idleRate += members.rates(idle, tick, 0).last / among.length;
    }
    for (const column of [table.value, table.leave, table.spend, table.gain]) interpolate(column, contacts.length);
    return { ...table, idle: idle < 0 ? 0 : idleRate * worth[persona][idle] };
  };
  const offsets = plan.offset.length / plan.ticks / personas.length;
  const sameOffset = (persona: number, tick: number): boolean => {
    const [now, before] = [tick, tick - 1].map((each) => plan.offset.subarray((each * personas.length + persona) * offsets, (each * personas.length + persona + 1) * offsets));
    return now.every((value, at) => value === before[at]);
  };
  return {
    stimuli, personas, ids: parts.map(({ id }) => id), contacts, idle, agents, worlds, worth,
    processOf(persona, among) {
      const ticks: ContactTick[] = [];
      for (let tick = 0; tick < plan.ticks; tick += 1) ticks.push(tick > 0 && sameOffset(persona, tick) ? ticks[tick - 1] : tickOf(persona, tick, among));
      return {
        ticks, contacts: contacts.length, pressureGain: plan.pressureGain, gapTicks: plan.gapTicks, returnRate: plan.personas[persona].returnThreshold / 2 ** 32, outside: outside[persona],
        contactsMax: Math.min(study.contactPolicy.contactsMax ?? plan.ticks, plan.ticks, CONTACTS_MOST),
      };
    },
    judge(schedule, among = worlds) {
      const total = { contacts: 0, left: 0, spendMinor: 0 }, values = new Float64Array(among.length), everybody = agents.reduce((sum, each) => sum + each, 0);
      personas.forEach((_, persona) => among.forEach((world, at) => {
        members.take(persona, world);
        const life = members.live(Array.from({ length: plan.ticks }, (_unused, tick) => schedule[tick * personas.length + persona]).map((contact) => (contact < 0 ? idle : contacts[contact])), outside[persona]), byStimulus = life.byStimulus.slice(0, stimuli.length);
        const weight = agents[persona] / everybody;
        const spend = byStimulus.reduce((sum, { exposures, responses }, s) => sum + exposures * stimuli[s].contactCostMinor + responses * (stimuli[s].offer.costMinor ?? 0), 0);
        const silence = idle < 0 ? 0 : members.live(Array.from({ length: plan.ticks }, () => idle)).byStimulus[idle].responses * worth[persona][idle];
        values[at] += weight * (byStimulus.reduce((sum, { responses }, s) => sum + responses * worth[persona][s], 0) - spend - life.leavings * leaveCostMinor - silence);
        total.contacts += (weight * contacts.reduce((sum, s) => sum + life.byStimulus[s].exposures, 0)) / among.length;
        total.left += (weight * life.leavings) / among.length;
        total.spendMinor += (agents[persona] * spend) / among.length;
      }));
      return { values, ...total };
    },
  };
}

/** Fills the entries between every EVERYth and the next by straight lines. */
function interpolate(column: Float64Array, contacts: number): void {
  for (let contact = 0; contact < contacts; contact += 1) {
    for (let from = 0; from < PRESSURES - 1; from += EVERY) {
      const to = Math.min(PRESSURES - 1, from + EVERY), [a, b] = [column[contact * PRESSURES + from], column[contact * PRESSURES + to]];
      for (let pressure = from + 1; pressure < to; pressure += 1) column[contact * PRESSURES + pressure] = a + ((b - a) * (pressure - from)) / (to - from);
    }
  }
}

/** What agents made of one scenario. */
function lived(plan: Plan, counts: Float64Array, name: string, { stimuli, worth, agents }: Field, study: Study, step: number): Omit<ContactPolicyResult["agents"][number], "name"> {
  const columns = columnCount(plan.steps.length), everybody = agents.reduce((sum, each) => sum + each, 0);
  let value = 0, contacts = 0, left = 0;
  plan.cells.forEach(({ scenario, stimulus }, cell) => {
    if (plan.scenarios[scenario].name !== name || stimulus >= stimuli.length) return;
    const costs = stimuli[stimulus];
    plan.personas.forEach((_, persona) => {
      for (let world = 0; world < plan.worlds; world += 1) {
        const at = ((cell * plan.personas.length + persona) * plan.worlds + world) * columns, exposures = counts[at], responses = counts[at + 1 + step], gone = counts[at + 1 + plan.steps.length];
        value += responses * (worth[persona][stimulus] - (costs.offer.costMinor ?? 0)) - exposures * costs.contactCostMinor - gone * study.contactPolicy.leaveCostMinor;
        if (costs.contact) contacts += exposures;
        left += gone;
      }
    });
  });
  return { value: value / everybody, contacts: contacts / everybody, left: left / everybody };
}
