import { memoryPorts } from "@populace/io";
import { HEARTBEAT, LEADER_BEAT, VIEW_RECORD, drainSubject, heartbeatSubject, viewKey } from "@populace/protocol";
import { describe, expect, it } from "vitest";
import { startNode } from "./node-service.ts";

const TENANT = "default";

describe("a node that the leader asks to drain", () => {
  it("says so, leaves when the leader knows it, and takes no such wish for another node", async () => {
    const ports = memoryPorts();
    const states: string[] = [];
    ports.bus.subscribe(heartbeatSubject(TENANT, "node-a"), (_subject, bytes) => {
      const { state } = HEARTBEAT.decode(bytes);
      if (states.at(-1) !== state) states.push(state);
      if (state === "draining") void ports.registry.create(viewKey(TENANT), VIEW_RECORD.encode({ term: 1, view: 2, members: ["node-a"], draining: ["node-a"], dead: [] }));
    });
    const node = startNode({ ports, incarnation: "node-a", workers: 1, backend: "reference" });
    await node.ready;
    const beat = LEADER_BEAT.encode({ holder: "c", term: 1, view: 1, release: 0 });
    ports.bus.publish(drainSubject(TENANT, "node-b"), beat);
    await ports.clock.sleep(50);
    expect(states).toEqual(["up"]);
    ports.bus.publish(drainSubject(TENANT, "node-a"), beat);
    ports.bus.publish(drainSubject(TENANT, "node-a"), beat);
    expect(await node.ended).toBe("drained");
    await ports.clock.sleep(10);
    expect(states).toEqual(["up", "draining", "leaving"]);
    await ports.close();
  });
});
