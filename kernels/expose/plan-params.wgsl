// Fields of the parameters of every program that reads a plan: its sizes, and where in `plan` its arrays begin (webgpu-plan.ts writes
// both). To be included within `struct Params`.
  worlds: u32,
  personas: u32,
  stimuli: u32,
  steps: u32,
  isFactor: u32, // the codes are factors, and each persona has weights of its own
  isWide: u32, // profile nest16-2
  numericWords: u32, // words of an agent's codes that hold numbers: four int8, or two int16 where they are wide
  levelSlots: u32, // codes that are looked up, int8, in the words after them
  codeWords: u32,
  rowWords: u32, // of a row of weights, int16
  tableLength: u32,
  personaTable: u32, // PERSONA_WORDS each
  weights: u32, // (world, stimulus, step), in the factor form (world, persona, stimulus, step)
  tables: u32, // (world, stimulus, step)
  tableOffset: u32, // of each level slot
  bias: u32, // (world, persona, stimulus, step)
  offset: u32, // (tick, persona, stimulus, step)
