import { decode, gridMoments } from "@populace/domain";
import type { Campaign, ScoreTable } from "@populace/domain";

/** A request the table's own gateway answers: a recipient in the middle of the first persona, and the campaigns it holds or one of the first contact. */
export function sampleRequest(table: ScoreTable, campaigns: readonly Campaign[]): Readonly<Record<string, unknown>> {
  const persona = table.mixture.personas[0];
  const attributes = Object.fromEntries(table.mixture.codings.map((coding, index) => {
    const trait = persona.traits[index];
    const { distribution } = trait;
    if (distribution.kind === "binary") return [coding.name, decode(coding, distribution.alpha > distribution.beta ? 64 : 0)];
    if (distribution.kind === "categorical") return [coding.name, decode(coding, distribution.alphas.indexOf(Math.max(...distribution.alphas)))];
    const value = Number(decode(coding, gridMoments(coding, trait).mean));
    return [coding.name, coding.kind === "count" || Math.abs(value) >= 100 ? Math.max(0, Math.round(value)) : Number(value.toPrecision(3))];
  }));
  const contact = table.stimuli.find((stimulus) => stimulus.contact) ?? table.stimuli[0];
  return { recipient: { id: "r1", attributes }, ...(campaigns.length > 0 ? {} : { campaigns: [{ id: "sample", stimuli: [contact.id], economicValueMinor: 1000 }] }), topN: 3 };
}
