import type { Registry } from "@populace/io";
import { RELEASE, releaseKey, type Release } from "@populace/protocol";
import { decodeRelease } from "./run-store.ts";

/** All releases of a tenant; the last one is served. */
export async function releasesOf(registry: Registry, tenant: string): Promise<readonly Release[]> {
  return (await registry.list(releaseKey(tenant, "*"))).map((entry) => decodeRelease(entry.bytes)).filter((release) => release !== null).toSorted((left, right) => left.number - right.number);
}

/**
 * Announces what production serves from now on, under the next number. Each number is written once, so it never means two things; of two that
 * announce at once, the second becomes the next. `known` is the highest number seen before, should the registry have forgotten.
 */
export async function announceRelease(registry: Registry, tenant: string, announced: Omit<Release, "number">, known = 0): Promise<Release> {
  for (let number = Math.max(known, (await releasesOf(registry, tenant)).at(-1)?.number ?? 0) + 1; ; number += 1) {
    const release = { ...announced, number };
    if ((await registry.create(releaseKey(tenant, number), RELEASE.encode(release))).ok) return release;
  }
}
