import protobuf from "protobufjs";

const NUMERIC = new Set(["double", "float", "int32", "uint32", "sint32", "int64", "uint64", "sint64"]);

/** The TypeScript of control.proto: an interface a message, the table of methods, and the descriptor that the codecs load. */
export function controlSource(proto: string): string {
  const { root } = protobuf.parse(proto, { alternateCommentMode: true });
  const space = root.lookup("populace.v1") as protobuf.Namespace;
  root.resolveAll();
  const comment = (text: string | null, indent: string): string[] => (text === null ? [] : [`${indent}/** ${text.replaceAll("\n", " ")} */`]);
  const lines = ["// Generated from control.proto by write-contract.ts; do not edit.", ""];
  for (const message of space.nestedArray.filter((each): each is protobuf.Type => each instanceof protobuf.Type)) {
    lines.push(...comment(message.comment, ""), `export interface ${message.name} {`);
    for (const field of message.fieldsArray) {
      lines.push(...comment(field.comment, "  "), `  readonly ${field.name}${field.options?.["proto3_optional"] === true ? "?" : ""}: ${typeOf(field)};`);
    }
    lines.push("}", "");
  }
  const service = space.lookupService("Control");
  lines.push("/** Request, answer and whether there are many of them, by method. */", "export interface ControlMethods {");
  for (const method of service.methodsArray) lines.push(...comment(method.comment, "  "), `  readonly ${method.name}: { readonly request: ${method.requestType}; readonly reply: ${method.responseType}; readonly streams: ${method.responseStream === true} };`);
  lines.push("}", "", "/** The descriptor of control.proto. */", `export const CONTROL_DESCRIPTOR = ${JSON.stringify(root.toJSON())} as const;`, "");
  return lines.join("\n");
}

function typeOf(field: protobuf.Field): string {
  const one = field.type === "string" ? "string" : field.type === "bytes" ? "Uint8Array" : field.type === "bool" ? "boolean" : NUMERIC.has(field.type) ? "number" : field.type;
  if (field instanceof protobuf.MapField) return `Readonly<Record<string, ${one}>>`;
  if (field.repeated) return `readonly ${one}[]`;
  return field.resolvedType === null ? one : `${one} | null`;
}
