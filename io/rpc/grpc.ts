import { readFileSync } from "node:fs";
import { once } from "node:events";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { Client, Metadata, Server, ServerCredentials, credentials, status as STATUS } from "@grpc/grpc-js";
import type { ServerUnaryCall, ServerWritableStream, ServiceError, UntypedHandleCall, sendUnaryData } from "@grpc/grpc-js";
import { PopulaceError } from "@populace/domain";
import { IO_LIMITS } from "../limits.ts";
import { SILENT, type Logger } from "../logging.ts";
import { fromFailure, toFailure, type RpcCall, type RpcClient, type RpcMethod, type RpcServer, type RpcService } from "./rpc.ts";

/** Files of mutual TLS, PEM: who vouches for the other side, and what this side shows. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface GrpcSecurity {
  /** Both sides show a certificate of this authority. Without it calls are plain text, which is allowed on this machine only. */
  readonly tls?: TlsFiles;
  /** Plain text to and from other machines all the same. */
  readonly isInsecure?: boolean;
}

export interface GrpcServerOptions extends GrpcSecurity {
  /** host:port; port 0 takes a free one. */
  readonly listen: string;
  readonly services: readonly RpcService[];
  readonly messageBytesMax?: number;
  readonly logger?: Logger;
}

export interface GrpcClientOptions extends GrpcSecurity {
  readonly address: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly messageBytesMax?: number;
}

/** Header names of a PopulaceError's parts; `-bin` values are bytes to gRPC. */
const CODE_KEY = "populace-code", DETAILS_KEY = "populace-details-bin";
/** The name of the event, in the spelling of the library. */
const CANCELED = `cancel${"led"}`;
const STATUS_NAME = new Map(Object.entries(STATUS).filter(([, value]) => typeof value === "number").map(([name, value]) => [value as number, name]));
const same = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
/** A copy: what gRPC hands out is a view of a larger buffer, aligned anyhow. */
const own = (bytes: Buffer): Uint8Array => new Uint8Array(bytes);

const channelOptions = (messageBytesMax: number | undefined): Record<string, number> => {
  const bytes = messageBytesMax ?? IO_LIMITS.rpcMessageBytesMax;
  return {
    "grpc.max_receive_message_length": bytes, "grpc.max_send_message_length": bytes, "grpc.max_concurrent_streams": IO_LIMITS.rpcStreamsMax,
    // A peer that was frozen or cut off is noticed without traffic, too.
    "grpc.keepalive_time_ms": IO_LIMITS.rpcKeepaliveMs, "grpc.keepalive_timeout_ms": IO_LIMITS.rpcKeepaliveMs, "grpc.keepalive_permit_without_calls": 1,
    // Processes of a cluster reach each other directly.
    "grpc.enable_http_proxy": 0, "grpc.enable_retries": 0, "grpc.max_reconnect_backoff_ms": 1000,
    // Two clients of one process with different certificates share nothing.
    "grpc.use_local_subchannel_pool": 1,
  };
};

/** Serves over gRPC. BAD_USAGE for plain text beyond this machine, FILE_MISSING for a certificate, UNAVAILABLE for a port in use. */
export async function serveGrpc(options: GrpcServerOptions): Promise<RpcServer> {
  const logger = options.logger ?? SILENT;
  const { host } = hostOf(options.listen);
  assertSecure(options, host, "listen on");
  const { tls } = options;
  const identity = tls === undefined ? null : pem(tls);
  const server = new Server(channelOptions(options.messageBytesMax));
  const closing = new AbortController();
  for (const service of options.services) {
    const definition: Record<string, object> = {}, implementation: Record<string, UntypedHandleCall> = {};
    for (const [name, method] of Object.entries(service.methods)) {
      definition[name] = { path: `/${service.name}/${name}`, requestStream: false, responseStream: method.kind === "stream", requestSerialize: same, requestDeserialize: own, responseSerialize: same, responseDeserialize: own };
      implementation[name] = handler(method, closing.signal, logger, name);
    }
    server.addService(definition as never, implementation);
  }
  const port = await new Promise<number>((resolve, reject) => {
    const created = identity === null ? ServerCredentials.createInsecure() : ServerCredentials.createSsl(identity.ca, [{ cert_chain: identity.cert, private_key: identity.key }], true);
    server.bindAsync(options.listen, created, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(new PopulaceError("UNAVAILABLE", `cannot listen on ${options.listen} (${error.message}); choose another with --listen, or port 0 for a free one`, { listen: options.listen }, error));
    });
  });
  return {
    address: `${host}:${port}`,
    async close() {
      closing.abort(new PopulaceError("INTERRUPTED", "the server stops; call again, or call another", {}));
      // Calls that end by themselves after the abort get their status across; the rest is cut.
      const shut = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      const timer = setTimeout(() => server.forceShutdown(), IO_LIMITS.rpcCloseMs);
      await shut;
      clearTimeout(timer);
    },
  };
}

type AnyCall = ServerUnaryCall<Uint8Array, Uint8Array> | ServerWritableStream<Uint8Array, Uint8Array>;

