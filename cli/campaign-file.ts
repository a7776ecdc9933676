import { readDocument } from "@populace/studies";
import type { Campaign } from "@populace/domain";

/**
 * The campaigns of a YAML or JSON file: `campaigns: [{id, stimuli, economicValueMinor?, step?, contactCostMinor?, leaveCostMinor?}]`, or the bare
 * list. Throws FILE_MISSING, or BAD_STUDY naming file, line and key; whether the model knows the stimuli is checked when the
 * campaigns are ranked.
 */
export function readCampaigns(path: string): readonly Campaign[] {
  const root = readDocument(path, "BAD_STUDY");
  const list = root.isList ? root : root.only(["campaigns"]).at("campaigns");
  const entries = list.list();
  if (entries.length === 0) list.fail("expected at least one campaign, such as {id: spring, stimuli: [newsletter], economicValueMinor: 500}");
  const seen = new Set<string>();
  return entries.map((entry) => {
    entry.only(["id", "stimuli", "economicValueMinor", "step", "contactCostMinor", "leaveCostMinor"]);
    const id = entry.at("id").text();
    if (seen.has(id)) entry.at("id").fail(`"${id}" is used twice; campaigns need different ids`);
    seen.add(id);
    const stimuli = entry.at("stimuli").texts([]);
    if (stimuli.length === 0) entry.fail(`campaign "${id}" names no stimuli; expected stimuli: [ID, …]`);
    return {
      id, stimuli,
      ...(entry.at("economicValueMinor").absent ? {} : { economicValueMinor: entry.at("economicValueMinor").number({ min: 0 }) }),
      ...(entry.at("step").absent ? {} : { step: entry.at("step").text() }),
      ...(entry.at("contactCostMinor").absent ? {} : { contactCostMinor: entry.at("contactCostMinor").number({ min: 0 }) }),
      ...(entry.at("leaveCostMinor").absent ? {} : { leaveCostMinor: entry.at("leaveCostMinor").number({ min: 0 }) }),
    };
  });
}
