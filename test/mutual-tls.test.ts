// Control beyond one machine: both sides show certificates of one authority.
import { describe, expect, it, onTestFinished } from "vitest";
import { startSmallCluster } from "../cli/cluster.fixture.ts";
import { HAS_OPENSSL, NEEDS_OPENSSL, certificate } from "../io/rpc/certificates.fixture.ts";
import { populace, temporaryFolder } from "./helpers/process.ts";

describe("control over mutual TLS", () => {
  it.skipIf(!HAS_OPENSSL)(`is three flags on either side; who shows no certificate is not served${NEEDS_OPENSSL}`, async () => {
    const tls = certificate(temporaryFolder(), "own");
    const { address, close } = await startSmallCluster({ tls });
    onTestFinished(close);
    const nodes = (...flags: readonly string[]) => populace(["nodes", "--json", "--cluster", address, ...flags]);
    const served = await nodes("--tls-ca", tls.caFile, "--tls-cert", tls.certFile, "--tls-key", tls.keyFile);
    expect(served).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(served.stdout)).toMatchObject({ role: "leader", nodes: [{ incarnation: "node-a" }] });
    const plain = await nodes();
    expect([plain.code, JSON.parse(plain.stdout).error.code]).toEqual([1, "UNAVAILABLE"]);
    const half = await nodes("--tls-ca", tls.caFile);
    expect([half.code, JSON.parse(half.stdout).error.message]).toEqual([2, "mutual TLS needs all of --tls-ca, --tls-cert and --tls-key"]);
  });
});
