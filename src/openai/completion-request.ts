import * as z from "zod";

import { CodedError } from "../domain/errors.ts";
import { NO_DEFAULTS, type ModelDefaults } from "../domain/model-defaults.ts";
import type { GenerateRequest, Prompt, TokenizedParts } from "../domain/generation.ts";
import { readBody, schemaOf } from "./body.ts";
import { honoured, type Field } from "./field.ts";
import { ACCOUNT_FIELDS, CHOICE_FIELDS, REPORT_FIELDS, SHARED_FIELDS, tokenLimit } from "./fields.ts";
import { ignoredOf, toTask, toSettings, type RequestSettings } from "./request.ts";
import { boolean, integer, string } from "./schemas.ts";
import { textList } from "./token-parts.ts";

/** OpenAI's, where nothing else is asked for. */
const DEFAULT_MAX_TOKENS = 16;
/** More is a batch job, and each of them is a request of its own to the engine. */
const MAX_PROMPTS = 256;

const prompt = textList(MAX_PROMPTS, "prompts");

const maxTokensError = { error: "an integer of at least 0, or -1 for no limit" };

/** What all routes that continue a text take. */
export const TEXT_FIELDS = {
  ...SHARED_FIELDS,
  ...CHOICE_FIELDS,
  ...REPORT_FIELDS,
  n_probs: honoured(
    REPORT_FIELDS.n_probs.schema,
    "likeliest tokens reported beside each, with the probabilities of all",
  ),
  ...ACCOUNT_FIELDS,
} as const satisfies Record<string, Field>;

export const COMPLETION_FIELDS = {
  prompt: honoured(prompt, "what to continue: a string, token ids, or an array of several such prompts"),
  ...TEXT_FIELDS,
  max_tokens: honoured(
    z.union([tokenLimit, z.literal(0, maxTokensError)], maxTokensError).optional(),
    `tokens of each answer, default ${DEFAULT_MAX_TOKENS}; -1 is no limit; 0 only with echo`,
  ),
  n: honoured(integer(1, 20).optional(), "answers to each prompt"),
  echo: honoured(boolean().default(false), "put the prompt in front of the answer, its probabilities included"),
  best_of: honoured(integer(1, 20).optional(), "answers that are computed; the n likeliest of them are sent"),
  logprobs: honoured(integer(0, 5).optional(), "likeliest tokens reported beside each, with the probabilities of all"),
  suffix: honoured(string().optional(), "what comes after the answer, for models that fill in the middle"),
} as const;

const completionBody = z.object(schemaOf(COMPLETION_FIELDS));

type CompletionBody = z.output<typeof completionBody>;

export interface CompletionRequest extends RequestSettings {
  /** One for each prompt; all have the same count of choices. */
  readonly generate: readonly GenerateRequest[];
  readonly echo: boolean;
  /** Answers to each prompt that are sent. */
  readonly wanted: number;
  /** Whether token probabilities, and ids, are sent. */
  readonly logprobs: boolean;
  readonly returnTokens: boolean;
  /** Members of a whole answer that are wanted; none is all. */
  readonly responseFields: readonly string[];
}

/**
 * Body of POST /v1/completions → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseCompletionRequest(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): CompletionRequest {
  const { fields, ignored } = readBody(COMPLETION_FIELDS, completionBody, body, defaults.sampling);
  const limit = fields.n_predict ?? fields.max_tokens ?? DEFAULT_MAX_TOKENS;
  if (fields.max_tokens === 0 && limit === 0 && !fields.echo) {
    throw invalid("max_tokens", "an integer of at least 1, or 0 together with 'echo': true, got 0");
  }
  const { wanted, computed } = countChoices(fields);
  const likeliest = fields.logprobs ?? (fields.n_probs > 0 ? fields.n_probs : undefined);
  if (fields.post_sampling_probs && fields.echo && likeliest !== undefined) {
    throw invalid(
      "post_sampling_probs",
      "false together with 'echo' and 'logprobs', since no prompt was sampled, got true",
    );
  }
  const isStream = fields.stream;
  const task: Omit<GenerateRequest, "prompt"> = {
    ...toTask(fields, computed, limit),
    // The best answers are known by their tokens' probabilities.
    topLogprobs: likeliest ?? (computed > wanted ? 0 : undefined),
    postSampling: fields.post_sampling_probs,
    reportIds: fields.return_tokens,
    ...(fields.echo && likeliest !== undefined && { promptLogprobs: likeliest }),
  };
  return {
    ...toSettings(fields, ignoredOf(fields, ignored)),
    generate: fields.prompt.map((parts) => ({ prompt: toPrompt(parts, fields.suffix), ...task })),
    echo: fields.echo,
    wanted,
    logprobs: likeliest !== undefined,
    returnTokens: fields.return_tokens,
    responseFields: isStream ? [] : fields.response_fields,
  };
}

function countChoices(fields: CompletionBody): { wanted: number; computed: number } {
  const wanted = fields.n ?? fields.n_cmpl ?? 1;
  const computed = fields.best_of ?? wanted;
  if (computed < wanted) throw invalid("best_of", `an integer of at least 'n', which is ${wanted}, got ${computed}`);
  if (computed > wanted && fields.stream) {
    throw invalid("best_of", `as much as 'n' together with 'stream': true, got ${computed}`);
  }
  return { wanted, computed };
}

function toPrompt(parts: TokenizedParts, suffix: string | undefined): Prompt {
  if (suffix === undefined || suffix === "") return { kind: "text", parts };
  if (!parts.every((part) => typeof part === "string")) {
    throw invalid("prompt", "text together with 'suffix', got token ids");
  }
  return { kind: "infill", prefix: parts.join(""), suffix, text: "", extra: [] };
}

function invalid(param: string, expected: string): CodedError {
  return new CodedError("invalid_value", `Invalid value for '${param}': expected ${expected}.`, { param });
}
