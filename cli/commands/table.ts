import type { CommandDefinition } from "../command.ts";
import { backupCommand, restoreCommand } from "./archive.ts";
import { backendsCommand } from "./backends.ts";
import { backtestCommand } from "./backtest.ts";
import { behaveCommand } from "./behave.ts";
import { clusterCommand } from "./cluster.ts";
import { compileCommand } from "./compile.ts";
import { coordinatorCommand } from "./coordinator.ts";
import { demoCommand } from "./demo.ts";
import { experimentAnalyzeCommand, experimentPlanCommand } from "./experiment.ts";
import { fitCommand } from "./fit.ts";
import { gatewayCommand } from "./gateway.ts";
import { keysCommand } from "./keys.ts";
import { learnCommand } from "./learn.ts";
import { networkCompareCommand, networkExplainCommand, networkForgetCommand, networkLearnCommand, networkQueryCommand } from "./network.ts";
import { nodeCommand } from "./node.ts";
import { distillCommand } from "./distill.ts";
import { evaluatePolicyCommand } from "./evaluate-policy.ts";
import { drainCommand, nodesCommand, planCommand } from "./nodes.ts";
import { optimizeCommand } from "./optimize.ts";
import { prioritizeCommand } from "./prioritize.ts";
import { releaseCommand } from "./release.ts";
import { replayCommand } from "./replay.ts";
import { reportCommand } from "./report.ts";
import { runsListCommand, runsShowCommand } from "./runs.ts";
import { runsCancelCommand, runsPauseCommand, runsResolveCommand, runsResumeCommand, runsWatchCommand } from "./runs-cluster.ts";
import { runsRemoveCommand } from "./runs-remove.ts";
import { signalsParseCommand, signalsRunCommand, signalsSentimentCommand } from "./signals.ts";
import { simulateCommand } from "./simulate.ts";
import { surfaceCommand } from "./surface.ts";
import { sweepCommand } from "./sweep.ts";
import { upCommand } from "./up.ts";

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- each command has options of its own type; commander hands them over untyped
type AnyCommand = CommandDefinition<any>;

/** In the order of the loop, which is the order of `populace --help`. */
export const COMMANDS: readonly AnyCommand[] = [
  demoCommand, fitCommand, distillCommand, surfaceCommand, simulateCommand, behaveCommand, sweepCommand, optimizeCommand, learnCommand, prioritizeCommand, backtestCommand, evaluatePolicyCommand, clusterCommand, upCommand, reportCommand, backendsCommand,
  coordinatorCommand, nodeCommand, gatewayCommand, releaseCommand, nodesCommand, planCommand, drainCommand, replayCommand, compileCommand, backupCommand, restoreCommand, keysCommand,
];
export const EXPERIMENT_COMMANDS: readonly AnyCommand[] = [experimentPlanCommand, experimentAnalyzeCommand];
export const SIGNAL_COMMANDS: readonly AnyCommand[] = [signalsParseCommand, signalsSentimentCommand, signalsRunCommand];
export const RUN_COMMANDS: readonly AnyCommand[] = [
  runsListCommand, runsShowCommand, runsWatchCommand, runsCancelCommand, runsPauseCommand, runsResumeCommand, runsResolveCommand, runsRemoveCommand,
];
export const NETWORK_COMMANDS: readonly AnyCommand[] = [networkLearnCommand, networkQueryCommand, networkExplainCommand, networkCompareCommand, networkForgetCommand];
