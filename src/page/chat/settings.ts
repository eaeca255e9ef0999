/** What a request says besides the conversation. An empty field leaves it to the server. Pure. */

export interface NumberField {
  readonly name: string;
  readonly label: string;
  readonly hint: string;
  readonly min?: number;
  readonly max?: number;
  readonly step: number | "any";
}

export interface FieldGroup {
  readonly title: string;
  readonly fields: readonly NumberField[];
}

const number = (
  name: string,
  label: string,
  hint: string,
  { min, max, step = "any" }: { min?: number; max?: number; step?: number | "any" } = {},
): NumberField => ({
  name,
  label,
  hint,
  step,
  ...(min === undefined ? {} : { min }),
  ...(max === undefined ? {} : { max }),
});

export const FIELD_GROUPS: readonly FieldGroup[] = [
  {
    title: "Sampling",
    fields: [
      number("temperature", "Temperature", "0 always takes the likeliest token", { min: 0, max: 2 }),
      number("top_p", "Top p", "probability mass kept; 1 keeps all", { min: 0, max: 1 }),
      number("top_k", "Top k", "candidates kept; 0 keeps all", { min: 0, step: 1 }),
      number("min_p", "Min p", "least share of the best one's probability", { min: 0, max: 1 }),
      number("max_tokens", "Longest answer", "tokens; -1 is no limit", { min: -1, step: 1 }),
      number("seed", "Seed", "the same seed repeats an answer", { min: 0, step: 1 }),
    ],
  },
  {
    title: "Repetition",
    fields: [
      number("repeat_penalty", "Repeat penalty", "1 is off", { min: 0 }),
      number("repeat_last_n", "Looks back", "tokens; 0 is off, -1 all", { min: -1, step: 1 }),
      number("presence_penalty", "Presence penalty", "0 is off", { min: -2, max: 2 }),
      number("frequency_penalty", "Frequency penalty", "0 is off", { min: -2, max: 2 }),
      number("dry_multiplier", "DRY strength", "against repeated sequences; 0 is off", { min: 0 }),
      number("dry_base", "DRY base", "growth with their length", { min: 0 }),
      number("dry_allowed_length", "DRY free length", "tokens", { min: 0, step: 1 }),
    ],
  },
  {
    title: "llama.cpp's own",
    fields: [
      number("typical_p", "Typical p", "locally typical mass; 1 keeps all", { min: 0, max: 1 }),
      number("top_n_sigma", "Top n sigma", "deviations below the best; -1 is off", { min: -1 }),
      number("xtc_probability", "XTC probability", "0 is off", { min: 0, max: 1 }),
      number("xtc_threshold", "XTC threshold", "above 0.5 is off", { min: 0, max: 1 }),
      number("dynatemp_range", "Dynamic temperature", "range; 0 is off", { min: 0 }),
      number("mirostat", "Mirostat", "1 or 2 replace the samplers above", { min: 0, max: 2, step: 1 }),
      number("mirostat_tau", "Mirostat target", "bits of surprise", { min: 0 }),
      number("mirostat_eta", "Mirostat rate", "how fast it learns", { min: 0 }),
    ],
  },
];

/** Texts, as they stand in the fields. */
export interface Settings {
  readonly systemPrompt: string;
  readonly numbers: Readonly<Record<string, string>>;
  /** A JSON array of OpenAI's functions. */
  readonly tools: string;
  /** A JSON object of further members of the request. */
  readonly others: string;
}

export const NO_SETTINGS: Settings = { systemPrompt: "", numbers: {}, tools: "", others: "" };

export function toSampling({ numbers, others }: Settings): Record<string, unknown> {
  const known = FIELD_GROUPS.flatMap(({ fields }) => fields.map(({ name }) => name));
  const given = known.flatMap((name): [string, number][] => {
    const text = numbers[name]?.trim() ?? "";
    return text === "" || !Number.isFinite(Number(text)) ? [] : [[name, Number(text)]];
  });
  const { value } = parseOthers(others);
  return { ...Object.fromEntries(given), ...value };
}

export function parseOthers(text: string): { value?: Record<string, unknown>; fault?: string } {
  const { value, fault } = parse(text);
  if (fault !== undefined || value === undefined) return fault === undefined ? {} : { fault };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { fault: "must be a JSON object" };
  return { value: value as Record<string, unknown> };
}

export function parseTools(text: string): { value?: readonly unknown[]; fault?: string } {
  const { value, fault } = parse(text);
  if (fault !== undefined || value === undefined) return fault === undefined ? {} : { fault };
  if (!Array.isArray(value)) return { fault: "must be a JSON array" };
  return value.length === 0 ? {} : { value: value as readonly unknown[] };
}

function parse(text: string): { value?: unknown; fault?: string } {
  if (text.trim() === "") return {};
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    return { fault: `is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
}
