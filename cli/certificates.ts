// tsyringe, below x509, asks for it.
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { PopulaceError } from "@populace/domain";
import {
  BasicConstraintsExtension, ExtendedKeyUsage, ExtendedKeyUsageExtension, KeyUsageFlags, KeyUsagesExtension, PemConverter, SubjectAlternativeNameExtension, X509Certificate, X509CertificateGenerator,
  cryptoProvider,
} from "@peculiar/x509";

/** A certificate and its key, in PEM. */
export interface Certified {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateRequest {
  readonly name: string;
  /** Host names and addresses under which it is reached; none for one that only calls. */
  readonly hosts: readonly string[];
  readonly days: number;
  readonly nowMs: number;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
/** Clocks of two machines differ; a certificate of today is not refused as one of tomorrow. */
const SKEW_MS = 3_600_000;
const AUTHORITY_DAYS = 3650;

cryptoProvider.set(webcrypto);

/** A new certificate authority. */
export async function createAuthority(name: string, nowMs: number): Promise<Certified> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`, keys, signingAlgorithm: ALGORITHM, notBefore: new Date(nowMs - SKEW_MS), notAfter: new Date(nowMs + AUTHORITY_DAYS * DAY_MS),
    extensions: [new BasicConstraintsExtension(true, 0, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true)],
  });
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

/** A certificate of the authority, for servers and callers alike. CORRUPT when the authority's files cannot be read. */
export async function issueCertificate(authority: Certified, { name, hosts, days, nowMs }: CertificateRequest): Promise<Certified> {
  const keys = await newKeys();
  const { subject, signingKey } = await opened(authority);
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${name}`, issuer: subject, publicKey: keys.publicKey, signingKey, signingAlgorithm: ALGORITHM, notBefore: new Date(nowMs - SKEW_MS), notAfter: new Date(nowMs + days * DAY_MS),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true), new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      ...(hosts.length === 0 ? [] : [new SubjectAlternativeNameExtension(hosts.map((host) => ({ type: isIP(host) === 0 ? "dns" as const : "ip" as const, value: host })))]),
    ],
  });
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

async function opened(authority: Certified): Promise<{ readonly subject: string; readonly signingKey: webcrypto.CryptoKey }> {
  try {
    const signingKey = await webcrypto.subtle.importKey("pkcs8", PemConverter.decodeFirst(authority.key), ALGORITHM, false, ["sign"]);
    return { subject: new X509Certificate(authority.certificate).subject, signingKey };
  } catch (cause) {
    throw new PopulaceError("CORRUPT", `the authority's certificate or key cannot be read (${(cause as Error).message}); make all keys anew in an empty folder`, {}, cause);
  }
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> => webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
const pemOf = (certificate: X509Certificate): string => `${certificate.toString("pem")}\n`;
const keyPem = async (key: webcrypto.CryptoKey): Promise<string> => `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
