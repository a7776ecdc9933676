import { PopulaceError } from "@populace/domain";

/**
 * Messages between agents, by destination block. An outbox is what the agents of one block sent in one tick: sections in the order of
 * their destination, each [destination block, number of messages] and then the messages, three words each: the kind in the upper 8
 * bits of the first, the recipient's place in its block in the lower 24; the sender's number among all agents; the value (i32).
 * Within a section messages lie in the order of their senders and of what each sent first. Blocks number agents in order, so the
 * sections of all blocks one after another are an inbox in canonical order: persona, agent, sequence.
 */
export const MESSAGE_WORDS = 3;
const SECTION_WORDS = 2;

/** The inboxes of the blocks that are asked for, from outboxes in canonical block order; CORRUPT when a section is cut short. */
export function inboxesOf(outboxes: readonly Uint32Array[], blocks: ReadonlySet<number>): Map<number, Uint32Array> {
  const sections = new Map<number, Uint32Array[]>();
  for (const outbox of outboxes) {
    for (let at = 0; at < outbox.length; ) {
      const from = at + SECTION_WORDS, block = outbox[at];
      at = from + outbox[at + 1] * MESSAGE_WORDS;
      if (!(at <= outbox.length)) throw new PopulaceError("CORRUPT", `an outbox of ${outbox.length} words ends inside its section to block ${block}`, { block });
      if (!blocks.has(block)) continue;
      const list = sections.get(block);
      if (list === undefined) sections.set(block, [outbox.subarray(from, at)]);
      else list.push(outbox.subarray(from, at));
    }
  }
  return new Map([...sections].map(([block, list]) => [block, joinWords(list)]));
}

/** Arrays of words one after another. */
export function joinWords(list: readonly Uint32Array[]): Uint32Array {
  const words = new Uint32Array(list.reduce((sum, each) => sum + each.length, 0));
  let at = 0;
  for (const each of list) {
    words.set(each, at);
    at += each.length;
  }
  return words;
}
