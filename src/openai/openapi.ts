import * as z from "zod";

import { MESSAGE_COUNT_FIELDS, MESSAGE_FIELDS } from "../anthropic/request.ts";
import { ANSWERS, type AnswerName } from "./answers/answers.ts";
import { COMPLETION_FIELDS } from "./completion-request.ts";
import { schemaOf } from "./body.ts";
import type { Field } from "./field.ts";
import { CHAT_FIELDS } from "./fields.ts";
import { EMBEDDING_FIELDS, NATIVE_EMBEDDING_FIELDS } from "./embedding-request.ts";
import { INFILL_FIELDS } from "./infill-request.ts";
import { NATIVE_FIELDS } from "./native-request.ts";
import { RESPONSE_FIELDS } from "./responses/request.ts";
import { RERANK_FIELDS } from "./rerank.ts";
import { DETOKENIZE_FIELDS, TOKENIZE_FIELDS } from "./token-requests.ts";

/** Of the API; as in package.json. */
const VERSION = "0.1.0";

type Fields = Readonly<Record<string, Field>>;

interface Operation {
  readonly summary: string;
  /** The table that validates the body. */
  readonly body?: string;
  /** The answer as JSON. */
  readonly answer?: AnswerName;
  /** The data of each event, where the answer may be a stream. */
  readonly event?: AnswerName;
  /** The answer's media types, where it is no JSON of a described form. */
  readonly answers?: readonly string[];
  readonly parameters?: readonly object[];
  /** The shape of refusals. Default: OpenAI's. */
  readonly refusal?: string;
  /** The only status, where it is a refusal. */
  readonly status?: number;
}

interface Route {
  readonly aliases?: readonly string[];
  readonly get?: Operation;
  readonly post?: Operation;
  readonly delete?: Operation;
}

/** The tables that validate request bodies, by the name that the document gives them. */
export const BODIES: Readonly<Record<string, Fields>> = {
  ChatRequest: CHAT_FIELDS,
  CompletionRequest: COMPLETION_FIELDS,
  NativeRequest: NATIVE_FIELDS,
  ResponseRequest: RESPONSE_FIELDS,
  MessageRequest: MESSAGE_FIELDS,
  MessageCountRequest: MESSAGE_COUNT_FIELDS,
  InfillRequest: INFILL_FIELDS,
  EmbeddingRequest: EMBEDDING_FIELDS,
  NativeEmbeddingRequest: NATIVE_EMBEDDING_FIELDS,
  RerankRequest: RERANK_FIELDS,
  TokenizeRequest: TOKENIZE_FIELDS,
  DetokenizeRequest: DETOKENIZE_FIELDS,
};

const modelId = { name: "id", in: "path", required: true, schema: { type: "string" } };
const slotId = { name: "id", in: "path", required: true, schema: { type: "integer" } };
const slotAction = { name: "action", in: "query", required: true, schema: { enum: ["save", "restore", "erase"] } };
const failOnNoSlot = { name: "fail_on_no_slot", in: "query", schema: { const: "1" } };

const assetName = { name: "name", in: "path", required: true, schema: { type: "string" } };
const responseId = { name: "id", in: "path", required: true, schema: { type: "string" } };
const query = (name: string, schema: object) => ({ name, in: "query", schema });

