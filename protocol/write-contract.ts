// Writes protocol/contract.generated.txt.
import { writeFileSync } from "node:fs";
import { contractText } from "./contract.ts";

writeFileSync(new URL("contract.generated.txt", import.meta.url), contractText());
