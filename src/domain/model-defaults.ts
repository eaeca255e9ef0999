import { CodedError } from "./errors.ts";

/** What of sampling a model's publisher may recommend, and in which bounds. Names and meanings are the wire's. */
export const SAMPLING_RANGES = {
  temperature: { least: 0, most: 2, whole: false },
  top_p: { least: 0, most: 1, whole: false },
  top_k: { least: 0, most: 1_000_000, whole: true },
  min_p: { least: 0, most: 1, whole: false },
  typical_p: { least: 0, most: 1, whole: false },
  repeat_penalty: { least: 0.01, most: 10, whole: false },
  repeat_last_n: { least: -1, most: 1_000_000, whole: true },
  presence_penalty: { least: -2, most: 2, whole: false },
  frequency_penalty: { least: -2, most: 2, whole: false },
} as const;

export type SamplingDefaults = Readonly<Partial<Record<keyof typeof SAMPLING_RANGES, number>>>;

/** What requests get that leave it out. */
export interface ModelDefaults {
  readonly sampling: SamplingDefaults;
  /** For chats without a system message. */
  readonly systemPrompt?: string | undefined;
}

export const NO_DEFAULTS: ModelDefaults = { sampling: {} };

/** UTF-16 code units: what a variable of a PROGRAM message holds. */
export const MAX_SYSTEM_PROMPT = 4096;

/** Errors: `config_invalid`, which names the member at fault. */
export function parseSamplingDefaults(value: unknown): SamplingDefaults {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid('sampling defaults are an object, such as {"temperature": 0.7}');
  }
  for (const [name, given] of Object.entries(value)) {
    if (!Object.hasOwn(SAMPLING_RANGES, name)) {
      throw invalid(
        `"${name.slice(0, 100)}" is no sampling default; there are ${Object.keys(SAMPLING_RANGES).join(", ")}`,
      );
    }
    const { least, most, whole } = SAMPLING_RANGES[name as keyof typeof SAMPLING_RANGES];
    if (typeof given === "number" && given >= least && given <= most && (!whole || Number.isInteger(given))) continue;
    throw invalid(
      `the sampling default "${name}" is ${whole ? "a whole number" : "a number"} from ${least} to ${most}`,
    );
  }
  return value;
}

function invalid(message: string): CodedError {
  return new CodedError("config_invalid", message);
}
