import * as z from "zod";

import type { ChatTask } from "../domain/chat.ts";
import { NO_DEFAULTS, type ModelDefaults } from "../domain/model-defaults.ts";
import { schemaToGrammar } from "../grammar/json-schema.ts";
import { readBody, schemaOf } from "../openai/body.ts";
import { accepted, asIgnored, honoured, refused, type Field } from "../openai/field.ts";
import { CHOICE_FIELDS, REPORT_FIELDS, SHARED_FIELDS, TEMPLATE_FIELDS } from "../openai/fields.ts";
import { withSystem } from "../openai/messages.ts";
import { toSettings, toTask, type RequestSettings } from "../openai/request.ts";
import { invalidValue } from "../openai/refusal.ts";
import { integer, number, object, oneOf, string } from "../openai/schemas.ts";
import { messages, system, toMessages, type WireMessage } from "./blocks.ts";
import { toolChoice, tools, toTools } from "./tools.ts";

const MAX_STOPS = 64;
const stopError = { error: `an array of at most ${MAX_STOPS} strings` };
const thinking = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("enabled"), budget_tokens: integer(1).nullish() }),
    z.object({ type: z.enum(["adaptive", "disabled"]) }),
  ],
  { error: '"enabled", "adaptive" or "disabled"' },
);
const formatError = { error: 'an object with the type "json_schema" and `schema`' };
const outputConfig = z.object(
  {
    effort: oneOf("low", "medium", "high", "xhigh", "max").nullish(),
    // Whatever the schema is, the converter says what is wrong with it.
    format: z.object({ type: oneOf("json_schema"), schema: z.unknown().optional() }, formatError).nullish(),
  },
  { error: "an object with `effort` or `format`" },
);

/** Every member that the body of POST /v1/messages may hold. */
export const MESSAGE_FIELDS = {
  messages: honoured(messages, "the conversation to continue; an assistant's message at the end is gone on with"),
  max_tokens: honoured(integer(1), "tokens of the answer, required"),
  n_predict: CHOICE_FIELDS.n_predict,
  system: honoured(system.optional(), "a system message in front"),
  ...SHARED_FIELDS,
  ...TEMPLATE_FIELDS,
  ...asIgnored(REPORT_FIELDS),
  temperature: honoured(number(0, 1).default(0.8), "0 is greedy"),
  stop_sequences: honoured(
    z.array(string(), stopError).max(MAX_STOPS, stopError).default([]),
    "texts that end the answer",
  ),
  tools: honoured(tools.optional(), "tools that the answer may use"),
  tool_choice: honoured(toolChoice.optional(), "auto, any, none, or one tool; whether one use is the most"),
  thinking: honoured(thinking.optional(), "whether the model is asked to think; budget_tokens has no effect"),
  output_config: honoured(outputConfig.optional(), "format: a JSON schema of the answer; effort is for the template"),
  // Not ignored: the client would go on to send nothing but its new messages.
  thread: refused("this server keeps no conversations. Leave it out and send all messages."),
  metadata: accepted(object()),
  cache_control: accepted(object()),
  service_tier: accepted(oneOf("auto", "standard_only")),
} as const satisfies Record<string, Field>;

const messageBody = z.object(schemaOf(MESSAGE_FIELDS));
type MessageBody = z.output<typeof messageBody>;

const { max_tokens: _limit, ...countFields } = MESSAGE_FIELDS;
export const MESSAGE_COUNT_FIELDS = {
  ...countFields,
  max_tokens: { use: "accepted", schema: integer(1).optional(), meaning: "no effect on the count" },
} as const satisfies Record<string, Field>;
const countBody = z.object(schemaOf(MESSAGE_COUNT_FIELDS));

export interface MessageRequest extends RequestSettings {
  readonly task: ChatTask;
}

/**
 * Body of POST /v1/messages → what the engine is asked.
 * Errors: `invalid_type`, `invalid_value`, `missing_required_parameter`, `unsupported_value`, `unsupported_parameter`,
 * `invalid_json_schema`, `invalid_grammar`.
 */
export function parseMessageRequest(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): MessageRequest {
  const { fields, ignored } = readBody(MESSAGE_FIELDS, messageBody, body, defaults.sampling);
  return toRequest(fields, ignored, defaults);
}

/** Body of POST /v1/messages/count_tokens, which may leave `max_tokens` out. Errors: as parseMessageRequest. */
export function parseMessageCount(body: unknown, defaults: ModelDefaults = NO_DEFAULTS): MessageRequest {
  const { fields, ignored } = readBody(MESSAGE_COUNT_FIELDS, countBody, body);
  return toRequest({ ...fields, max_tokens: 1 }, ignored, defaults);
}

function toRequest(fields: MessageBody, ignored: readonly string[], defaults: ModelDefaults): MessageRequest {
  const format = fields.output_config?.format ?? undefined;
  if (format !== undefined) refuseOtherForms(fields);
  const budget = fields.thinking?.type === "enabled" && typeof fields.thinking.budget_tokens === "number";
  const generate = toTask({ ...fields, stop: fields.stop_sequences }, 1, fields.n_predict ?? fields.max_tokens);
  const schema = { strict: false, param: "output_config.format.schema" };
  const named = toTools(fields.tools, fields.tool_choice);
  if (named.tools.length > 0 && fields.grammar !== undefined && fields.grammar !== "") {
    throw invalidValue("grammar", "it left out beside 'tools', whose calls have a form of their own");
  }
  return {
    ...toSettings(fields, budget ? [...ignored, "thinking.budget_tokens"] : ignored),
    task: {
      messages: withSystem(toMessages(fields.messages, fields.system), defaults),
      ...named,
      thinking: "auto",
      ending: canGoOn(fields.messages) ? "continue" : "answer",
      variables: toVariables(fields),
      generate: format === undefined ? generate : { ...generate, grammar: schemaToGrammar(format.schema, schema) },
    },
  };
}

function refuseOtherForms(fields: Pick<MessageBody, "grammar" | "json_schema">): void {
  for (const name of ["grammar", "json_schema"] as const) {
    if (fields[name] !== undefined) throw invalidValue(name, "it only without 'output_config.format'");
  }
}

/** Whether the last message is an answer that was begun. */
function canGoOn(given: readonly WireMessage[]): boolean {
  const last = given.at(-1);
  if (last?.role !== "assistant") return false;
  return typeof last.content === "string" || last.content.every(({ type }) => type !== "tool_use");
}

/** Without `thinking`, Anthropic's models do not think. The client's own variables win. */
function toVariables(fields: MessageBody): Record<string, unknown> {
  const { thinking: given, output_config: config, chat_template_kwargs: variables } = fields;
  const effort = config?.effort ?? undefined;
  return {
    enable_thinking: given !== undefined && given.type !== "disabled",
    ...(effort !== undefined && { reasoning_effort: effort }),
    ...variables,
  };
}
