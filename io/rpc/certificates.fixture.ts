import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TlsFiles } from "./grpc.ts";

/** Certificates can be made on this machine. */
export const HAS_OPENSSL = spawnSync("openssl", ["version"]).status === 0;
/** For the names of tests that are skipped without it. */
export const NEEDS_OPENSSL = HAS_OPENSSL ? "" : " (skipped: no openssl here to make certificates with)";

/** A new authority in the folder and a certificate of it, for both roles and the names given, else this machine. */
export function certificate(folder: string, name: string, names = "IP:127.0.0.1,DNS:localhost"): TlsFiles {
  const openssl = (...args: string[]): unknown => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=authority ${name}`, "-keyout", `${name}-ca.key`, "-out", `${name}-ca.pem`);
  writeFileSync(join(folder, "names.cnf"), `subjectAltName=${names}\n`);
  openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
  openssl("x509", "-req", "-in", `${name}.csr`, "-CA", `${name}-ca.pem`, "-CAkey", `${name}-ca.key`, "-CAcreateserial", "-days", "2", "-extfile", "names.cnf", "-out", `${name}.pem`);
  return { caFile: join(folder, `${name}-ca.pem`), certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
}
