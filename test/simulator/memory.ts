import type { Chance } from "@populace/io/simulated";
import type { ExposeKernel, HeldBlock } from "@populace/kernels";

/** A node's memory in one life of it: a kernel whose bits can be flipped. */
export interface Memory {
  readonly kernel: ExposeKernel;
  /** Flips one bit of the state of a block that is held, as the kernel next reads it: for a tick, or for a checkpoint. */
  flipState(): void;
  /** Flips one bit of what the next tick counts, before anything is hashed. */
  flipOutput(): void;
}

interface Held extends HeldBlock {
  inner: HeldBlock;
}

/**
 * `flipped` is told of every bit that did flip. A block is flipped in once among all memories that share `flippedIn`: two nodes whose bits make one
 * state false alike agree with each other, and no majority can tell which of three is sound.
 */
export function memoryOf(kernel: ExposeKernel, chance: Chance, flippedIn: Set<string>, flipped: (what: string) => void): Memory {
  let states = 0, outputs = 0, isForCheckpoint = false;
  function flip(bytes: Uint8Array, what: string): void {
    const bit = Math.floor(chance() * bytes.length * 8);
    bytes[bit >> 3] ^= 1 << (bit & 7);
    flipped(`bit ${bit} of ${what}`);
  }
  return {
    flipState() {
      states += 1;
      isForCheckpoint = chance() < 0.3;
    },
    flipOutput() { outputs += 1; },
    kernel: {
      async open(plan, form, pause) {
        const session = await kernel.open(plan, form, pause);
        const keyOf = ({ block }: HeldBlock): string => `${plan.personas[block.persona].key.join(" ")} ${block.firstAgent}`;
        const mayFlip = (held: HeldBlock): boolean => !flippedIn.has(keyOf(held));
        async function flipIn(held: Held, what: string): Promise<void> {
          states -= 1;
          flippedIn.add(keyOf(held));
          const state = await session.stateOf(held.inner);
          flip(state, `the state of block ${held.block.persona}/${held.block.firstAgent} ${what}`);
          held.inner = await session.hold(held.block, state);
        }
        return {
          batchBlocks: session.batchBlocks,
          async hold(block, state) {
            const held: Held = { block, inner: await session.hold(block, state) };
            return held;
          },
          async step(held, tick, span, climate, onTick) {
            const sound = states > 0 && !isForCheckpoint ? held.filter(mayFlip) : [];
            if (sound.length > 0) await flipIn(sound[Math.floor(chance() * sound.length)] as Held, `before tick ${tick}`);
            await session.step(held.map((each) => (each as Held).inner), tick, span, climate, (index, t, output) => {
              if (outputs === 0 || !mayFlip(held[index])) return onTick(index, t, output);
              outputs -= 1;
              flippedIn.add(keyOf(held[index]));
              const whole = output.whole.slice();
              flip(new Uint8Array(whole.buffer), `the output of tick ${t}`);
              onTick(index, t, { ...output, whole, counts: whole.subarray(0, output.counts.length), sections: whole.subarray(output.counts.length) });
            });
          },
          live: (blocks, onTick) => session.live(blocks, onTick),
          async stateOf(held) {
            if (states > 0 && mayFlip(held)) await flipIn(held as Held, "before its checkpoint");
            return session.stateOf((held as Held).inner);
          },
          release: (held) => session.release((held as Held).inner),
          close: () => session.close(),
        };
      },
    },
  };
}
