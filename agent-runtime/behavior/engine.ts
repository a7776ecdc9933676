/**
 * Moves blocks of agents by a behavior. This file and the Philox beside it are evaluated inside the sealed realm together with the
 * behavior, so it imports types only, keeps no reference to anything of the host, and what it hands out is its own.
 *
 * The definition is evaluated anew for every block and tick: no variable of the module can carry anything from one block to another,
 * so the same block gives the same bits whichever process computes it and whatever that process computed before.
 */
import { mulHigh, philox4x32Into } from "@populace/domain/random";
import type { BehaviorDescription, BehaviorSetup, BlockTick } from "./description.ts";
import type { ColumnType } from "./define.ts";

/** Tick of what is drawn before tick 0: traits and `onStart`. */
const START_TICK = 0xffff_ffff;
/** Messages one agent may send in one tick. */
const SENT_MAX = 1024;
/** Random streams of one behavior. */
const STREAMS_MAX = 256;
/** As in protocol/mail.ts, which this realm cannot import. */
const MESSAGE_WORDS = 3;
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const COLUMNS: Readonly<Record<ColumnType, { readonly bytes: number; readonly low: number; readonly high: number }>> = {
  u8: { bytes: 1, low: 0, high: 0xff },
  u16: { bytes: 2, low: 0, high: 0xffff },
  i32: { bytes: 4, low: -0x8000_0000, high: 0x7fff_ffff },
};

type Column = Uint8Array | Uint16Array | Int32Array;
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- foreign code: described and checked below
type Definition = any;

/** A random stream during one block and tick: the draws of the agent that drew last. */
interface Stream {
  readonly purpose: number;
  readonly words: Uint32Array;
  agent: number;
  draws: number;
}

/** A block in memory. */
interface Held {
  readonly block: number;
  readonly persona: number;
  readonly firstAgent: number;
  readonly agents: number;
  readonly traits: readonly Int32Array[];
  readonly columns: readonly Column[];
}

export interface Engine {
  /** What the module defines, checked. */
  describe(): BehaviorDescription;
  /** Begins a run; forgets the blocks of the one before. */
  open(setup: BehaviorSetup): void;
  /** Puts a block into memory, from the bytes of its columns or (null) before tick 0. */
  hold(block: number, columns: Uint8Array | null): void;
  /** One tick of a held block. `inbox` holds the messages to it in canonical order. */
  step(block: number, tick: number, inbox: Uint32Array): BlockTick;
  columnsOf(block: number): Uint8Array;
  /** Place in its block of the agent whose turn it is, for whoever stops the engine from outside; -1 = nobody's. */
  current(): number;
}

