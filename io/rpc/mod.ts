export type * from "./rpc.ts";
export { serveGrpc, connectGrpc, hostOf, type GrpcClientOptions, type GrpcSecurity, type GrpcServerOptions, type TlsFiles } from "./grpc.ts";
export { inProcessRpc } from "./in-process.ts";
