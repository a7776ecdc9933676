/** Branded identifiers: a recipient cannot stand in for a persona. */
type Brand<T, Name extends string> = T & { readonly __brand: Name };

export type RecipientId = Brand<string, "RecipientId">;
export type PersonaId = Brand<string, "PersonaId">;
export type StimulusId = Brand<string, "StimulusId">;
export type CampaignId = Brand<string, "CampaignId">;
export type RunId = Brand<string, "RunId">;
export type TenantId = Brand<string, "TenantId">;

/** Names a plain string as an id of the wanted brand; no check is made. */
export const id = <T extends string>(text: string): T => text as T;
