// scikit-uplift on the splits of hillstrom-protocol.ts: its Qini of our predictions, and its models in our place.
import type { Dataset } from "@populace/studies";
import { EMAILS, splitMean } from "./hillstrom-protocol.ts";
import type { Email, SplitMean, SplitUplift } from "./hillstrom-protocol.ts";
import { pythonPeer } from "./peers/python.ts";

export interface UpliftRow { readonly what: string; readonly ours: SplitMean; readonly theirs: SplitMean | null; readonly peerName: string }

const LABELS: Readonly<Record<Email, string>> = { "mens-email": "men's", "womens-email": "women's" };
/** By how much two computations of one Qini may differ: both sum some ten thousand products. */
const SAME = 1e-9;

/** Rows of the table: our Qini beside scikit-uplift's of the same predictions, then beside its models'. Throws when the two definitions disagree. */
export async function upliftPeers(data: Dataset, splits: readonly SplitUplift[], tiny: boolean): Promise<readonly UpliftRow[]> {
  const { values, columns } = featuresOf(data), rowOf = new Map(Array.from(data.rowNumber, (number, row) => [number, row]));
  const arms = ["none", ...EMAILS].map((id) => data.schema.stimulus.stimuli.findIndex((stimulus) => stimulus.id === id));
  const fit = new Uint8Array(splits.length * data.rows), predicted = new Float64Array(splits.length * EMAILS.length * data.rows);
  splits.forEach((split, at) => {
    for (const number of split.fit.rowNumber) fit[at * data.rows + rowOf.get(number)!] = 1;
    split.held.rowNumber.forEach((number, row) => EMAILS.forEach((email, e) => { predicted[(at * EMAILS.length + e) * data.rows + rowOf.get(number)!] = split.uplift[email][row]!; }));
  });
  const peer = await (await pythonPeer({ tiny })).start<Readonly<Record<string, number>>[][]>({
    script: "uplift_sklift.py", of: "scikit-uplift", args: {},
    arrays: {
      features: { data: values, shape: [data.rows, columns] }, arm: Int8Array.from(data.stimulus, (stimulus) => arms.indexOf(stimulus)), outcome: Int8Array.from({ length: data.rows }, (_, row) => data.outcomes[row * data.schema.funnel.length]!),
      fit: { data: fit, shape: [splits.length, data.rows] }, predicted: { data: predicted, shape: [splits.length, EMAILS.length, data.rows] },
    },
  });
  try {
    const found = peer.round === null ? null : (await peer.round()).result;
    return EMAILS.flatMap((email, e) => {
      const mine = splits.map((split) => split.qini[email]), what = `Qini of the ${LABELS[email]} e-mail`;
      if (found === null) return [{ what, ours: splitMean(mine), theirs: null, peerName: peer.name }];
      return Object.keys(found[0]![e]!).map((model): UpliftRow => {
        const theirs = found.map((split) => split[e]![model]!), less = splitMean(mine.map((qini, at) => qini - theirs[at]!));
        if (model !== "ours") return { what: `${what}, less the peer's ${less.mean.toFixed(4)} (se ${less.se.toPrecision(2)})`, ours: splitMean(mine), theirs: splitMean(theirs), peerName: `${peer.name}, ${model}` };
        const worst = Math.max(...mine.map((qini, at) => Math.abs(qini - theirs[at]!)));
        if (worst > SAME) throw new Error(`our Qini of the ${LABELS[email]} e-mail differs from scikit-uplift's by ${worst}`);
        return { what: `${what}, largest difference of a split ${worst.toExponential(0)}`, ours: splitMean(mine), theirs: splitMean(theirs), peerName: `${peer.name}, of our predictions` };
      });
    });
  } finally {
    peer.close();
  }
}

/** The attributes as a regression takes them: numbers on the scale that the schema names, standardized, and an indicator a level. */
function featuresOf(data: Dataset): { readonly values: Float64Array; readonly columns: number } {
  const { rows } = data;
  const features = data.columns.flatMap((column, at): ArrayLike<number>[] => {
    const { transform } = data.schema.attributes[at]!;
    if (column.kind === "text") return column.dictionary.map((_, level) => Float64Array.from(column.codes, (code) => (code === level ? 1 : 0)));
    const scaled = Float64Array.from(column.values, (value) => (transform === "log1p" ? Math.log1p(value) : value));
    const { mean, se } = splitMean([...scaled]), sd = se * Math.sqrt(rows);
    return [scaled.map((value) => (value - mean) / sd)];
  });
  return { values: Float64Array.from({ length: rows * features.length }, (_, at) => features[at % features.length]![Math.floor(at / features.length)]!), columns: features.length };
}
