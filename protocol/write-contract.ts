// Writes protocol/control.generated.ts and protocol/contract.generated.txt.
import { readFileSync, writeFileSync } from "node:fs";
import { contractText } from "./contract.ts";
import { controlSource } from "./control-source.ts";

const proto = readFileSync(new URL("control.proto", import.meta.url), "utf8");
writeFileSync(new URL("control.generated.ts", import.meta.url), controlSource(proto));
writeFileSync(new URL("contract.generated.txt", import.meta.url), contractText(proto));
