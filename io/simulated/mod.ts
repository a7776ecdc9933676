export { simulatedWorld, type Chance, type SimulatedLife, type SimulatedWorld } from "./world.ts";
export { CALM, simulatedNetwork, type SimulatedNetwork, type Weather } from "./network.ts";
export { simulatedDisk, type DiskImage, type SimulatedDisk } from "./disk.ts";
export { simulatedService, type ServiceEvent, type SimulatedService } from "./service.ts";
export { REQUEST_TIMEOUT_MS, SERVICE, simulatedHub, type SimulatedHub } from "./ports.ts";
