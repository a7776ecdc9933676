import { checkScoreTable } from "@populace/domain";
import type { ScoreTable } from "@populace/domain";
import { decider } from "./prioritize.ts";
import type { Decider, DecisionPolicy } from "./prioritize.ts";

/** A release as a cluster announced it. */
export interface Announced {
  /** 0 = nobody announced it: it lies in the gateway's own store. */
  readonly number: number;
  /** Run id of the ledger of its outcomes; "" = they stay in the gateway's store. */
  readonly ledger: string;
}

/** What decides, and under which number. */
export type Served = Decider & Announced;

const UNANNOUNCED: Announced = { number: 0, ledger: "" };

/** The release being served: swapped whole, so no answer mixes two. A bad or missing successor leaves the last one in place. */
export class Releases {
  readonly #policy: DecisionPolicy;
  #current: Served | null = null;

  constructor(policy: DecisionPolicy) {
    this.#policy = policy;
  }

  get current(): Served | null {
    return this.#current;
  }

  /** Checks the table and serves it from now on; returns false when it is the one served already, or announced before that one. Throws `BAD_MODEL`, serving on. */
  swap(table: ScoreTable, { number, ledger }: Announced = UNANNOUNCED): boolean {
    const before = this.#current;
    if (before !== null && (number < before.number || (number === before.number && before.table.release === table.release))) return false;
    checkScoreTable(table);
    this.#current = { ...decider(table, this.#policy), number, ledger };
    return true;
  }
}

/** How every answer names what it was made from. */
export const releaseFields = ({ table: { release, model, version, evidence }, number }: Served): { readonly release: string; readonly releaseNumber: number; readonly model: string; readonly version: number; readonly evidence: string } =>
  ({ release, releaseNumber: number, model, version, evidence });