const ROUTES: Readonly<Record<string, Route>> = {
  "/v1/chat/completions": {
    aliases: ["/chat/completions"],
    post: {
      summary: "Continue a conversation",
      body: "ChatRequest",
      answer: "ChatCompletion",
      event: "ChatCompletionChunk",
    },
  },
  "/v1/chat/completions/input_tokens": {
    aliases: ["/chat/completions/input_tokens"],
    post: {
      summary: "Count the tokens of a conversation, without an answer",
      body: "ChatRequest",
      answer: "InputTokens",
    },
  },
  "/v1/completions": {
    post: {
      summary: "Continue a text",
      body: "CompletionRequest",
      answer: "TextCompletion",
      event: "TextCompletionChunk",
    },
  },
  "/completion": {
    aliases: ["/completions"],
    post: {
      summary: "Continue a text, as llama.cpp's server does",
      body: "NativeRequest",
      answer: "NativeCompletion",
      event: "NativeEvent",
    },
  },
  "/v1/responses": {
    aliases: ["/responses"],
    post: {
      summary: "Answer a text or items: whole, as a stream, or in the background",
      body: "ResponseRequest",
      answer: "Response",
      event: "ResponseEvent",
    },
  },
  "/v1/responses/input_tokens": {
    post: {
      summary: "Count the tokens of a response's input, without an answer",
      body: "ResponseRequest",
      answer: "InputTokens",
    },
  },
  "/v1/responses/{id}": {
    get: {
      summary: "A stored response as it is now, or its events",
      answer: "Response",
      event: "ResponseEvent",
      parameters: [
        responseId,
        query("stream", { enum: ["true", "false"] }),
        query("starting_after", { type: "integer", minimum: -1, default: -1 }),
      ],
    },
    delete: {
      summary: "Forget a response; one that runs is cancelled first",
      parameters: [responseId],
      answer: "DeletedResponse",
    },
  },
  "/v1/responses/{id}/cancel": {
    post: { summary: "Stop a background response", parameters: [responseId], answer: "Response" },
  },
  "/v1/responses/{id}/input_items": {
    get: {
      summary: "What a response answered",
      answer: "InputItems",
      parameters: [
        responseId,
        query("limit", { type: "integer", minimum: 1, maximum: 100, default: 20 }),
        query("order", { enum: ["asc", "desc"], default: "desc" }),
        query("after", { type: "string" }),
      ],
    },
  },
  "/v1/responses/{id}/events": {
    get: {
      summary: "The events of a response as JSON, for hosts that hold streams back",
      answer: "ResponseEvents",
      parameters: [
        responseId,
        query("starting_after", { type: "integer", minimum: -1, default: -1 }),
        query("limit", { type: "integer", minimum: 1 }),
        query("wait", { type: "number", minimum: 0, maximum: 25, default: 0 }),
      ],
    },
  },
  "/v1/messages": {
    post: {
      summary: "Continue a conversation, as Anthropic's API does",
      body: "MessageRequest",
      answer: "Message",
      event: "MessageEvent",
      refusal: "MessageError",
    },
  },
  "/v1/messages/count_tokens": {
    post: {
      summary: "Count the tokens of a conversation, without an answer",
      body: "MessageCountRequest",
      answer: "MessageTokens",
      refusal: "MessageError",
    },
  },
  "/infill": {
    post: {
      summary: "Fill a gap in a text, as llama.cpp's server does",
      body: "InfillRequest",
      answer: "NativeCompletion",
      event: "NativeEvent",
    },
  },
  "/v1/embeddings": { post: { summary: "Texts to vectors", body: "EmbeddingRequest", answer: "EmbeddingList" } },
  "/embedding": {
    aliases: ["/embeddings"],
    post: {
      summary: "Texts to vectors, as llama.cpp's server does",
      body: "NativeEmbeddingRequest",
      answer: "NativeEmbeddings",
    },
  },
  "/v1/rerank": {
    aliases: ["/rerank", "/v1/reranking", "/reranking"],
    post: { summary: "Texts sorted by their likeness to a query", body: "RerankRequest", answer: "Ranking" },
  },
  "/v1/models": { aliases: ["/models"], get: { summary: "The served model, as a list", answer: "ModelList" } },
  "/v1/models/{id}": {
    aliases: ["/models/{id}"],
    get: { summary: "The served model", parameters: [modelId], answer: "Model" },
  },
  "/tokenize": { post: { summary: "Text to token ids", body: "TokenizeRequest", answer: "TokenList" } },
  "/detokenize": { post: { summary: "Token ids to text", body: "DetokenizeRequest", answer: "Detokenized" } },
  "/apply-template": {
    post: { summary: "A conversation as the model would read it", body: "ChatRequest", answer: "AppliedTemplate" },
  },
  "/props": {
    get: { summary: "The model's properties and the defaults of requests", answer: "Props" },
    post: { summary: "Refused: properties cannot be changed", status: 501 },
  },
  "/slots": { get: { summary: "What each slot does", parameters: [failOnNoSlot], answer: "Slots" } },
  "/slots/{id}": {
    post: {
      summary: "Have a slot forget what it holds; saving and restoring are refused",
      parameters: [slotId, slotAction],
      answer: "ErasedSlot",
    },
  },
  "/metrics": { get: { summary: "Counts and times for Prometheus", answers: ["text/plain"] } },
  "/lora-adapters": { get: { summary: "Adapters, of which there are none", answer: "Adapters" } },
  "/stream-check": {
    get: { summary: "Two lines with a pause between them: whether a host passes on streams", answers: ["text/plain"] },
  },
  "/health": { aliases: ["/v1/health"], get: { summary: "Whether requests can be answered", answer: "Health" } },
  "/openapi.json": { get: { summary: "This document" } },
  "/about.json": { get: { summary: "What is served, with the hashes that name it" } },
  "/assets/{name}": {
    get: { summary: "A file of the page", parameters: [assetName], answers: ["text/javascript", "text/css"] },
  },
  "/": {
    get: {
      summary: "A page to talk to the model; as JSON, its name and links",
      answers: ["text/html", "application/json"],
    },
  },
};

