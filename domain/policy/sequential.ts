/** Values that contact pressure takes. */
export const PRESSURES = 256;
/** Ticks since the last contact, saturating; 7 = long ago or never. */
const SINCE_MOST = 7;
/** Entries one table may have. */
export const TABLE_MOST = 64_000_000;
/** Contacts left that are told apart; more are as good as any number. */
export const CONTACTS_MOST = 4_095;

/** What one tick does to those of a persona who are still there, by contact and pressure: contacts x 256 entries. */
export interface ContactTick {
  /** Expected value of the contact to the sender, what leaving costs already taken off. */
  readonly value: Float64Array;
  /** Chance to leave because of it. */
  readonly leave: Float64Array;
  /** Expected money spent on it. */
  readonly spend: Float64Array;
  /** Pressure a response adds on average, beyond that of the contact itself. */
  readonly gain: Float64Array;
  /** Value of a tick without a contact. */
  readonly idle: number;
}

/**
 * Contacting one persona tick by tick, as a Markov decision process on integers with the kernel's own clock and pressure
 * (kernels/expose/SPEC.md, "One tick of one agent"). Everybody still there has the same pressure, because all get the same contacts.
 */
export interface ContactProcess {
  readonly ticks: readonly ContactTick[];
  /** Number of contacts to choose from. */
  readonly contacts: number;
  readonly pressureGain: number;
  /** A contact is impossible fewer than this many ticks after the last one. */
  readonly gapTicks: number;
  /** Contacts a person may get in all. */
  readonly contactsMax: number;
  /** Chance a tick that one who left comes back. */
  readonly returnRate: number;
  /** Contacts by others, tick by tick, each before the decision: they add pressure and begin the gap anew. Absent: none. */
  readonly outside?: readonly number[];
}

/** The state a decision sees, after the tick's decay of pressure. */
export interface ContactState {
  readonly tick: number;
  readonly pressure: number;
  readonly since: number;
  readonly contactsLeft: number;
}

/** Chooses the contact of a tick, or -1 for none. */
export type ContactRule = (state: ContactState) => number;

/** The decision of every state: an integer table over (tick, contacts left, ticks since contact, pressure). */
export interface ContactTable {
  /** ticks x (contacts left + 1) x sinces x 256: index of the contact, or -1. */
  readonly decisions: Int16Array;
  readonly sinces: number;
  readonly contactsMax: number;
}

/** Pressure after a tick without contact. */
const decayed = (pressure: number): number => pressure - ((pressure + 15) >>> 4);

/** Sinces that are told apart: a tick has always passed, and beyond the gap all are alike. */
const sincesOf = ({ gapTicks }: ContactProcess): number => (gapTicks > 1 ? gapTicks + 1 : 1);
/** As many contacts as the ticks allow are as good as any number. */
const capOf = ({ contactsMax, ticks }: ContactProcess): number => (contactsMax >= ticks.length ? 0 : contactsMax);
const isCapped = (chain: ContactProcess): boolean => chain.contactsMax < chain.ticks.length;

/** Entries of the process' table. */
export const tableSize = (chain: ContactProcess): number => chain.ticks.length * (capOf(chain) + 1) * sincesOf(chain) * PRESSURES;

/**
 * The best decision of every state by Q iteration backward over the ticks (Bellman 1957), spent money charged at `price` (the Lagrange multiplier
 * of a budget; Boutilier and Lu 2016). Those who leave take their future contacts with them and bring them back when they return. Ties go to
 * no contact, then to the earlier one. O(table x contacts).
 */
export function solveContacts(chain: ContactProcess, price = 0): ContactTable {
  const { ticks, contacts, pressureGain, gapTicks, returnRate, outside } = chain;
  const sinces = sincesOf(chain), cap = capOf(chain), states = (cap + 1) * sinces * PRESSURES, bounded = isCapped(chain);
  const decisions = new Int16Array(ticks.length * states).fill(-1);
  let stayed = new Float64Array(states), gone = new Float64Array(states);
  for (let tick = ticks.length - 1; tick >= 0; tick--) {
    const { value, leave, spend, gain, idle } = ticks[tick], after = gain.map((more, at) => Math.min(PRESSURES - 1, Math.round((at % PRESSURES) + pressureGain + more)));
    const others = outside?.[tick] ?? 0, nowStayed = new Float64Array(states), nowGone = new Float64Array(states);
    for (let left = 0; left <= cap; left++) {
      for (let since = 0; since < sinces; since++) {
        const waited = Math.min(sinces - 1, since + 1), passed = others > 0 ? 0 : waited, isOpen = (!bounded || left > 0) && (others > 0 ? gapTicks === 0 : gapTicks <= 1 || passed >= gapTicks);
        const row = (left * sinces + since) * PRESSURES, waitRow = (left * sinces + passed) * PRESSURES, contactRow = (bounded ? left - 1 : left) * sinces * PRESSURES;
        for (let before = 0; before < PRESSURES; before++) {
          const pressure = Math.min(PRESSURES - 1, decayed(before) + others * pressureGain), wait = waitRow + pressure;
          let best = idle + stayed[wait], choice = -1;
          for (let contact = 0; isOpen && contact < contacts; contact++) {
            const at = contact * PRESSURES + pressure, next = contactRow + after[at];
            const worth = value[at] - price * spend[at] + (1 - leave[at]) * stayed[next] + leave[at] * gone[next];
            if (worth > best) {
              best = worth;
              choice = contact;
            }
          }
          nowStayed[row + before] = best;
          nowGone[row + before] = returnRate * best + (1 - returnRate) * gone[(left * sinces + waited) * PRESSURES + decayed(before)];
          // Decisions are looked up by the pressure they see, which several pressures before may decay to: all of them decide alike.
          decisions[tick * states + row + pressure] = choice;
        }
      }
    }
    stayed = nowStayed;
    gone = nowGone;
  }
  return { decisions, sinces, contactsMax: cap };
}

