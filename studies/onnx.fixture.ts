// ONNX files made from nothing: the few messages of onnx.proto that a small model needs, written field by field.

const varint = (value: number): number[] => {
  const bytes: number[] = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    const low = Number(rest & 127n);
    if (rest < 128n) return [...bytes, low];
    bytes.push(low | 128);
  }
};
const integer = (field: number, value: number): number[] => [...varint(field << 3), ...varint(value)];
const message = (field: number, bytes: readonly number[]): number[] => [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
const text = (field: number, value: string): number[] => message(field, [...new TextEncoder().encode(value)]);

/** Numbers of onnx.TensorProto.DataType. */
const TYPES = { float32: 1, int64: 7, string: 8, float64: 11 } as const;

export interface OnnxValue {
  readonly name: string;
  readonly type: keyof typeof TYPES;
  /** null = any number of rows. */
  readonly shape: readonly (number | null)[];
}

export interface OnnxGraph {
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: readonly { readonly type: string; readonly inputs: readonly string[]; readonly outputs: readonly string[]; readonly attributes?: Readonly<Record<string, number>> }[];
  /** Constants of float32: name -> shape and values, row by row. */
  readonly constants: Readonly<Record<string, { readonly shape: readonly number[]; readonly values: readonly number[] }>>;
  /** The file that holds the constants' bytes (`constantBytes`); left out, the model itself does. */
  readonly constantsFile?: string;
}

/** The bytes of an ONNX model (operator set 17). Node attributes are integers. */
export function onnxFile({ constants, constantsFile, inputs, nodes, outputs }: OnnxGraph): Uint8Array {
  const value = (field: number, { name, shape, type }: OnnxValue): number[] => {
    const dimensions = shape.flatMap((size) => message(1, size === null ? text(2, "rows") : integer(1, size)));
    return message(field, [...text(1, name), ...message(2, message(1, [...integer(1, TYPES[type]), ...message(2, dimensions)]))]);
  };
  const graph = [
    ...nodes.flatMap((node) => message(1, [
      ...node.inputs.flatMap((name) => text(1, name)), ...node.outputs.flatMap((name) => text(2, name)), ...text(4, node.type),
      ...Object.entries(node.attributes ?? {}).flatMap(([name, number]) => message(5, [...text(1, name), ...integer(3, number), ...integer(20, 2)])),
    ])),
    ...text(2, "graph"),
    ...Object.entries(constants).flatMap(([name, { shape, values }], at) => {
      const entry = (key: string, word: string): number[] => message(13, [...text(1, key), ...text(2, word)]);
      const offset = Object.values(constants).slice(0, at).reduce((sum, each) => sum + 4 * each.values.length, 0);
      const stored = constantsFile === undefined ? message(9, [...float32Bytes(values)]) : [...entry("location", constantsFile), ...entry("offset", `${offset}`), ...entry("length", `${4 * values.length}`), ...integer(14, 1)];
      return message(5, [...shape.flatMap((size) => integer(1, size)), ...integer(2, TYPES.float32), ...text(8, name), ...stored]);
    }),
    ...inputs.flatMap((input) => value(11, input)),
    ...outputs.flatMap((output) => value(12, output)),
  ];
  return Uint8Array.from([...integer(1, 8), ...message(8, [...text(1, ""), ...integer(2, 17)]), ...text(2, "populace test"), ...message(7, graph)]);
}

const float32Bytes = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** What lies in `constantsFile`. */
export function constantBytes(constants: OnnxGraph["constants"]): Uint8Array {
  return float32Bytes(Object.values(constants).flatMap(({ values }) => values));
}

/** A regression with one input and one output: logits = x W + b, then a sigmoid unless `isLogit`. */
export function linearOnnx(weights: readonly (readonly number[])[], bias: readonly number[], isLogit = false, type: "float32" | "float64" = "float32"): Uint8Array {
  const [rows, columns] = [weights.length, bias.length];
  return onnxFile({
    inputs: [{ name: "x", type, shape: [null, rows] }],
    outputs: [{ name: "p", type: "float32", shape: [null, columns] }],
    constants: { W: { shape: [rows, columns], values: weights.flat() }, b: { shape: [columns], values: bias } },
    nodes: [
      ...(type === "float64" ? [{ type: "Cast", inputs: ["x"], outputs: ["f"], attributes: { to: 1 } }] : []),
      { type: "Gemm", inputs: [type === "float64" ? "f" : "x", "W", "b"], outputs: [isLogit ? "p" : "z"] },
      ...(isLogit ? [] : [{ type: "Sigmoid", inputs: ["z"], outputs: ["p"] }]),
    ],
  });
}