/** An OpenAPI 3.1 description of every route, made from the same tables that validate requests. */
export function createOpenApi(): Record<string, unknown> {
  return {
    openapi: "3.1.0",
    info: {
      title: "Pinference",
      version: VERSION,
      description:
        "OpenAI-compatible inference. Members of a body that are not described are ignored and named in the header " +
        "X-Ignored-Params; null is the same as leaving a member out.",
    },
    // Relative to this document, so that it holds under any prefix.
    servers: [{ url: "." }],
    security: [{}, { bearer: [] }, { apiKey: [] }],
    paths: Object.fromEntries(Object.entries(ROUTES).map(([path, route]) => [path, toPathItem(route)])),
    components: {
      schemas: {
        ...Object.fromEntries(Object.entries(BODIES).map(([name, table]) => [name, toBodySchema(table)])),
        ...toAnswerSchemas(),
      },
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        apiKey: { type: "apiKey", in: "header", name: "X-Api-Key" },
      },
    },
  };
}

function toPathItem({ aliases, get, post, delete: remove }: Route): Record<string, unknown> {
  return {
    ...(aliases !== undefined && { description: `Also at ${aliases.join(" and ")}.`, "x-aliases": aliases }),
    ...(get !== undefined && { get: toOperation(get) }),
    ...(post !== undefined && { post: toOperation(post) }),
    ...(remove !== undefined && { delete: toOperation(remove) }),
  };
}

function toOperation(operation: Operation): Record<string, unknown> {
  const { summary, body, parameters, status, refusal = "Error" } = operation;
  const success = { description: "Success", content: toContent(operation) };
  return {
    summary,
    ...(parameters !== undefined && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: true, content: json({ $ref: `#/components/schemas/${body}` }) },
    }),
    responses: {
      ...(status === undefined && { 200: success }),
      [status ?? "default"]: { description: "Refusal", content: json({ $ref: `#/components/schemas/${refusal}` }) },
    },
  };
}

function toContent({ answer, event, answers = ["application/json"] }: Operation): Record<string, object> {
  if (answer === undefined) return Object.fromEntries(answers.map((type) => [type, {}]));
  const whole = json({ $ref: `#/components/schemas/${answer}` });
  if (event === undefined) return whole;
  // The version 3.1 has no word for the items of a stream.
  return { ...whole, "text/event-stream": { "x-event-data": { $ref: `#/components/schemas/${event}` } } };
}

/** As JSON Schema, in which an answer within another is referred to by its name. */
function toAnswerSchemas(): Record<string, unknown> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(ANSWERS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}` });
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, withoutOwnName(schema)]));
}

function withoutOwnName(schema: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(schema).filter(([member]) => member !== "$schema" && member !== "$id"));
}

function json(schema: object): Record<string, object> {
  return { "application/json": { schema } };
}

function toBodySchema(table: Fields): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(z.object(schemaOf(table)), { io: "input", unrepresentable: "any" });
  const properties = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const { meaning, use } = table[name]!;
    return [name, { ...(property as object), description: meaning, "x-use": use }];
  });
  return { ...schema, properties: Object.fromEntries(properties) as Record<string, unknown> };
}
