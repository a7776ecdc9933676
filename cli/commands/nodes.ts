import { PopulaceError } from "@populace/domain";
import type { Node } from "@populace/protocol/control";
import { list, whole } from "../arguments.ts";
import { withCluster, withClusterOptions, type ClusterCommandOptions } from "../cluster-options.ts";
import type { CommandDefinition } from "../command.ts";
import { compact, duration, paint, plain, table } from "../output.ts";

export const nodesCommand: CommandDefinition<ClusterCommandOptions> = {
  name: "nodes",
  summary: "the coordinator that leads a cluster and the nodes that compute for it",
  examples: ["populace nodes --cluster 127.0.0.1:7600", "POPULACE_CLUSTER=127.0.0.1:7600 populace nodes --json"],
  configure: withClusterOptions,
  run: (context, options) => withCluster(context, options, async (cluster) => {
    // One that stands by describes itself as well, so the leader is looked for by a call that only it answers.
    const now = await cluster.call("List", {}).then(() => cluster.call("Describe", {}));
    return {
      json: { ...now },
      lines: [
        `${paint("bold", plain(now.holder))} ${now.role === "leader" ? "leads" : "stands by"}, term ${now.term}, view ${now.view}, control ${now.control}, populace ${now.version}`,
        ...(now.nodes.length === 0
          ? [paint("yellow", "no nodes: runs wait until one joins; start one with `populace node --nats URL`")]
          : table(
            [{ title: "node" }, { title: "state" }, { title: "workers", align: "right" }, { title: "backends" }, { title: "exposures/s", align: "right" }, { title: "memory available", align: "right" }, { title: "heard", align: "right" }],
            now.nodes.map((node) => [node.incarnation, stateText(node), String(node.workers), node.backends.map(plain).join(" "), compact(node.exposuresPerSecond), `${compact(node.memoryBytes)}B`, `${duration(node.heardMs / 1000)} ago`]),
          )),
      ],
    };
  }),
};

const stateText = (node: Node): string => (node.state === "up" ? paint("green", node.state) : paint("yellow", plain(node.state)));

interface PlanOptions extends ClusterCommandOptions {
  readonly leave?: readonly string[];
  readonly join?: number;
  readonly run?: string;
}

export const planCommand: CommandDefinition<PlanOptions> = {
  name: "plan",
  summary: "which shards would move if nodes left or joined; moves nothing",
  examples: ["populace plan --leave 3f9a --cluster 127.0.0.1:7600", "populace plan --join 2 --cluster 127.0.0.1:7600"],
  configure: (command) => withClusterOptions(command
    .option("--leave <nodes>", "incarnations that would leave, or their beginnings, with commas", list)
    .option("--join <number>", "how many nodes would join, each as fast as the average one", whole(1, 1000))
    .option("--run <id>", "only this run (default: all that are under way)")),
  run(context, options) {
    if (options.leave === undefined && options.join === undefined) throw new PopulaceError("BAD_USAGE", "say what would change: --leave NODE or --join NUMBER", {});
    return withCluster(context, options, async (cluster) => {
      const { moves, shards, imbalanceBefore, imbalanceAfter } = await cluster.call("Moves", { leave: options.leave ?? [], join: options.join ?? 0, run: options.run ?? "" });
      return {
        json: { moves, shards, imbalanceBefore, imbalanceAfter },
        lines: [
          ...(moves.length === 0 ? [] : table([{ title: "run" }, { title: "shard", align: "right" }, { title: "from" }, { title: "to" }], moves.map((move) => [move.run.slice(0, 12), String(move.shard), move.source, move.target]))),
          `${moves.length} of ${shards} shards would move; the busiest node would carry ${imbalanceAfter.toFixed(2)} times its share (now ${imbalanceBefore.toFixed(2)})`,
        ],
      };
    });
  },
};

interface DrainOptions extends ClusterCommandOptions {
  readonly node: string;
}

export const drainCommand: CommandDefinition<DrainOptions> = {
  name: "drain",
  summary: "let a node hand over its shards and leave",
  examples: ["populace drain 3f9a --cluster 127.0.0.1:7600"],
  configure: (command) => withClusterOptions(command.argument("<node>", "its incarnation, or a beginning of it")),
  run: (context, options) => withCluster(context, options, async (cluster) => {
    const node = await cluster.call("Drain", { node: options.node });
    return { json: { ...node }, lines: [`node ${paint("bold", node.incarnation)} is ${node.state}: it takes no more work, hands over its shards at the next barrier and leaves`] };
  }),
};
