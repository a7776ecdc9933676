import { hash } from "node:crypto";

/** SHA-256 of the bytes, 32 bytes. By way of a text: half the time of asking for a buffer, whose making costs more than a short message's hash. */
export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(Buffer.from(hash("sha256", bytes, "binary"), "binary"));

/** SHA-256 of the bytes in lower-case hex. */
export const sha256Hex = (bytes: Uint8Array): string => hash("sha256", bytes, "hex");
