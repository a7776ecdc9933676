import { PopulaceError } from "@populace/domain";
import { IO_LIMITS } from "../limits.ts";
import { fromFailure, toFailure, type RpcCallOptions, type RpcClient, type RpcServer, type RpcService } from "./rpc.ts";

/**
 * Server and clients in one process: bytes are copied, errors take the form in which they would travel, deadlines and limits hold
 * as over a network.
 */
export function inProcessRpc(services: readonly RpcService[], options: { readonly address?: string; readonly messageBytesMax?: number } = {}): { readonly server: RpcServer; connect(headers?: Readonly<Record<string, string>>): RpcClient } {
  const address = options.address ?? "in-process:0", bytesMax = options.messageBytesMax ?? IO_LIMITS.rpcMessageBytesMax;
  const closing = new AbortController();

  const checked = (bytes: Uint8Array, method: string): Uint8Array => {
    if (bytes.length > bytesMax) throw fromFailure({ status: "RESOURCE_EXHAUSTED", message: `a message of ${bytes.length} bytes; at most ${bytesMax} are allowed`, code: "", details: "{}" }, `${method} at ${address}`);
    return new Uint8Array(bytes);
  };
  const methodOf = (service: string, method: string): RpcService["methods"][string] => {
    const found = services.find((each) => each.name === service)?.methods[method];
    if (found === undefined) throw fromFailure({ status: "UNIMPLEMENTED", message: `${service} has no method ${method}`, code: "", details: "{}" }, `${method} at ${address}`);
    return found;
  };

  function connect(headers: Readonly<Record<string, string>> = {}): RpcClient {
    /** The call's signal and what the caller is told when it is the reason. */
    function begin(method: string, { deadlineMs, signal }: RpcCallOptions): { readonly gone: Promise<never>; readonly signal: AbortSignal; end(): void } {
      const call = new AbortController();
      const gone = Promise.withResolvers<never>();
      gone.promise.catch(() => {});
      const give = (error: PopulaceError) => (): void => { gone.reject(error); call.abort(error); };
      const interrupt = give(new PopulaceError("INTERRUPTED", `${method} at ${address} was interrupted`, {}));
      const stop = (): void => give(closing.signal.reason as PopulaceError)();
      const timer = deadlineMs === undefined ? undefined : setTimeout(give(fromFailure({ status: "DEADLINE_EXCEEDED", message: `no answer within ${deadlineMs} ms`, code: "", details: "{}" }, `${method} at ${address}`)), deadlineMs);
      if (closing.signal.aborted) give(new PopulaceError("UNAVAILABLE", `${method} at ${address}: the server has stopped`, {}))();
      if (signal?.aborted) interrupt();
      signal?.addEventListener("abort", interrupt, { once: true });
      closing.signal.addEventListener("abort", stop, { once: true });
      return {
        gone: gone.promise, signal: call.signal,
        end() {
          clearTimeout(timer);
          signal?.removeEventListener("abort", interrupt);
          closing.signal.removeEventListener("abort", stop);
          call.abort(new PopulaceError("INTERRUPTED", `the caller of ${method} has gone`, {}));
        },
      };
    }
    const traveled = (error: unknown, method: string): PopulaceError => fromFailure(toFailure(error), `${method} at ${address}`);

    return {
      address,
      async unary(service, method, request, callOptions = {}) {
        const found = methodOf(service, method);
        if (found.kind !== "unary") throw fromFailure({ status: "UNIMPLEMENTED", message: `${method} answers many times`, code: "", details: "{}" }, method);
        const sent = checked(request, method);
        const call = begin(method, { deadlineMs: IO_LIMITS.rpcDeadlineMs, ...callOptions });
        try {
          await Promise.race([call.gone, Promise.resolve()]);
          return checked(await Promise.race([call.gone, found.handle(sent, { signal: call.signal, headers }).catch((error: unknown) => { throw traveled(error, method); })]), method);
        } finally {
          call.end();
        }
      },
      async *stream(service, method, request, callOptions = {}) {
        const found = methodOf(service, method);
        if (found.kind !== "stream") throw fromFailure({ status: "UNIMPLEMENTED", message: `${method} answers once`, code: "", details: "{}" }, method);
        const sent = checked(request, method);
        const call = begin(method, callOptions);
        await Promise.race([call.gone, Promise.resolve()]);
        const replies = found.handle(sent, { signal: call.signal, headers })[Symbol.asyncIterator]();
        try {
          for (;;) {
            const next = await Promise.race([call.gone, replies.next().catch((error: unknown) => { throw traveled(error, method); })]);
            if (next.done === true) return;
            yield checked(next.value, method);
          }
        } finally {
          call.end();
          // Not awaited: a handler that waits for something else ends when it sees its signal.
          void replies.return?.()?.catch(() => {});
        }
      },
      close() {},
    };
  }

  return {
    server: { address, close: () => { closing.abort(new PopulaceError("INTERRUPTED", "the server stops; call again, or call another", {})); return Promise.resolve(); } },
    connect,
  };
}
