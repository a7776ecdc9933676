/**
 * What a researcher writes: one TypeScript module whose default export is `defineBehavior({...})`. It is run far from the machine it
 * was written on, and twice now and then, so it sees numbers and its agent and nothing else: no clock, no chance of its own, no files.
 * Everything that lasts is declared: `state` is all an agent remembers from tick to tick; variables of the module begin anew with every
 * block and tick.
 */

/** Width of a state column: unsigned 8 or 16 bits, or signed 32. */
export type ColumnType = "u8" | "u16" | "i32";
/** A trait's value, or the lowest and highest of those drawn with equal chance. */
export type TraitRange = number | readonly [low: number, high: number];

/** What is the same for all agents of a tick. */
export interface BehaviorWorld<Parameter extends string> {
  readonly tick: number;
  readonly ticks: number;
  /** Agents of the run over all personas. */
  readonly agents: number;
  readonly parameters: Readonly<Record<Parameter, number>>;
}

/** The agent whose turn it is. The object is the same one at every call: keep its numbers, not it. */
export interface BehaviorAgent<Trait extends string, State extends string, Message extends string, Counter extends string> {
  /** Number among all agents of the run, from 0, personas in their order: the address of messages. */
  readonly id: number;
  readonly persona: string;
  /** Number within the persona, from 0. */
  readonly number: number;
  readonly traits: Readonly<Record<Trait, number>>;
  /** 0 before `onStart`; only integers within the column's width may be written. */
  readonly state: Record<State, number>;
  /** True with this probability (0 to 1), from the agent's own stream of that name. */
  chance(stream: string, probability: number): boolean;
  /** An integer from 0 to `below` - 1, each with equal chance. */
  integer(stream: string, below: number): number;
  /** Delivered at the next tick. `value` is an integer of 32 bits with sign. */
  send(message: Message, to: number, value?: number): void;
  /** Adds to a counter of this persona and tick. */
  count(counter: Counter, by?: number): void;
}

/** A message as its recipient sees it. Messages of a tick come in the order of their senders' ids, and of what each sent first. */
export interface BehaviorMessage<Message extends string> {
  readonly name: Message;
  readonly from: number;
  readonly value: number;
}

/** Something that meets agents from outside at stated ticks. */
export interface BehaviorStimulus {
  readonly at: readonly number[];
  /** Share of agents who meet it, 0 to 1, drawn anew each time; default: all. */
  readonly share?: number;
  /** Whom it can meet; default: all personas. */
  readonly personas?: readonly string[];
}

/** A model of agents. In a tick each agent gets its stimuli, then its messages, then `onTick`; agents in the order of their ids. */
export interface Behavior<Trait extends string, State extends string, Message extends string, Counter extends string, Parameter extends string, Stimulus extends string> {
  readonly name: string;
  /** Kinds of agents by their share of the population; default: one, named "agent". A persona may narrow traits. */
  readonly personas?: Readonly<Record<string, { readonly share: number; readonly traits?: Readonly<Partial<Record<NoInfer<Trait>, TraitRange>>> }>>;
  readonly traits?: Readonly<Record<Trait, TraitRange>>;
  readonly state?: Readonly<Record<State, ColumnType>>;
  readonly messages?: readonly Message[];
  /** What is counted, by persona and tick. */
  readonly counters: readonly Counter[];
  /** Numbers that a run may set; these are the defaults. */
  readonly parameters?: Readonly<Record<Parameter, number>>;
  readonly stimuli?: Readonly<Record<Stimulus, BehaviorStimulus>>;
  /** Before tick 0. */
  onStart?(agent: BehaviorAgent<Trait, State, Message, Counter>, world: BehaviorWorld<Parameter>): void;
  onStimulus?(agent: BehaviorAgent<Trait, State, Message, Counter>, stimulus: Stimulus, world: BehaviorWorld<Parameter>): void;
  onMessage?(agent: BehaviorAgent<Trait, State, Message, Counter>, message: BehaviorMessage<Message>, world: BehaviorWorld<Parameter>): void;
  onTick?(agent: BehaviorAgent<Trait, State, Message, Counter>, world: BehaviorWorld<Parameter>): void;
}

/** Returns the definition: it is here for its types, which know every name that was declared. */
export function defineBehavior<
  const Trait extends string = never, const State extends string = never, const Message extends string = never,
  const Counter extends string = never, const Parameter extends string = never, const Stimulus extends string = never,
>(behavior: Behavior<Trait, State, Message, Counter, Parameter, Stimulus>): Behavior<Trait, State, Message, Counter, Parameter, Stimulus> {
  return behavior;
}