/** The engine of one module; `load` evaluates it anew and returns its default export. */
export function createEngine(load: () => Definition): Engine {
  let description: BehaviorDescription | null = null;
  let setup: BehaviorSetup | null = null;
  let firstIds: number[] = [], firstBlocks: number[] = [];
  const held = new Map<number, Held>();

  // The turn: whose it is, when, and what it has done.
  let block: Held | null = null;
  let agent = -1, tick = 0, sent = 0, id = 0;
  let counts = new Uint32Array(0);
  let outbox = new Uint32Array(4096), outboxTo = new Uint32Array(1024), outboxCount = 0;
  const streams = new Map<string, Stream>();
  const purposes = new Map<number, string>();

  return {
    describe: () => (description ??= describe(load())),
    open(next) {
      description ??= describe(load());
      setup = next;
      held.clear();
      firstIds = [];
      firstBlocks = [];
      let ids = 0, blocks = 0;
      for (const persona of next.personas) {
        firstIds.push(ids);
        firstBlocks.push(blocks);
        ids += persona.agents;
        blocks += Math.ceil(persona.agents / next.blockAgents);
      }
    },
    hold,
    step,
    columnsOf: (index) => bytesOf(heldBlock(index)),
    current: () => agent,
  };

  function hold(index: number, bytes: Uint8Array | null): void {
    const { personas, blockAgents } = setup!;
    let persona = personas.length - 1;
    while (firstBlocks[persona] > index || personas[persona].agents === 0) persona--;
    const firstAgent = (index - firstBlocks[persona]) * blockAgents;
    const agents = Math.min(blockAgents, personas[persona].agents - firstAgent);
    const columns = description!.state.map(({ type }) => (type === "u8" ? new Uint8Array(agents) : type === "u16" ? new Uint16Array(agents) : new Int32Array(agents)));
    const next: Held = { block: index, persona, firstAgent, agents, traits: description!.personas[persona].traits.map(() => new Int32Array(agents)), columns };
    begin(next, START_TICK);
    description!.personas[persona].traits.forEach(([low, high], trait) => {
      const stream = newStream(`trait ${description!.traits[trait]}`);
      for (agent = 0; agent < agents; agent++) next.traits[trait][agent] = low + (high === low ? 0 : integerBelow(stream, high - low + 1));
    });
    if (bytes === null) {
      const definition = load();
      begin(next, START_TICK);
      if (typeof definition.onStart === "function") eachAgent(next, (self, world) => definition.onStart(self, world));
    } else {
      let at = 0;
      for (const column of columns) {
        new Uint8Array(column.buffer).set(bytes.subarray(at, at + column.byteLength));
        at += column.byteLength;
      }
      if (at !== bytes.length) throw new Error(`a state of ${bytes.length} bytes came for a block of ${at}`);
    }
    agent = -1;
    held.set(index, next);
  }

  function step(index: number, now: number, inbox: Uint32Array): BlockTick {
    const mine = heldBlock(index);
    const { order, starts } = sortedByRecipient(inbox, mine.agents);
    const definition = load();
    const message = { name: "", from: 0, value: 0 };
    const names = description!.messages;
    begin(mine, now);
    const met = stimuliAt(now, mine.persona);
    const onStimulus = typeof definition.onStimulus === "function", onMessage = typeof definition.onMessage === "function", onTick = typeof definition.onTick === "function";
    eachAgent(mine, (self, world) => {
      if (onStimulus) {
        for (const { name, threshold, stream } of met) {
          if (threshold < 0x1_0000_0000 && word(stream) >= threshold) continue;
          definition.onStimulus(self, name, world);
        }
      }
      if (onMessage) {
        for (let i = starts[agent]; i < starts[agent + 1]; i++) {
          const at = order[i] * MESSAGE_WORDS;
          message.name = names[inbox[at] >>> 24];
          message.from = inbox[at + 1];
          message.value = inbox[at + 2] | 0;
          definition.onMessage(self, message, world);
        }
      }
      if (onTick) definition.onTick(self, world);
    });
    const done: BlockTick = { counts: counts.slice(), outbox: sectionsOf(), columns: bytesOf(mine) };
    agent = -1;
    return done;
  }

  function begin(next: Held, now: number): void {
    block = next;
    tick = now;
    counts = new Uint32Array(1 + description!.counters.length + 2);
    outboxCount = 0;
    streams.clear();
    purposes.clear();
  }

  /** Calls `turn` with the one object that stands for each agent in turn. */
  function eachAgent(now: Held, turn: (self: object, world: object) => void): void {
    const { personas, parameters, ticks } = setup!;
    const traits = {}, state = {};
    description!.traits.forEach((name, index) => {
      const values = now.traits[index];
      Object.defineProperty(traits, name, { enumerable: true, get: () => values[agent], set: () => { throw new Error(`trait ${name} cannot be changed; keep what changes in state`); } });
    });
    description!.state.forEach(({ name, type }, index) => {
      const column = now.columns[index], { low, high } = COLUMNS[type];
      Object.defineProperty(state, name, {
        enumerable: true,
        get: () => column[agent],
        set: (value: number) => {
          if (!(value >= low && value <= high && value === Math.floor(value))) throw new Error(`state ${name} was set to ${shown(value)}; expected an integer from ${low} to ${high} (${type})`);
          column[agent] = value;
        },
      });
    });
    Object.freeze(traits);
    Object.freeze(state);
    const persona = description!.personas[now.persona].name, offset = now.firstAgent, firstId = firstIds[now.persona] + offset;
    const kinds = description!.messages, counters = description!.counters;
    const countMax = Math.floor(0xffff_ffff / Math.ceil(personas[now.persona].agents / setup!.blockAgents));
    const self = Object.freeze({
      get id() { return firstId + agent; },
      persona,
      get number() { return offset + agent; },
      traits, state,
      chance(stream: string, probability: number): boolean {
        if (!(probability >= 0 && probability <= 1)) throw new Error(`chance("${shown(stream)}") got the probability ${shown(probability)}; expected a number from 0 to 1`);
        return word(streamOf(stream)) < probability * 0x1_0000_0000;
      },
      integer(stream: string, below: number): number {
        if (!(below >= 1 && below <= 0xffff_ffff && below === Math.floor(below))) throw new Error(`integer("${shown(stream)}") got the bound ${shown(below)}; expected an integer from 1 to 2^32 - 1`);
        return integerBelow(streamOf(stream), below);
      },
      send(name: string, to: number, value: number = 0): void {
        const kind = kinds.indexOf(name);
        if (kind < 0) throw new Error(`message "${shown(name)}" is not declared; expected one of: ${kinds.join(", ") || "none are, add messages: [...]"}`);
        if (tick === START_TICK) throw new Error("onStart cannot send: messages begin with tick 0");
        if (!(to >= 0 && to < setup!.agents && to === Math.floor(to))) throw new Error(`message "${name}" goes to ${shown(to)}; expected the id of an agent, 0 to ${setup!.agents - 1}`);
        if ((value | 0) !== value) throw new Error(`message "${name}" carries ${shown(value)}; expected an integer of 32 bits`);
        if (++sent > SENT_MAX) throw new Error(`more than ${SENT_MAX} messages in one tick`);
        push(kind, to, value);
      },
      count(name: string, by: number = 1): void {
        const index = counters.indexOf(name);
        if (index < 0) throw new Error(`counter "${shown(name)}" is not declared; expected one of: ${counters.join(", ")}`);
        if (!(by >= 0 && by === Math.floor(by) && counts[1 + index] + by <= countMax)) throw new Error(`counter "${name}" at ${counts[1 + index]} was raised by ${shown(by)}; expected an integer from 0, and at most ${countMax} in all for a block of agents and tick`);
        counts[1 + index] += by;
      },
    });
    const world = Object.freeze({ tick: tick === START_TICK ? -1 : tick, ticks, agents: setup!.agents, parameters: Object.freeze({ ...parameters }) });
    for (agent = 0; agent < now.agents; agent++) {
      sent = 0;
      id = firstId + agent;
      turn(self, world);
    }
    counts[0] = now.agents;
    counts[counts.length - 1] = outboxCount;
  }

  function push(kind: number, to: number, value: number): void {
    let persona = firstIds.length - 1;
    while (firstIds[persona] > to || setup!.personas[persona].agents === 0) persona--;
    const { blockAgents } = setup!, number = to - firstIds[persona];
    if (outboxCount === outboxTo.length) {
      const to2 = new Uint32Array(2 * outboxTo.length), words = new Uint32Array(2 * outboxTo.length * MESSAGE_WORDS);
      to2.set(outboxTo);
      words.set(outbox.subarray(0, outboxCount * MESSAGE_WORDS));
      outboxTo = to2;
      outbox = words;
    }
    const at = outboxCount * MESSAGE_WORDS;
    outboxTo[outboxCount++] = firstBlocks[persona] + Math.floor(number / blockAgents);
    outbox[at] = ((kind << 24) | (number & (blockAgents - 1))) >>> 0;
    outbox[at + 1] = id;
    outbox[at + 2] = value;
  }

  /** What was sent, stably sorted by destination block, as sections (protocol/mail.ts). */
  function sectionsOf(): Uint32Array {
    let blocks = 0;
    for (let i = 0; i < outboxCount; i++) if (outboxTo[i] >= blocks) blocks = outboxTo[i] + 1;
    const sizes = new Uint32Array(blocks);
    for (let i = 0; i < outboxCount; i++) sizes[outboxTo[i]]++;
    let words = 0;
    const next = new Uint32Array(blocks);
    for (let to = 0; to < blocks; to++) {
      if (sizes[to] === 0) continue;
      next[to] = words + 2;
      words += 2 + sizes[to] * MESSAGE_WORDS;
    }
    const sections = new Uint32Array(words);
    for (let to = 0; to < blocks; to++) {
      if (sizes[to] === 0) continue;
      sections[next[to] - 2] = to;
      sections[next[to] - 1] = sizes[to];
    }
    for (let i = 0; i < outboxCount; i++) {
      const at = next[outboxTo[i]], from = i * MESSAGE_WORDS;
      sections[at] = outbox[from];
      sections[at + 1] = outbox[from + 1];
      sections[at + 2] = outbox[from + 2];
      next[outboxTo[i]] = at + MESSAGE_WORDS;
    }
    return sections;
  }

  function stimuliAt(now: number, persona: number): { readonly name: string; readonly threshold: number; readonly stream: Stream }[] {
    const { name } = description!.personas[persona];
    return description!.stimuli.filter((stimulus) => stimulus.at.includes(now) && (stimulus.personas.length === 0 || stimulus.personas.includes(name)))
      .map((stimulus) => ({ name: stimulus.name, threshold: stimulus.share * 0x1_0000_0000, stream: newStream(`stimulus ${stimulus.name}`) }));
  }

  function heldBlock(index: number): Held {
    const found = held.get(index);
    if (found === undefined) throw new Error(`block ${index} is not held here`);
    return found;
  }

  function bytesOf({ columns }: Held): Uint8Array {
    const bytes = new Uint8Array(columns.reduce((sum, column) => sum + column.byteLength, 0));
    let at = 0;
    for (const column of columns) {
      bytes.set(new Uint8Array(column.buffer), at);
      at += column.byteLength;
    }
    return bytes;
  }

  /**
   * A stream is Philox with the persona's key and the counter (agent's number, tick, FNV-1a of the name, draw / 4): no draw depends on
   * another agent, on other streams or on how many agents there are.
   */
  function newStream(name: string): Stream {
    let purpose = 0x811c_9dc5;
    for (let i = 0; i < name.length; i++) purpose = Math.imul(purpose ^ name.charCodeAt(i), 0x0100_0193) >>> 0;
    const other = purposes.get(purpose);
    if (other !== undefined) throw new Error(`random streams "${other}" and "${name}" would be the same; rename one`);
    purposes.set(purpose, name);
    return { purpose, words: new Uint32Array(4), agent: -1, draws: 0 };
  }

  /** A stream that the behavior names; the engine's own have a blank in their names. */
  function streamOf(name: string): Stream {
    const known = streams.get(name);
    if (known !== undefined) return known;
    if (streams.size >= STREAMS_MAX) throw new Error(`more than ${STREAMS_MAX} random streams; name them by purpose, not by number: agent and tick are in every draw already`);
    const stream = newStream(named("the name of a random stream", name));
    streams.set(name, stream);
    return stream;
  }

  function word(stream: Stream): number {
    if (stream.agent !== agent) {
      stream.agent = agent;
      stream.draws = 0;
    }
    const place = stream.draws & 3;
    if (place === 0) {
      const [key0, key1] = setup!.personas[block!.persona].key;
      philox4x32Into(stream.words, block!.firstAgent + agent, tick, stream.purpose, stream.draws >>> 2, key0, key1);
    }
    stream.draws++;
    return stream.words[place];
  }

  /** Even: the remainder's bias is drawn again (Lemire, "Fast random integer generation in an interval", 2019). */
  function integerBelow(stream: Stream, below: number): number {
    const least = 0x1_0000_0000 % below;
    for (;;) {
      const drawn = word(stream);
      if (Math.imul(drawn, below) >>> 0 >= least) return mulHigh(drawn, below);
    }
  }
}

