import { z } from "zod";

import { CodedError } from "../domain/errors.ts";
import type { GenerateRequest, TextPrompt, TokenizedParts } from "../domain/generation.ts";
import { readBody, schemaOf } from "./body.ts";
import { CHAT_FIELDS, honoured, neutral, tokenLimit } from "./fields.ts";
import { toTask, toSettings, type RequestSettings } from "./request.ts";
import { boolean, integer, string } from "./schemas.ts";
import { tokenizedPart, tokenizedParts } from "./token-parts.ts";

/** OpenAI's, where nothing else is asked for. */
const DEFAULT_MAX_TOKENS = 16;
/** More is a batch job, and each of them is a request of its own to the engine. */
const MAX_PROMPTS = 256;

const promptError = { error: "a string, an array of strings, an array of token ids, or an array of such arrays" };
const parts = tokenizedParts.min(1, promptError);
const list = z.array(z.union([tokenizedPart, parts], promptError), promptError).min(1, promptError);

/** One prompt or several, each as texts and token ids in order. */
const prompt = z
  .union([z.string(), list], promptError)
  .transform(toPrompts)
  .refine((prompts) => prompts.length <= MAX_PROMPTS, { error: `at most ${MAX_PROMPTS} prompts` });

/** A flat array with a number in it is one prompt; of strings alone, each is a prompt. */
function toPrompts(given: string | z.output<typeof list>): readonly TokenizedParts[] {
  if (typeof given === "string") return [[given]];
  if (given.some((item) => typeof item === "number") && given.every((item) => !Array.isArray(item))) {
    return [given as TokenizedParts];
  }
  return given.map((item) => (Array.isArray(item) ? item : [item]));
}

const maxTokensError = { error: "an integer of at least 0, or -1 for no limit" };
export const NO_LOGPROBS = "this server does not report token probabilities on this route yet. Leave it out.";
const NO_FIM = "this server does not fill in the middle. Leave it out.";

const {
  messages: _messages,
  max_completion_tokens: _maxCompletionTokens,
  logprobs: _logprobs,
  top_logprobs: _topLogprobs,
  tools: _tools,
  tool_choice: _toolChoice,
  parallel_tool_calls: _parallelToolCalls,
  functions: _functions,
  function_call: _functionCall,
  modalities: _modalities,
  audio: _audio,
  web_search_options: _webSearchOptions,
  reasoning_effort: _reasoningEffort,
  reasoning_format: _reasoningFormat,
  chat_template_kwargs: _chatTemplateKwargs,
  add_generation_prompt: _addGenerationPrompt,
  continue_final_message: _continueFinalMessage,
  ...shared
} = CHAT_FIELDS;

/** What all routes that continue a text take: the chat route's fields without those that belong to conversations. */
export const TEXT_FIELDS = {
  ...shared,
  top_logprobs: neutral(integer(0, 20), (count) => count === 0, NO_LOGPROBS),
} as const;

export const COMPLETION_FIELDS = {
  prompt: honoured(prompt, "what to continue: a string, token ids, or an array of several such prompts"),
  ...TEXT_FIELDS,
  max_tokens: honoured(
    z.union([tokenLimit, z.literal(0)], maxTokensError).optional(),
    `tokens of each answer, default ${DEFAULT_MAX_TOKENS}; -1 is no limit; 0 only with echo`,
  ),
  n: honoured(integer(1, 20).optional(), "answers to each prompt"),
  echo: honoured(boolean().default(false), "put the prompt in front of the answer"),
  best_of: neutral(integer(1, 20), (count) => count === 1, NO_LOGPROBS),
  logprobs: neutral(integer(0, 5), () => false, NO_LOGPROBS),
  suffix: neutral(string(), (text) => text === "", NO_FIM),
} as const;

const completionBody = z.object(schemaOf(COMPLETION_FIELDS));

export interface CompletionRequest extends RequestSettings {
  /** One for each prompt; all have the same count of choices. */
  readonly generate: readonly GenerateRequest[];
  readonly echo: boolean;
}

/**
 * Body of POST /v1/completions → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  const { fields, ignored } = readBody(COMPLETION_FIELDS, completionBody, body);
  const limit = fields.n_predict ?? fields.max_tokens ?? DEFAULT_MAX_TOKENS;
  if (fields.max_tokens === 0 && limit === 0 && !fields.echo) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'max_tokens': expected an integer of at least 1, or 0 together with 'echo': true, got 0.",
      { param: "max_tokens" },
    );
  }
  const choices = fields.n ?? fields.n_cmpl ?? 1;
  const task = toTask(fields, choices, limit);
  return {
    ...toSettings(fields, ignored),
    generate: fields.prompt.map((given): GenerateRequest => {
      const textPrompt: TextPrompt = { kind: "text", parts: given };
      return { prompt: textPrompt, ...task };
    }),
    echo: fields.echo,
  };
}
