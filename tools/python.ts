// What the Python example of a client needs (cli/examples/python): gRPC and a reader of Parquet, unpacked into .tools/ of the checkout.
//   node tools/run.mjs tools/python.ts     says where, and fetches what is missing
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { pythonPackages } from "./packages.ts";

const PACKAGES = { requirements: ["grpcio==1.85.3", "grpcio-tools==1.85.1", "pyarrow==26.0.1"], modules: ["grpc", "grpc_tools", "pyarrow"] };

/** POPULACE_PYTHON_PATH for the tests. Never rejects: where it cannot be had it is "" and the reason stands in POPULACE_NO_PYTHON. */
export async function python(root: string): Promise<{ readonly env: Readonly<Record<string, string>>; readonly note: string }> {
  const { folder, reason } = await pythonPackages(root, "python", PACKAGES);
  return { env: { POPULACE_PYTHON_PATH: folder ?? "", POPULACE_NO_PYTHON: reason }, note: folder === null ? `none: ${reason}` : folder.replace(`${root}/`, "") };
}

if (import.meta.main) console.log(`python: ${(await python(dirname(dirname(fileURLToPath(import.meta.url))))).note}`);
