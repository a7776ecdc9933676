/** Those around a simulated cluster's gateway: an owner who announces releases and keeps the ledger open, a client who is served and sends outcomes. */
import type { Coordinator } from "@populace/coordinator";
import { id, type ScoreTable } from "@populace/domain";
import { linkCluster, storeEvents, type ClusterLink } from "@populace/gateway";
import { sha256, sha256Hex, type Logger, type Ports, type Store } from "@populace/io";
import type { Chance, SimulatedLife } from "@populace/io/simulated";
import { EVENT_ID_DIGITS, encodeLedgerPlan, ledgerSpecOf, runIdOf } from "@populace/protocol";
import type { ClusterRecord } from "./records.ts";

const utf8 = new TextEncoder();
const plan = encodeLedgerPlan({ model: "shop", fit: "ab".repeat(32), personas: ["all"], stimuli: ["mail"], steps: ["click"] });
/** Run id of the ledger. */
export const LEDGER = runIdOf(ledgerSpecOf(sha256Hex(plan)), sha256);
/** Outcomes that the client sends, and releases that the owner announces. */
const OUTCOMES_MAX = 24, RELEASES_MAX = 4;

const tableOf = (version: number): ScoreTable => ({
  release: `version ${version}`, model: "shop", version, evidence: "randomized", steps: ["click"], currency: "EUR", minorUnits: 100, values: null, defaultValueMinor: null,
  mixture: { codings: [], personas: [{ id: id("all"), name: "all", share: 1, shareAlpha: 1, correlation: [], logDensityFloor: -9, lineage: { event: "fitted", parents: [], atVersion: 1 }, traits: [] }] },
  stimuli: [{ id: "mail", name: "mail", contact: true, channel: "email", contactCostMinor: 1, offerCostMinor: 0 }],
  rates: [{ mean: 0.1, low: 0.05, high: 0.2, ess: 90, essSimulated: 0, essReal: 90, label: "real" }],
});
/** Address of what a gateway serves, by the table that it read it into. */
const models = new WeakMap<ScoreTable, string>();
function modelOf(table: ScoreTable): string {
  let model = models.get(table);
  if (model === undefined) models.set(table, (model = sha256Hex(utf8.encode(JSON.stringify(table)))));
  return model;
}
const contentOf = (version: number): Uint8Array => utf8.encode(JSON.stringify(tableOf(version)));

export interface Market {
  /** Looks after ledger, releases and outcomes; called again and again. `leader` is null while nobody leads. */
  look(gateway: RunningGateway | null, leader: { readonly coordinator: Coordinator; readonly life: SimulatedLife } | null): void;
  /** Whether everything was sent, and nothing waits for its COMMIT. */
  isDone(gateway: RunningGateway | null): boolean;
}

/** A gateway process in its present life. */
export interface RunningGateway {
  readonly life: SimulatedLife;
  readonly store: Store;
  readonly link: ClusterLink;
}

/** Starts a gateway on its disk: the real link to the cluster over simulated ports. */
export function startGateway(life: SimulatedLife, ports: Ports, store: Store, tenant: string, logger: Logger): RunningGateway {
  const link = linkCluster({
    store, tenant, logger, clock: life.clock, nowMs: () => life.clock.monotonicMs(),
    open: () => Promise.resolve({ ...ports, connection: { isLive: () => true, closed: new Promise<null>(() => {}) }, close: () => Promise.resolve() }),
  });
  return { life, store, link };
}

/** `ports` are the owner's. What is acknowledged and what is served goes into `records`. */
export function marketOf(ports: Ports, chance: Chance, records: ClusterRecord[], refused: (error: unknown) => void): Market {
  /** Lives of the gateway that have yet to answer. */
  const asked = new Set<{ readonly life: SimulatedLife }>();
  let errand: SimulatedLife | null = null, isOpen = false, versions = 0, sent = 0;

  /** A ledger that failed is entered again, as every release with a ledger does and an owner who sees outcomes wait. */
  async function reopen(leader: Coordinator): Promise<void> {
    if ((await leader.run(LEDGER))?.state === "failed") await leader.enterLedger(plan);
  }

  async function announce(leader: Coordinator): Promise<void> {
    if (!isOpen || chance() < 0.2) {
      await leader.enterLedger(plan);
      isOpen = true;
      return;
    }
    const content = await ports.blobs.put(contentOf(versions + 1));
    versions += 1;
    await leader.announce({ content, model: "", ledger: LEDGER, runs: [], note: "" });
  }

  function send({ life, store, link }: RunningGateway): void {
    // Some of them come twice, as from a sender who was not answered.
    const names = Array.from({ length: 1 + Math.floor(chance() * 3) }, () => `outcome ${chance() < 0.2 && sent > 0 ? Math.floor(chance() * sent) : sent++}`);
    const outcomes = names.map((name) => ({ id: name, recipient: name, attributes: {}, stimulus: "mail", reached: chance() < 0.5 ? "click" : null, at: "2026-03-01T12:00:00Z" }));
    const request = { life };
    asked.add(request);
    life.within(() => void storeEvents(store, tableOf(1), LEDGER, outcomes, []).finally(() => asked.delete(request)).then(() => {
      for (const name of names) records.push({ kind: "acknowledged", eventId: sha256Hex(utf8.encode(name)).slice(0, EVENT_ID_DIGITS) });
      link.wake();
    }, refused));
  }

  return {
    look(gateway, leader) {
      if (errand?.isAlive === false) errand = null;
      if (leader !== null && errand === null && (!isOpen || (versions < RELEASES_MAX && chance() < 0.1))) {
        errand = leader.life;
        announce(leader.coordinator).catch(refused).finally(() => { errand = null; });
      } else if (leader !== null && errand === null && gateway !== null && sent >= OUTCOMES_MAX && gateway.link.waiting() > 0) {
        errand = leader.life;
        reopen(leader.coordinator).catch(refused).finally(() => { errand = null; });
      }
      if (gateway === null || !gateway.life.isAlive || gateway.life.isPaused) return;
      const served = gateway.link.release();
      if (served !== null) records.push({ kind: "served", observer: "client", release: served.number, model: modelOf(served.table) });
      if (sent < OUTCOMES_MAX && chance() < 0.2) send(gateway);
    },
    isDone: (gateway) => sent >= OUTCOMES_MAX && gateway !== null && gateway.life.isAlive && !gateway.life.isPaused && gateway.link.waiting() === 0 && ![...asked].some(({ life }) => life.isAlive),
  };
}
