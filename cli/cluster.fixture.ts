import { startNode } from "@populace/agent-runtime";
import { startCoordinator, type Coordinator } from "@populace/coordinator";
import { controlService } from "@populace/coordinator/control";
import { memoryPorts } from "@populace/io";
import { serveGrpc, type GrpcSecurity } from "@populace/io/rpc";

/** A coordinator with its control service over gRPC, and one node, all in this process and in memory. With a share of double runs, these are given up for want of a second node. */
export async function startSmallCluster(security: GrpcSecurity = {}, doubleRunShare = 0): Promise<{ readonly address: string; readonly coordinator: Coordinator; close(): Promise<void> }> {
  const ports = memoryPorts();
  const coordinator = await startCoordinator({ ports, tenant: "default", alone: true, doubleRunShare });
  const node = startNode({ ports, incarnation: "node-a", workers: 1, allowBehaviors: true });
  const server = await serveGrpc({ listen: "127.0.0.1:0", services: [controlService({ coordinatorOf: () => ({ coordinator, tenant: "default" }), ports, version: "0.0.0" })], ...security });
  return {
    address: server.address, coordinator,
    async close() {
      await server.close();
      await node.stop();
      await coordinator.close();
      await ports.close();
    },
  };
}
