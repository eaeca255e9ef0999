import * as z from "zod";

import type { ChatTask } from "../../domain/chat.ts";
import { CodedError } from "../../domain/errors.ts";
import type { ChatMessage } from "../../domain/generation.ts";
import { NO_DEFAULTS, type ModelDefaults } from "../../domain/model-defaults.ts";
import { schemaToGrammar } from "../../grammar/json-schema.ts";
import { readBody, schemaOf } from "../body.ts";
import { asIgnored, honoured, refused, type Field } from "../field.ts";
import { ACCOUNT_FIELDS, CHOICE_FIELDS, REPORT_FIELDS, SHARED_FIELDS, TEMPLATE_FIELDS } from "../fields.ts";
import { withSystem } from "../messages.ts";
import { toSettings, toTask, type RequestSettings } from "../request.ts";
import { boolean, integer, identifier, nullable, oneOf, string } from "../schemas.ts";
import { input, toItems, toMessages, type InputItem } from "./items.ts";
import { toolChoice, tools, toTools } from "./tools.ts";

const format = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.object({
      type: z.literal("json_schema"),
      name: identifier(),
      schema: z.unknown().refine((schema) => schema !== undefined, { error: "a JSON Schema object" }),
      strict: nullable(boolean()),
      description: nullable(string()),
    }),
  ],
  { error: 'a format of the type "text", "json_object" or "json_schema"' },
);
const textError = { error: "an object with `format`" };
const textSettings = z.object(
  { format: nullable(format), verbosity: nullable(oneOf("low", "medium", "high")) },
  textError,
);
const reasoning = z.object(
  {
    effort: nullable(oneOf("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    summary: nullable(oneOf("auto", "concise", "detailed")),
    generate_summary: nullable(oneOf("auto", "concise", "detailed")),
  },
  { error: "an object with `effort`" },
);
const streamOptions = z.object(
  { include_obfuscation: nullable(boolean()) },
  { error: "an object with `include_obfuscation`" },
);

const { metadata: _metadata, store: _store, ...account } = ACCOUNT_FIELDS;

/** Every member that a body of POST /v1/responses may hold. */
export const RESPONSE_FIELDS = {
  input: honoured(input, "a text, or items: messages, calls and their outputs"),
  instructions: honoured(string().optional(), "a system message in front; not carried over to the next response"),
  previous_response_id: honoured(string().optional(), "the stored response that this one follows"),
  max_output_tokens: honoured(integer(1).optional(), "tokens of the answer"),
  background: honoured(boolean().default(false), "answer at once and go on; read it by its id"),
  store: honoured(boolean().default(true), "keep it for reading by its id"),
  stream_options: honoured(streamOptions.optional(), "include_obfuscation has no effect"),
  text: honoured(textSettings.optional(), "format: text, a JSON object, or JSON of a schema"),
  tools: honoured(tools.optional(), "functions that the model may call; tools that OpenAI hosts are dropped"),
  tool_choice: honoured(toolChoice.optional(), "none, auto, required, one function, or some of them"),
  parallel_tool_calls: honoured(boolean().default(true), "false is at most one call"),
  reasoning: honoured(reasoning.optional(), "effort: how much thinking the template is asked for"),
  include: honoured(z.array(string(), { error: "an array of strings" }).optional(), "message.output_text.logprobs"),
  top_logprobs: honoured(integer(0, 20).default(0), "likeliest tokens reported beside each"),
  truncation: honoured(
    oneOf("auto", "disabled").default("disabled"),
    "auto drops the oldest items of what is too long",
  ),
  metadata: honoured(ACCOUNT_FIELDS.metadata.schema, "kept with the response"),
  max_tool_calls: {
    use: "accepted",
    schema: integer(1).optional(),
    meaning: "counts hosted tools, of which there are none",
  },
  conversation: refused("this server keeps responses, not conversations. Give previous_response_id."),
  prompt: refused("this server stores no prompt templates. Leave it out."),
  ...SHARED_FIELDS,
  ...TEMPLATE_FIELDS,
  n_predict: CHOICE_FIELDS.n_predict,
  stop: CHOICE_FIELDS.stop,
  ...asIgnored(REPORT_FIELDS),
  ...account,
} as const satisfies Record<string, Field>;

const responseBody = z.object(schemaOf(RESPONSE_FIELDS));
type ResponseBody = z.output<typeof responseBody>;

/** What a response shows of its request. */
export type ResponseEcho = Readonly<Record<string, unknown>>;

export interface ResponseRequest extends RequestSettings {
  /** This request's own items. */
  readonly items: readonly InputItem[];
  readonly previousId: string | undefined;
  readonly background: boolean;
  readonly store: boolean;
  readonly truncates: boolean;
  readonly wantsLogprobs: boolean;
  readonly echo: ResponseEcho;
  /** The task over the earlier items and this request's. Errors: `invalid_value` where no message is left. */
  toTask(earlier: readonly InputItem[]): ChatTask;
}

/**
 * Body of POST /v1/responses → what it asks for.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseResponseRequest(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): ResponseRequest {
  const { fields, ignored } = readBody(RESPONSE_FIELDS, responseBody, body, defaults.sampling);
  if (fields.background && !fields.store) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'store': expected true together with 'background': true.",
      {
        param: "store",
      },
    );
  }
  const { definitions, choice, dropped } = toTools(fields.tools, fields.tool_choice);
  const items = toItems(fields.input);
  const { stream_options: options, ...rest } = fields;
  const settings = toSettings({ ...rest, stream_options: undefined }, dropped ? [...ignored, "tools"] : ignored);
  if (options !== undefined && !fields.stream) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'stream_options': expected it only together with 'stream': true.",
      { param: "stream_options" },
    );
  }
  const wantsLogprobs = (fields.include ?? []).includes("message.output_text.logprobs");
  const task: Omit<ChatTask, "messages"> = {
    tools: definitions,
    toolChoice: choice,
    parallelCalls: fields.parallel_tool_calls,
    thinking: "auto",
    ending: "answer",
    variables: toVariables(fields),
    generate: {
      ...toTask({ ...rest, stream_options: undefined }, 1, fields.n_predict ?? fields.max_output_tokens),
      ...toFormatGrammar(fields),
      topLogprobs: wantsLogprobs || fields.top_logprobs > 0 ? fields.top_logprobs : undefined,
    },
  };
  return {
    ...settings,
    items,
    previousId: fields.previous_response_id,
    background: fields.background,
    store: fields.store,
    truncates: fields.truncation === "auto",
    wantsLogprobs,
    echo: toEcho(fields),
    toTask: (earlier) => ({
      ...task,
      messages: withSystem(toMessages([...earlier, ...items], fields.instructions), defaults),
    }),
  };
}

/** The messages without the oldest that may go: system messages and the last message stay. Undefined when none may. */
export function withoutOldest(messages: readonly ChatMessage[]): readonly ChatMessage[] | undefined {
  const oldest = messages.findIndex(({ role }, index) => role !== "system" && index < messages.length - 1);
  if (oldest < 0) return undefined;
  // Half of what is there at once, so that a long conversation is not tried a thousand times.
  const count = Math.max(1, Math.floor((messages.length - 1 - oldest) / 4));
  const kept = messages.filter(({ role }, index) => index < oldest || index >= oldest + count || role === "system");
  // A tool's result without its call means nothing.
  const first = kept.findIndex(({ role }) => role !== "system");
  return kept.filter(({ role }, index) => !(role === "tool" && index === first));
}

function toVariables({ reasoning: given, chat_template_kwargs: more }: ResponseBody): Record<string, unknown> {
  const effort = given?.effort;
  return {
    ...(effort !== undefined && { reasoning_effort: effort, ...(effort === "none" && { enable_thinking: false }) }),
    ...more,
  };
}

function toFormatGrammar(fields: ResponseBody): { readonly grammar?: string } {
  const given = fields.text?.format;
  if (given === undefined || given.type === "text") return {};
  for (const other of ["grammar", "json_schema"] as const) {
    if (fields[other] === undefined) continue;
    throw new CodedError("invalid_value", `Invalid value for '${other}': expected it only without 'text.format'.`, {
      param: other,
    });
  }
  if (given.type === "json_object") {
    return { grammar: schemaToGrammar({ type: "object" }, { strict: false, param: "text.format" }) };
  }
  return { grammar: schemaToGrammar(given.schema, { strict: given.strict ?? false, param: "text.format.schema" }) };
}

function toEcho(fields: ResponseBody): ResponseEcho {
  const { effort = null, summary = null } = fields.reasoning ?? {};
  return {
    background: fields.background,
    instructions: fields.instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    max_tool_calls: fields.max_tool_calls ?? null,
    metadata: fields.metadata ?? {},
    parallel_tool_calls: fields.parallel_tool_calls,
    previous_response_id: fields.previous_response_id ?? null,
    prompt_cache_key: fields.prompt_cache_key ?? null,
    reasoning: { effort, summary },
    safety_identifier: fields.safety_identifier ?? null,
    service_tier: "default",
    store: fields.store,
    temperature: fields.temperature,
    text: { format: fields.text?.format ?? { type: "text" }, verbosity: fields.text?.verbosity ?? "medium" },
    tool_choice: fields.tool_choice ?? "auto",
    tools: (fields.tools ?? []).map((tool) => ({ ...tool, strict: "strict" in tool ? (tool.strict ?? null) : null })),
    top_logprobs: fields.top_logprobs,
    top_p: fields.top_p,
    truncation: fields.truncation,
    user: fields.user ?? null,
  };
}
