import { PopulaceError } from "@populace/domain";
import { SLOT_REFERENCE } from "./codec.ts";
import { LIMITS } from "./limits.ts";

/** What goes into the log for an encoded message: itself, or its address when it is over LIMITS.slotBytesMax and `put` has stored it. */
export async function fitBody(message: Uint8Array, blobs: { put(bytes: Uint8Array): Promise<string> }): Promise<Uint8Array> {
  return message.length <= LIMITS.slotBytesMax ? message : SLOT_REFERENCE.encode({ blob: await blobs.put(message), bytes: message.length });
}

/** The encoded message that a body of the log holds or refers to. NOT_FOUND when it refers to a blob that is gone; `what` names the entry. */
export async function bodyOf(body: Uint8Array, blobs: { get(hash: string): Promise<Uint8Array | null> }, what: string): Promise<Uint8Array> {
  const blob = referenceIn(body);
  if (blob === null) return body;
  const message = await blobs.get(blob);
  if (message === null) throw new PopulaceError("NOT_FOUND", `${what} refers to blob ${blob}, which is not in the blob store`, { blob });
  return message;
}

/** The blob address that a body of the log refers to, or null when it is the message itself. */
export const referenceIn = (body: Uint8Array): string | null => SLOT_REFERENCE.read(body)?.blob ?? null;
