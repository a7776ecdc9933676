import { randomUUID } from "node:crypto";
import { PopulaceError } from "@populace/domain";
import type { Clock, Registry, Store } from "@populace/io";
import { LEADER_RECORD, LIMITS, leaderKey } from "@populace/protocol";
import { decideLease, type LeaseSight } from "../core/lease.ts";
import { readTerm, writeTerm } from "./run-store.ts";

export interface Leadership {
  readonly term: number;
  /** Aborted with STALE_TERM when another one leads. */
  readonly signal: AbortSignal;
  release(): Promise<void>;
}

/**
 * Waits until this coordinator leads its tenant, then renews the record by compare-and-set every third of the TTL, so that one
 * lost renewal is survivable. `holderGone`: the caller knows that no other process leads (the embedded store's claim).
 */
export async function lead(
  ports: { readonly registry: Registry; readonly store: Store; readonly clock: Clock },
  tenant: string,
  holder: string,
  options: { readonly holderGone: boolean; readonly highestCommittedTerm: number },
): Promise<Leadership> {
  const { registry, store, clock } = ports;
  const key = leaderKey(tenant);
  const nonce = randomUUID();
  let sight: LeaseSight | null = null;
  for (;;) {
    const entry = await registry.get(key);
    if (sight === null || entry?.revision !== sight.revision) {
      sight = { record: entry === null ? null : LEADER_RECORD.decode(entry.bytes), revision: entry?.revision ?? 0, unchangedSinceMs: clock.monotonicMs() };
    }
    const decision = decideLease(sight, clock.monotonicMs(), LIMITS.leaseTtlMs, Math.max(options.highestCommittedTerm, readTerm(store, tenant)), options.holderGone);
    if (decision.kind === "wait") {
      await clock.sleep(Math.min(decision.ms + 1, LIMITS.leaseTtlMs / 3));
      continue;
    }
    const bytes = LEADER_RECORD.encode({ holder, nonce, term: decision.term, address: "" });
    const result = entry === null ? await registry.create(key, bytes) : await registry.update(key, bytes, entry.revision);
    if (!result.ok) continue;
    const ruled = await store.transaction((tables) => {
      if (readTerm(tables, tenant) >= decision.term) return false;
      writeTerm(tables, tenant, decision.term);
      return true;
    });
    if (ruled) return renew(result.revision, decision.term, bytes);
  }

  function renew(revision: number, term: number, bytes: Uint8Array): Leadership {
    const controller = new AbortController();
    const stopped = new AbortController();
    const loop = (async () => {
      while (!stopped.signal.aborted) {
        await clock.sleep(LIMITS.leaseTtlMs / 3, stopped.signal).catch(() => {});
        if (stopped.signal.aborted) return;
        const result = await registry.update(key, bytes, revision);
        if (result.ok) revision = result.revision;
        else {
          const other = result.current === null ? "nobody" : LEADER_RECORD.decode(result.current.bytes).holder;
          controller.abort(new PopulaceError("STALE_TERM", `coordinator ${holder} held term ${term}; ${other} leads tenant ${tenant} now: this one steps down, submit to the other`, { term, holder: other }));
          return;
        }
      }
    })();
    return {
      term,
      signal: controller.signal,
      async release() {
        stopped.abort();
        await loop;
        await registry.remove(key, revision);
      },
    };
  }
}
