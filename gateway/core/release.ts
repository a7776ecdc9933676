import { checkScoreTable } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { decider } from "./prioritize.ts";
import type { Decider, DecisionPolicy } from "./prioritize.ts";

/** The release being served: swapped whole, so no answer mixes two. A bad or missing successor leaves the last one in place. */
export class Releases {
  readonly #policy: DecisionPolicy;
  #current: Decider | null = null;

  constructor(policy: DecisionPolicy) {
    this.#policy = policy;
  }

  get current(): Decider | null {
    return this.#current;
  }

  /** Checks the table and serves it from now on; returns false when it is the one served already. Throws `BAD_MODEL`, serving on. */
  swap(table: ScoreTable): boolean {
    if (this.#current?.table.release === table.release) return false;
    checkScoreTable(table);
    this.#current = decider(table, this.#policy);
    return true;
  }
}
