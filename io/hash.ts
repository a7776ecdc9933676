import { hash } from "node:crypto";

/** SHA-256 of the bytes, 32 bytes. */
export const sha256 = (bytes: Uint8Array): Uint8Array => hash("sha256", bytes, "buffer");

/** SHA-256 of the bytes in lower-case hex. */
export const sha256Hex = (bytes: Uint8Array): string => hash("sha256", bytes, "hex");
