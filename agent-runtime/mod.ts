export { startNode, type NodeOptions, type RunningNode } from "./shell/node-service.ts";
export { measureExposures } from "./shell/calibration.ts";
