import { PopulaceError } from "@populace/domain";
import protobuf from "protobufjs/light.js";
import { CONTROL_DESCRIPTOR, type ControlMethods } from "./control.generated.ts";

/**
 * The control protocol this build speaks. A server takes callers of its major version with a minor version from `minorMin` to `minor`. Whatever
 * control.proto gains raises the minor version: an older server would pass over it without a word. 1.1: ledgers, releases; 1.2: jobs; 1.3: force; 1.4: Run.unchecked_from; 1.5: OutcomeHead.unchecked_from; 1.6: Remove.
 */
export const CONTROL_VERSION = { major: 1, minor: 6, minorMin: 0 } as const;
/** Header that says what its caller speaks. */
export const CONTROL_HEADER = "populace-control";
/** Full name of the service of control.proto. */
export const CONTROL_SERVICE = "populace.v1.Control";

/** "1.0": value of the header, and what `Describe` answers. */
export const controlVersionText = (): string => `${CONTROL_VERSION.major}.${CONTROL_VERSION.minor}`;

/** Throws INCOMPATIBLE, naming both versions and which side to change, unless a caller with this header may be served. */
export function checkControlVersion(header: string | undefined, server: { readonly major: number; readonly minor: number; readonly minorMin: number } = CONTROL_VERSION): void {
  const match = /^(\d+)\.(\d+)$/.exec(header ?? "1.0");
  const major = Number(match?.[1]), minor = Number(match?.[2]);
  if (match !== null && major === server.major && minor >= server.minorMin && minor <= server.minor) return;
  const isNewer = major > server.major || (major === server.major && minor > server.minor);
  const window = server.minorMin === server.minor ? `${server.major}.${server.minor}` : `${server.major}.${server.minorMin} to ${server.major}.${server.minor}`;
  throw new PopulaceError("INCOMPATIBLE", `the caller speaks version ${String(header).slice(0, 40)} of the control protocol, this coordinator ${window}; ${isNewer ? "upgrade the coordinators first, or call with an older populace" : "upgrade the caller"}`, { caller: header ?? null, server: window });
}

interface ControlMethod<Request, Reply> {
  readonly streams: boolean;
  /** Fields that are left out have the value 0, "", [] or none. */
  encodeRequest(request: Partial<Request>): Uint8Array;
  /** BAD_REQUEST for bytes that are no such message. */
  decodeRequest(bytes: Uint8Array): Request;
  encodeReply(reply: Partial<Reply>): Uint8Array;
  decodeReply(bytes: Uint8Array): Reply;
}

const root = protobuf.Root.fromJSON(structuredClone(CONTROL_DESCRIPTOR) as protobuf.INamespace);
const service = root.lookupService(CONTROL_SERVICE).resolveAll() as protobuf.Service;

function encode(type: protobuf.Type, message: object): Uint8Array {
  const problem = type.verify(message);
  if (problem !== null) throw new PopulaceError("INTERNAL", `${type.name}: ${problem}`, { message: type.name });
  // A copy of its own: protobufjs hands out views of a pool.
  return new Uint8Array(type.encode(type.fromObject(message)).finish());
}

function decode(type: protobuf.Type, bytes: Uint8Array): unknown {
  try {
    return type.toObject(type.decode(bytes), { longs: Number, defaults: true, arrays: true, objects: true });
  } catch (cause) {
    throw new PopulaceError("BAD_REQUEST", `${bytes.length} bytes are no ${type.name}; do both sides use the same control.proto?`, { message: type.name }, cause);
  }
}

/** Codecs of the methods of control.proto, by name. 64-bit integers are numbers, exact below 2^53. */
export const CONTROL: { readonly [Name in keyof ControlMethods]: ControlMethod<ControlMethods[Name]["request"], ControlMethods[Name]["reply"]> } = Object.fromEntries(
  service.methodsArray.map((method) => {
    const request = method.resolvedRequestType!, reply = method.resolvedResponseType!;
    return [method.name, {
      streams: method.responseStream === true,
      encodeRequest: (message: object) => encode(request, message), decodeRequest: (bytes: Uint8Array) => decode(request, bytes),
      encodeReply: (message: object) => encode(reply, message), decodeReply: (bytes: Uint8Array) => decode(reply, bytes),
    }];
  }),
) as never;
export type * from "./control.generated.ts";
