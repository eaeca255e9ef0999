import * as z from "zod";

import { MESSAGE_COUNT_FIELDS, MESSAGE_FIELDS } from "../anthropic/request.ts";
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
  /** The answer's media types; JSON unless given. */
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

const GENERATED = ["application/json", "text/event-stream"];
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
    post: { summary: "Continue a conversation", body: "ChatRequest", answers: GENERATED },
  },
  "/v1/chat/completions/input_tokens": {
    aliases: ["/chat/completions/input_tokens"],
    post: { summary: "Count the tokens of a conversation, without an answer", body: "ChatRequest" },
  },
  "/v1/completions": { post: { summary: "Continue a text", body: "CompletionRequest", answers: GENERATED } },
  "/completion": {
    aliases: ["/completions"],
    post: { summary: "Continue a text, as llama.cpp's server does", body: "NativeRequest", answers: GENERATED },
  },
  "/v1/responses": {
    aliases: ["/responses"],
    post: {
      summary: "Answer a text or items: whole, as a stream, or in the background",
      body: "ResponseRequest",
      answers: GENERATED,
    },
  },
  "/v1/responses/input_tokens": {
    post: { summary: "Count the tokens of a response's input, without an answer", body: "ResponseRequest" },
  },
  "/v1/responses/{id}": {
    get: {
      summary: "A stored response as it is now, or its events",
      answers: GENERATED,
      parameters: [
        responseId,
        query("stream", { enum: ["true", "false"] }),
        query("starting_after", { type: "integer", minimum: -1, default: -1 }),
      ],
    },
    delete: { summary: "Forget a response; one that runs is cancelled first", parameters: [responseId] },
  },
  "/v1/responses/{id}/cancel": { post: { summary: "Stop a background response", parameters: [responseId] } },
  "/v1/responses/{id}/input_items": {
    get: {
      summary: "What a response answered",
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
      answers: GENERATED,
      refusal: "MessageError",
    },
  },
  "/v1/messages/count_tokens": {
    post: {
      summary: "Count the tokens of a conversation, without an answer",
      body: "MessageCountRequest",
      refusal: "MessageError",
    },
  },
  "/infill": {
    post: { summary: "Fill a gap in a text, as llama.cpp's server does", body: "InfillRequest", answers: GENERATED },
  },
  "/v1/embeddings": { post: { summary: "Texts to vectors", body: "EmbeddingRequest" } },
  "/embedding": {
    aliases: ["/embeddings"],
    post: { summary: "Texts to vectors, as llama.cpp's server does", body: "NativeEmbeddingRequest" },
  },
  "/v1/rerank": {
    aliases: ["/rerank", "/v1/reranking", "/reranking"],
    post: { summary: "Texts sorted by their likeness to a query", body: "RerankRequest" },
  },
  "/v1/models": { aliases: ["/models"], get: { summary: "The served model, as a list" } },
  "/v1/models/{id}": { aliases: ["/models/{id}"], get: { summary: "The served model", parameters: [modelId] } },
  "/tokenize": { post: { summary: "Text to token ids", body: "TokenizeRequest" } },
  "/detokenize": { post: { summary: "Token ids to text", body: "DetokenizeRequest" } },
  "/apply-template": { post: { summary: "A conversation as the model would read it", body: "ChatRequest" } },
  "/props": {
    get: { summary: "The model's properties and the defaults of requests" },
    post: { summary: "Refused: properties cannot be changed", status: 501 },
  },
  "/slots": { get: { summary: "What each slot does", parameters: [failOnNoSlot] } },
  "/slots/{id}": {
    post: {
      summary: "Have a slot forget what it holds; saving and restoring are refused",
      parameters: [slotId, slotAction],
    },
  },
  "/metrics": { get: { summary: "Counts and times for Prometheus", answers: ["text/plain"] } },
  "/lora-adapters": { get: { summary: "Adapters, of which there are none" } },
  "/stream-check": {
    get: { summary: "Two lines with a pause between them: whether a host passes on streams", answers: ["text/plain"] },
  },
  "/health": { aliases: ["/v1/health"], get: { summary: "Whether requests can be answered" } },
  "/openapi.json": { get: { summary: "This document" } },
  "/about.json": { get: { summary: "What is served, with the hashes that name it" } },
  "/assets/{name}": {
    get: { summary: "A file of the page", parameters: [assetName], answers: ["text/javascript", "text/css"] },
  },
  "/": { get: { summary: "The model's name and links", answers: ["application/json", "text/html"] } },
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
        Error: ERROR,
        MessageError: MESSAGE_ERROR,
      },
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        apiKey: { type: "apiKey", in: "header", name: "X-Api-Key" },
      },
    },
  };
}

const text = { type: "string" };
const ERROR = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "param", "code"],
      properties: {
        message: text,
        type: text,
        param: { type: ["string", "null"] },
        code: { type: ["string", "null"] },
      },
    },
  },
};

const MESSAGE_ERROR = {
  type: "object",
  required: ["type", "error", "request_id"],
  properties: {
    type: { const: "error" },
    error: {
      type: "object",
      required: ["type", "message"],
      properties: {
        type: text,
        message: text,
        details: { type: "object", required: ["error_code"], properties: { error_code: text } },
      },
    },
    request_id: text,
  },
};

function toPathItem({ aliases, get, post, delete: remove }: Route): Record<string, unknown> {
  return {
    ...(aliases !== undefined && { description: `Also at ${aliases.join(" and ")}.`, "x-aliases": aliases }),
    ...(get !== undefined && { get: toOperation(get) }),
    ...(post !== undefined && { post: toOperation(post) }),
    ...(remove !== undefined && { delete: toOperation(remove) }),
  };
}

function toOperation(operation: Operation): Record<string, unknown> {
  const { summary, body, answers = ["application/json"], parameters, status, refusal = "Error" } = operation;
  const success = { description: "Success", content: Object.fromEntries(answers.map((type) => [type, {}])) };
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