/** The rule that looks its decisions up. */
export const tableRule = ({ decisions, sinces, contactsMax }: ContactTable): ContactRule => ({ tick, pressure, since, contactsLeft }) => {
  const left = Math.min(contactsMax, contactsLeft), before = Math.min(sinces - 1, since - 1);
  return decisions[((tick * (contactsMax + 1) + left) * sinces + Math.max(0, before)) * PRESSURES + pressure];
};

/** The contact worth most at once, leaving counted at its price, or none: what a policy does that does not look ahead. */
export const myopicRule = ({ ticks, contacts }: ContactProcess): ContactRule => ({ tick, pressure }) => {
  const { value, idle } = ticks[tick];
  let choice = -1;
  let best = idle;
  for (let contact = 0; contact < contacts; contact++) {
    if (value[contact * PRESSURES + pressure] > best) {
      best = value[contact * PRESSURES + pressure];
      choice = contact;
    }
  }
  return choice;
};

/** What rules came to for several personas together. */
export interface ContactWalk {
  /** ticks x personas: index of the contact, or -1. */
  readonly schedule: Int16Array;
  /** Expected value and spent money over all personas, each weighed by its agents. */
  readonly value: number;
  readonly spend: number;
}

/**
 * Walks all personas through the ticks, each by its rule, and ends contacts that the process or the budget forbids: one whose expected cost would
 * exceed what is left of the budget is not made. `agents`: how many each persona has.
 */
export function walkContacts(processes: readonly ContactProcess[], rules: readonly ContactRule[], agents: readonly number[], budget = Infinity): ContactWalk {
  const count = processes.length, length = processes[0].ticks.length, schedule = new Int16Array(length * count).fill(-1);
  const state = processes.map(({ contactsMax }) => ({ pressure: 0, since: SINCE_MOST, contactsLeft: contactsMax, there: 1 }));
  let value = 0, spend = 0;
  for (let tick = 0; tick < length; tick++) {
    processes.forEach((chain, persona) => {
      const own = state[persona], { gapTicks, pressureGain, returnRate, outside } = chain, now = chain.ticks[tick], others = outside?.[tick] ?? 0;
      own.there += (1 - own.there) * returnRate;
      own.pressure = Math.min(PRESSURES - 1, decayed(own.pressure) + others * pressureGain);
      own.since = others > 0 ? 0 : Math.min(SINCE_MOST, own.since + 1);
      const isOpen = own.contactsLeft > 0 && own.since >= gapTicks;
      const choice = isOpen ? rules[persona]({ tick, pressure: own.pressure, since: own.since, contactsLeft: own.contactsLeft }) : -1;
      const at = choice * PRESSURES + own.pressure, cost = choice < 0 ? 0 : agents[persona] * own.there * now.spend[at];
      if (choice < 0 || spend + cost > budget) {
        value += agents[persona] * own.there * now.idle;
        return;
      }
      schedule[tick * count + persona] = choice;
      value += agents[persona] * own.there * now.value[at];
      spend += cost;
      own.there *= 1 - now.leave[at];
      own.pressure = Math.min(PRESSURES - 1, Math.round(own.pressure + pressureGain + now.gain[at]));
      own.since = 0;
      own.contactsLeft -= 1;
    });
  }
  return { schedule, value, spend };
}

/** Halvings of the price of money. */
const PRICE_ROUNDS = 40;

/**
 * The tables of all personas under one budget: those of the lowest price of money at which the walk stays within it, or of the next lower one where
 * its walk, cut off at the budget, is worth more.
 */
export function solveBudget(processes: readonly ContactProcess[], agents: readonly number[], budget: number): { readonly tables: readonly ContactTable[]; readonly price: number } {
  const at = (price: number): readonly ContactTable[] => processes.map((chain) => solveContacts(chain, price));
  const walk = (tables: readonly ContactTable[], most: number): ContactWalk => walkContacts(processes, tables.map(tableRule), agents, most);
  const free = at(0);
  if (walk(free, Infinity).spend <= budget) return { tables: free, price: 0 };
  let low = 0, high = 1;
  while (walk(at(high), Infinity).spend > budget && high < 1e12) [low, high] = [high, high * 4];
  for (let round = 0; round < PRICE_ROUNDS && high - low > 1e-6 * high; round++) {
    const middle = (low + high) / 2;
    if (walk(at(middle), Infinity).spend > budget) low = middle;
    else high = middle;
  }
  const [dear, cheap] = [at(high), at(low)];
  return walk(cheap, budget).value > walk(dear, budget).value ? { tables: cheap, price: low } : { tables: dear, price: high };
}