/** Places of an inbox's messages by recipient: those of agent i are order[starts[i]] to order[starts[i + 1] - 1], in the order they came. */
function sortedByRecipient(inbox: Uint32Array, agents: number): { readonly order: Uint32Array; readonly starts: Uint32Array } {
  const count = inbox.length / MESSAGE_WORDS, starts = new Uint32Array(agents + 1), order = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const to = inbox[i * MESSAGE_WORDS] & 0xff_ffff;
    if (to >= agents) throw new Error(`a message came for place ${to} of a block of ${agents}`);
    starts[to + 1]++;
  }
  for (let i = 0; i < agents; i++) starts[i + 1] += starts[i];
  const next = starts.slice();
  for (let i = 0; i < count; i++) order[next[inbox[i * MESSAGE_WORDS] & 0xff_ffff]++] = i;
  return { order, starts };
}

function shown(value: unknown): string {
  return typeof value === "symbol" || (typeof value === "object" && value !== null) || typeof value === "function" ? `a ${typeof value}` : `${value as string}`.slice(0, 80);
}

function refuse(place: string, found: unknown, expected: string): never {
  throw new Error(`${place} is ${shown(found)}; expected ${expected}`);
}

/** The description of a definition; throws what is wrong with it, by name. */
function describe(definition: Definition): BehaviorDescription {
  if (typeof definition !== "object" || definition === null) refuse("the default export", definition, "defineBehavior({...})");
  const known = ["name", "personas", "traits", "state", "messages", "counters", "parameters", "stimuli", "onStart", "onStimulus", "onMessage", "onTick"];
  for (const key of Object.keys(definition)) if (!known.includes(key)) refuse("a key of the behavior", key, `one of: ${known.join(", ")}`);
  for (const hook of ["onStart", "onStimulus", "onMessage", "onTick"]) if (definition[hook] !== undefined && typeof definition[hook] !== "function") refuse(hook, definition[hook], "a function");
  const name = named("name", definition.name);
  const record = (place: string, value: unknown): [string, Definition][] => {
    if (value === undefined) return [];
    if (typeof value !== "object" || value === null) refuse(place, value, "an object");
    return Object.entries(value as object).map(([key, entry]) => [named(`a name in ${place}`, key), entry]);
  };
  const list = (place: string, value: Definition, most: number): string[] => {
    if (value === undefined) return [];
    if (!Array.isArray(value) || value.length > most) refuse(place, Array.isArray(value) ? `${value.length} long` : value, `a list of at most ${most} names`);
    const names = value.map((entry: unknown) => named(`a name in ${place}`, entry));
    if (new Set(names).size !== names.length) refuse(place, names.join(", "), "different names");
    return names;
  };
  const traits = record("traits", definition.traits).map(([trait, range]) => ({ trait, range: rangeOf(`trait ${trait}`, range) }));
  const personas = record("personas", definition.personas ?? { agent: { share: 1 } }).map(([persona, given]) => {
    if (!(given.share > 0 && given.share <= 1)) refuse(`the share of persona ${persona}`, given.share, "a number above 0 and up to 1");
    const own = new Map(record(`traits of persona ${persona}`, given.traits).map(([trait, range]) => [trait, rangeOf(`trait ${trait} of persona ${persona}`, range)]));
    for (const trait of own.keys()) if (!traits.some((each) => each.trait === trait)) refuse(`a trait of persona ${persona}`, trait, "one that traits declares");
    return { name: persona, share: given.share as number, traits: traits.map(({ trait, range }) => own.get(trait) ?? range) };
  });
  const shares = personas.reduce((sum, persona) => sum + persona.share, 0);
  if (personas.length === 0 || Math.abs(shares - 1) > 1e-9) refuse("the sum of the personas' shares", shares, "1");
  const state = record("state", definition.state).map(([column, type]) => {
    if (!(type in COLUMNS)) refuse(`state ${column}`, type, `one of: ${Object.keys(COLUMNS).join(", ")}`);
    return { name: column, type: type as ColumnType };
  });
  const counters = list("counters", definition.counters, 64);
  if (counters.length === 0) refuse("counters", "empty", "at least one, or the run would show nothing");
  const messages = list("messages", definition.messages, 256);
  if (messages.length > 0 && typeof definition.onMessage !== "function") refuse("onMessage", definition.onMessage, "a function, for messages are declared");
  const parameters = record("parameters", definition.parameters).map(([parameter, value]) => {
    if (typeof value !== "number" || !Number.isFinite(value)) refuse(`parameter ${parameter}`, value, "a number");
    return { name: parameter, value: value as number };
  });
  const stimuli = record("stimuli", definition.stimuli).map(([stimulus, given]) => {
    const { at, share = 1, personas: whom = [] } = given;
    if (!Array.isArray(at) || !at.every((tick: unknown) => Number.isInteger(tick) && (tick as number) >= 0)) refuse(`"at" of stimulus ${stimulus}`, at, "a list of ticks from 0");
    if (!(share >= 0 && share <= 1)) refuse(`the share of stimulus ${stimulus}`, share, "a number from 0 to 1");
    for (const persona of whom) if (!personas.some((each) => each.name === persona)) refuse(`a persona of stimulus ${stimulus}`, persona, "one that personas declares");
    return { name: stimulus, at: [...at] as number[], share: share as number, personas: [...whom] as string[] };
  });
  if (stimuli.length > 0 && typeof definition.onStimulus !== "function") refuse("onStimulus", definition.onStimulus, "a function, for stimuli are declared");
  return { name, personas, traits: traits.map(({ trait }) => trait), state, messages, counters, parameters, stimuli };
}

function named(place: string, value: unknown): string {
  if (typeof value !== "string" || !NAME.test(value)) refuse(place, value, "a letter and then letters, digits, - or _, at most 64");
  return value as string;
}

function rangeOf(place: string, range: unknown): readonly [number, number] {
  const [low, high] = Array.isArray(range) ? (range as number[]) : [range as number, range as number];
  const isWhole = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= -0x8000_0000 && (value as number) <= 0x7fff_ffff;
  if (!isWhole(low) || !isWhole(high) || low > high || high - low >= 0xffff_ffff) refuse(place, Array.isArray(range) ? range.join(" to ") : range, "an integer of 32 bits, or [lowest, highest]");
  return [low, high];
}
