// A client of a gateway: what it is told becomes records for the invariants.
import { sha256Hex } from "@populace/io";
import { encodeLedgerPlan } from "@populace/protocol";
import { ledgerPlanOf, modelText, scoreTableOf, type Model } from "@populace/studies";
import type { ClusterClient } from "../../cli/cluster-client.ts";
import { coding, contact, handModel } from "../../studies/hand-model.fixture.ts";
import type { ClusterRecord } from "../simulator/records.ts";

/** Two personas told apart by one trait, two stimuli, two steps. */
export const GATEWAY_MODEL = handModel({
  codings: [coding("owner", "binary", 0, ["no", "yes"])],
  personas: [{ id: "calm", share: 0.6, distributions: [{ kind: "binary", alpha: 10, beta: 90 }] }, { id: "keen", share: 0.4, distributions: [{ kind: "binary", alpha: 90, beta: 10 }] }],
  stimuli: [contact("discount"), contact("news")], steps: ["visit", "buy"],
  terms: [{ kind: "intercept" }, { kind: "stimulus", stimulus: 1 }, { kind: "trait", trait: 0, level: -1 }], coefficients: [[-2, -0.5, 0.8], [-1.2, 0.3, 0.4]], sd: 0.1, worlds: 40,
});

const HOUR_MS = 3_600_000;

/** An outcome of the keen persona with the news, visited an hour ago. */
export const outcomeOf = (number: number, more: object = {}): { readonly id: string } => {
  const outcome = { id: `order-${number}`, recipient: `r${number}`, attributes: { owner: "yes" }, stimulus: "news", reached: "visit", at: new Date(Date.now() - HOUR_MS).toISOString() };
  return { ...outcome, ...more };
};

export interface Ready {
  readonly status: string;
  readonly releaseNumber: number;
  /** Null before the first release. */
  readonly staleSeconds: number | null;
  readonly outcomesWaiting: number;
}

interface Reported {
  readonly accepted: number;
  readonly doubled: number;
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
}

export interface GatewayClient {
  ready(): Promise<Ready>;
  /** Asks until it holds. */
  until(holds: (state: Ready) => boolean): Promise<Ready>;
  /** Asks for a decision. */
  decide(): Promise<{ readonly number: number; readonly stale: number }>;
  /** Sends outcomes, and throws unless they are acknowledged. */
  report(...outcomes: readonly { readonly id: string }[]): Promise<Reported>;
}

/** A client of the gateway that listens at `url()`. */
export function gatewayClient(url: () => string, records: ClusterRecord[]): GatewayClient {
  const post = async (path: string, body: object, status: number): Promise<{ readonly response: Response; readonly body: unknown }> => {
    const response = await fetch(`${url()}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (response.status !== status) throw new Error(`POST ${path}: ${response.status} ${await response.text()}`);
    return { response, body: await response.json() };
  };
  const ready = async (): Promise<Ready> => (await (await fetch(`${url()}/ready`)).json()) as Ready;
  return {
    ready,
    async until(holds) {
      for (;;) {
        const state = await ready();
        if (holds(state)) return state;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async decide() {
      const { response, body } = await post("/v1/prioritize", { recipient: { id: "r", attributes: { owner: "yes" } }, campaigns: [{ id: "c", stimuli: ["news"], economicValueMinor: 100 }] }, 200);
      const { releaseNumber, release } = body as { readonly releaseNumber: number; readonly release: string };
      records.push({ kind: "served", observer: "client", release: releaseNumber, model: release });
      return { number: releaseNumber, stale: Number(response.headers.get("populace-stale-seconds")) };
    },
    async report(...outcomes) {
      const reported = (await post("/v1/outcomes", { outcomes }, 202)).body as Reported;
      const refused = new Set(reported.refused.map(({ id }) => id));
      for (const { id } of outcomes) if (!refused.has(id)) records.push({ kind: "acknowledged", eventId: sha256Hex(new TextEncoder().encode(id)).slice(0, 32) });
      return reported;
    },
  };
}

/** Announces a model, or what an earlier release served, and returns the ledger of its outcomes. */
export async function announce(client: ClusterClient, records: ClusterRecord[], model: Model, backTo = 0): Promise<string> {
  const utf8 = new TextEncoder(), table = scoreTableOf(model);
  const { number, ledger } = await client.call("Release", backTo > 0 ? { backTo } : { table: utf8.encode(JSON.stringify(table)), model: utf8.encode(modelText(model)), ledger: encodeLedgerPlan(ledgerPlanOf(model)), force: "a model by hand" });
  records.push({ kind: "announced", release: number, model: table.release });
  return ledger;
}