function handler(method: RpcMethod, closing: AbortSignal, logger: Logger, name: string): UntypedHandleCall {
  const callOf = (call: AnyCall): RpcCall & { readonly done: () => void } => {
    const controller = new AbortController();
    const gone = (): void => controller.abort(new PopulaceError("INTERRUPTED", `the caller of ${name} has gone`, {}));
    const stop = (): void => controller.abort(closing.reason);
    call.on(CANCELED, gone);
    if (closing.aborted) stop();
    else closing.addEventListener("abort", stop, { once: true });
    const headers = Object.fromEntries(Object.entries(call.metadata.getMap()).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
    return { signal: controller.signal, headers, done: () => closing.removeEventListener("abort", stop) };
  };
  const failed = (error: unknown): Partial<ServiceError> => {
    const failure = toFailure(error);
    if (failure.code === "INTERNAL") logger.error({ method: name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, "call failed");
    const metadata = new Metadata();
    metadata.set(CODE_KEY, failure.code);
    metadata.set(DETAILS_KEY, Buffer.from(failure.details));
    return { code: STATUS[failure.status as keyof typeof STATUS], details: failure.message, metadata };
  };
  if (method.kind === "unary") {
    return (call: ServerUnaryCall<Uint8Array, Uint8Array>, answer: sendUnaryData<Uint8Array>) => {
      const { done, ...context } = callOf(call);
      method.handle(call.request, context).then((reply) => answer(null, reply), (error: unknown) => answer(failed(error))).finally(done);
    };
  }
  return (call: ServerWritableStream<Uint8Array, Uint8Array>) => {
    const { done, ...context } = callOf(call);
    void (async () => {
      try {
        for await (const reply of method.handle(call.request, context)) {
          if (context.signal.aborted) throw context.signal.reason;
          if (!call.write(reply)) await once(call, "drain", { signal: context.signal });
        }
        call.end();
      } catch (error) {
        call.emit("error", failed(context.signal.aborted ? context.signal.reason : error));
      } finally {
        done();
      }
    })();
  };
}

/** Calls over gRPC; connects with the first call. BAD_USAGE for plain text beyond this machine. */
export function connectGrpc(options: GrpcClientOptions): RpcClient {
  const { address } = options;
  const { host } = hostOf(address);
  assertSecure(options, host, "connect to");
  const identity = options.tls === undefined ? null : pem(options.tls);
  // An address is no name that TLS may ask for; the certificate is held against the address all the same.
  const ip = host.replace(/^\[|\]$/g, ""), isIp = isIP(ip) !== 0;
  const verify = isIp ? { checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(ip, certificate) } : {};
  const client = new Client(
    address,
    identity === null ? credentials.createInsecure() : credentials.createSsl(identity.ca, identity.key, identity.cert, verify),
    { ...channelOptions(options.messageBytesMax), ...(identity !== null && isIp ? { "grpc.ssl_target_name_override": "localhost" } : {}) },
  );
  const metadata = (): Metadata => {
    const sent = new Metadata();
    for (const [name, value] of Object.entries(options.headers ?? {})) sent.set(name, value);
    return sent;
  };
  const deadline = (ms: number | undefined): { deadline?: number } => (ms === undefined ? {} : { deadline: Date.now() + ms });
  const failure = (error: ServiceError, method: string): PopulaceError => {
    const details = error.metadata?.get(DETAILS_KEY)[0];
    return fromFailure({
      status: STATUS_NAME.get(error.code) ?? "UNKNOWN", message: error.details || error.message, code: String(error.metadata?.get(CODE_KEY)[0] ?? ""),
      details: details instanceof Buffer ? details.toString() : "{}",
    }, `${method} at ${address}`, error);
  };
  const interrupted = (method: string): PopulaceError => new PopulaceError("INTERRUPTED", `${method} at ${address} was interrupted`, {});
  return {
    address,
    unary(service, method, request, { deadlineMs = IO_LIMITS.rpcDeadlineMs, signal } = {}) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(interrupted(method));
        const call = client.makeUnaryRequest(`/${service}/${method}`, same, own, request, metadata(), deadline(deadlineMs), (error, reply) => {
          signal?.removeEventListener("abort", cancel);
          if (error === null) resolve(reply!);
          else reject(signal?.aborted ? interrupted(method) : failure(error, method));
        });
        const cancel = (): void => call.cancel();
        signal?.addEventListener("abort", cancel, { once: true });
      });
    },
    async *stream(service, method, request, { deadlineMs, signal } = {}) {
      if (signal?.aborted) throw interrupted(method);
      const call = client.makeServerStreamRequest(`/${service}/${method}`, same, own, request, metadata(), deadline(deadlineMs));
      const cancel = (): void => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      // A canceled call reports so after its iteration has been left.
      call.on("error", () => {});
      try {
        yield* call as AsyncIterable<Uint8Array>;
      } catch (error) {
        throw signal?.aborted ? interrupted(method) : failure(error as ServiceError, method);
      } finally {
        signal?.removeEventListener("abort", cancel);
        call.cancel();
      }
    },
    close: () => client.close(),
  };
}

/** Host and port of `host:port`; BAD_USAGE for anything else. */
export function hostOf(address: string): { readonly host: string; readonly port: number } {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:\s/]+):(\d{1,5})$/.exec(address);
  if (match === null || Number(match[2]) > 65_535) throw new PopulaceError("BAD_USAGE", `"${address.slice(0, 80)}" is no address; expected HOST:PORT such as 127.0.0.1:7600`, { address });
  return { host: match[1], port: Number(match[2]) };
}

const isLoopback = (host: string): boolean => host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);

function assertSecure({ tls, isInsecure }: GrpcSecurity, host: string, verb: string): void {
  if (tls !== undefined || isInsecure === true || isLoopback(host)) return;
  throw new PopulaceError("BAD_USAGE", `will not ${verb} ${host} in plain text; give --tls-ca, --tls-cert and --tls-key for mutual TLS, or --insecure on a network that you trust`, { host });
}

function pem(files: TlsFiles): { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer } {
  const read = (file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new PopulaceError("FILE_MISSING", `${file}: cannot be read; mutual TLS needs the authority's certificate, this side's certificate and its key`, { file }, cause);
    }
  };
  return { ca: read(files.caFile), cert: read(files.certFile), key: read(files.keyFile) };
}
