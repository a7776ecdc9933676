export const OBSERVATIONAL = "The stimuli were not assigned at random: differences between them are observational, and may be differences between the people who met them.";
export const PRIOR_ONLY = "No data yet: every rate rests on the author's intervals alone (prior only).";
