/** The fourth word of every Philox counter of the kernel: what the draw is for (SPEC.md, "Random numbers"). */
export const PURPOSE = {
  drawHigh: 1, drawLow: 2, leaveHigh: 3, share: 4, return: 5, awareHigh: 6, leaveLow: 7, awareLow: 8,
  drawCount: 9, drawSpot: 10, leaveCount: 11, leaveSpot: 12, trait: 16,
} as const;

/** Fourth counter word when a persona's key is derived: "Popu". */
export const KEY_PURPOSE = 0x506f7075;
