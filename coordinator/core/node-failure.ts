import { ERROR_TABLE, type ErrorCode } from "@populace/domain";
import { LIMITS } from "@populace/protocol";

/**
 * What the failure of one node at one run means. `freeze`: two computations disagree, nobody knows which is right. `repair`: the
 * node missed something that all nodes would miss (the state of a checkpoint, a stored output): it is looked for and computed
 * anew. `retry`: the node has forgotten the run and tries again at the next TickOpen. `elsewhere`: others compute its shards, while there are others: what
 * passes by itself may be the fault of what all nodes need. `unfit`: others compute its shards for good.
 */
export type FailureDecision = "freeze" | "repair" | "retry" | "elsewhere" | "unfit" | "fail";

/**
 * `failures`: how often in a row this node has failed so at this run, this time included. `hasOthers`: whether another node may compute it. `isJob`: what is
 * wrong with the input of a job is wrong on every node.
 */
export function decideFailure(code: string, failures: number, hasOthers: boolean, isJob = false): FailureDecision {
  if (code === "DIVERGENCE") return "freeze";
  if (isJob && code !== "NOT_FOUND" && code in ERROR_TABLE && ERROR_TABLE[code as ErrorCode].exit === 2) return "fail";
  const canBeRetried = failures < LIMITS.nodeFailuresMax;
  if ((code === "NOT_FOUND" || code === "CORRUPT") && canBeRetried) return "repair";
  // What passes by itself ends no run: another node is asked, and where there is none the same one again.
  if (code in ERROR_TABLE && ERROR_TABLE[code as ErrorCode].retry) return canBeRetried || !hasOthers ? "retry" : "elsewhere";
  return hasOthers ? "unfit" : "fail";
}
