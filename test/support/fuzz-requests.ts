import { BODIES, createOpenApi } from "../../src/openai/openapi.ts";
import { damaged, define, mutated, ODD, pick, TEXTS, type Random } from "./fuzz-values.ts";

export interface FuzzRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Buffer | undefined;
}

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Record<string, { schema: { $ref: string } }> };
}

/** Every operation of the API's own description, so that no route is forgotten. */
const OPERATIONS = Object.entries(
  createOpenApi()["paths"] as Record<string, Record<string, Operation> & { "x-aliases"?: readonly string[] }>,
).flatMap(([path, item]) =>
  (["get", "post", "delete"] as const).flatMap((method) => {
    const operation = item[method];
    return operation === undefined
      ? []
      : [{ method: method.toUpperCase(), paths: [path, ...(item["x-aliases"] ?? [])], operation }];
  }),
);

const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"], additionalProperties: false };
const tool = { type: "function", function: { name: "f", description: "Does it.", parameters: schema, strict: true } };
const flatTool = { type: "function", name: "f", parameters: schema };
const claudeTool = { name: "f", input_schema: schema };
const call = { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } };
const user = { role: "user", content: "Say this is a test" };
const called = [
  user,
  { role: "assistant", content: null, tool_calls: [call] },
  { role: "tool", tool_call_id: "c1", content: "7" },
];
const format = { type: "json_schema", json_schema: { name: "x", schema, strict: true } };

/** Good bodies of each route. */
export const GOOD: Readonly<Record<string, readonly object[]>> = {
  ChatRequest: [
    { messages: [user], max_tokens: 20 },
    {
      messages: [{ role: "system", content: "Be brief." }, user, { role: "assistant", content: "This" }],
      max_tokens: 5,
    },
    { messages: called, tools: [tool], max_tokens: 20 },
    { messages: [user], tools: [tool], tool_choice: "required", max_tokens: 40 },
    { messages: [user], tools: [tool], tool_choice: { type: "function", function: { name: "f" } }, max_tokens: 40 },
    { messages: [user], response_format: format, max_tokens: 40, temperature: 2 },
    {
      messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }],
      logprobs: true,
      top_logprobs: 3,
      n: 2,
      max_tokens: 5,
    },
  ],
  CompletionRequest: [
    { prompt: "Hello" },
    { prompt: ["Hello", "Say"], n: 2, max_tokens: 4, echo: true, logprobs: 2 },
    { prompt: [[1, 2, 3], [4]], max_tokens: 3, best_of: 3, n: 2 },
    { prompt: "a", suffix: "b", max_tokens: 3 },
  ],
  NativeRequest: [
    { prompt: "Hello", n_predict: 8 },
    {
      prompt: ["a", [1, 2], { prompt_string: "b" }],
      n_predict: 4,
      n_probs: 3,
      post_sampling_probs: true,
      return_tokens: true,
    },
    { prompt: [1, "a"], n_predict: 4, response_fields: ["content", "timings/prompt_n"], stop: ["e"] },
    { prompt: "x", grammar: 'root ::= [a-z]+ "."', n_predict: 10, samplers: ["top_k", "temperature"] },
  ],
  InfillRequest: [
    { input_prefix: "def a():", input_suffix: "end", input_extra: [{ filename: "a", text: "b" }], n_predict: 4 },
  ],
  EmbeddingRequest: [
    { input: ["a fox", "a lamp"], dimensions: 4, encoding_format: "base64" },
    { input: [[1, 2], [3]], embd_normalize: 3 },
  ],
  NativeEmbeddingRequest: [{ content: "a fox" }, { input: ["a", "b"] }],
  RerankRequest: [
    { query: "a", documents: ["b", "", "a"], top_n: 2, return_documents: true },
    { query: "a", texts: ["b"] },
  ],
  TokenizeRequest: [
    { content: "Hello 👋", with_pieces: true },
    { content: ["a", 1], add_special: true },
  ],
  DetokenizeRequest: [{ tokens: [1, 2, 3] }],
  ResponseRequest: [
    { input: "Say this is a test", max_output_tokens: 20 },
    {
      input: [
        user,
        { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
        { type: "function_call_output", call_id: "c", output: "7" },
      ],
      tools: [flatTool],
      max_output_tokens: 20,
    },
    { input: "Hi", background: true, max_output_tokens: 30 },
    {
      input: "Hi",
      text: { format: { type: "json_schema", name: "x", schema } },
      tools: [flatTool],
      tool_choice: "required",
      max_output_tokens: 40,
    },
  ],
  MessageRequest: [
    { messages: [user], max_tokens: 20, system: [{ type: "text", text: "Be brief." }] },
    { messages: [user], max_tokens: 40, tools: [claudeTool], tool_choice: { type: "any" } },
    {
      messages: [
        user,
        { role: "assistant", content: [{ type: "tool_use", id: "t", name: "f", input: { a: 1 } }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: "7" }] },
      ],
      tools: [claudeTool],
      max_tokens: 10,
    },
  ],
  MessageCountRequest: [{ messages: [user], system: "Be brief.", tools: [claudeTool] }],
};

/** Values that a member takes, extreme ones among them. */
const FAIR: Readonly<Record<string, readonly unknown[]>> = {
  temperature: [0, 1e-40, 1, 2],
  top_p: [0, 0.5, 1],
  top_k: [-1, 0, 1, 2 ** 32 + 5],
  min_p: [0, 1],
  typical_p: [0, 0.3],
  top_n_sigma: [0.5, 1e300],
  mirostat: [1, 2],
  adaptive_target: [0, 0.4],
  xtc_probability: [1],
  dry_multiplier: [0.8, 100],
  dynatemp_range: [0.5, 100],
  min_keep: [3, 2 ** 40],
  repeat_penalty: [1e-300, 0.5, 1.5, 1e300],
  repeat_last_n: [-1, 0, 1, 64, 2 ** 31 - 1, 2 ** 40],
  presence_penalty: [-2, 2],
  frequency_penalty: [-2, 2],
  seed: [-1, -7, 0, 5, 2 ** 64, 2 ** 53 + 2],
  stop: ["e", ["", "the", " a"], Array.from({ length: 64 }, (_, index) => `${index}zz`)],
  n: [2, 3, 9],
  n_predict: [0, 1],
  logit_bias: [{ 5: -100 }, [["a", false]], { "🦊": 100 }],
  ignore_eos: [true],
  cache_prompt: [false],
  id_slot: [0, 7],
  t_max_predict_ms: [1],
  n_indent: [2],
  timings_per_token: [true],
  return_progress: [true],
  n_probs: [3],
  stream_options: [{ include_usage: true }],
};

const ODD_PATHS =
  "/ //v1//models/ /v1/models/%2f%00 /v1/models/%ff /vm/ab/health /% /v1/responses/%2e%2e/x /slots/-1 /nothing /v1/chat/completions/x".split(
    " ",
  );
const METHODS = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"];
const TYPES = [
  "application/json",
  "text/plain; charset=utf-8",
  "application/json; charset=utf-16",
  "text/xml",
  "x",
  ";;=",
];
const QUERY_VALUES = ["", "0", "1", "-1", "true", "1e9", "999999999999999999999", "%00", "x", "erase", "%ff"];

/** `ids`: of stored responses, where some are known. */
export function makeRequest(random: Random, ids: readonly string[]): FuzzRequest {
  if (random(8) === 0) {
    const method = pick(random, METHODS);
    const body = method === "GET" || method === "HEAD" ? undefined : pick(random, ["", "{}", "x"]);
    const headers = { "x-request-id": pick(random, ["", "a", "a b", "x".repeat(129)]) };
    return {
      method,
      path: random(2) === 0 ? pick(random, ODD_PATHS) : pathOf(random, pick(random, OPERATIONS), ids),
      headers,
      body,
    };
  }
  const chosen = pick(random, OPERATIONS);
  const path = pathOf(random, chosen, ids);
  if (chosen.method !== "POST") return { method: chosen.method, path, headers: {}, body: undefined };
  const text = JSON.stringify(makeBody(random, chosen.operation)) ?? "";
  const body = random(12) === 0 && text !== "" ? damaged(random, Buffer.from(text)) : text;
  const encoding = random(30) === 0 ? { "content-encoding": pick(random, ["gzip", "identity", "br", "zstd"]) } : {};
  const type = random(15) === 0 ? pick(random, TYPES) : "application/json";
  return { method: "POST", path, headers: { "content-type": type, ...encoding }, body };
}

function pathOf(random: Random, { paths, operation }: (typeof OPERATIONS)[number], ids: readonly string[]): string {
  const id = pick(random, ["0", "demo", "resp_x", "%2f", "..", ...ids, ...ids]);
  const path = pick(random, paths).replace(/\{\w+\}/, id);
  const query = (operation.parameters ?? [])
    .filter((parameter) => parameter.in === "query" && random(2) === 0)
    .map(({ name }) => `${name}=${pick(random, QUERY_VALUES)}`);
  return query.length === 0 ? path : `${path}?${query.join("&")}`;
}

function makeBody(random: Random, operation: Operation): unknown {
  const name = operation.requestBody?.content["application/json"]?.schema.$ref.split("/").at(-1) ?? "";
  const fields = Object.keys(BODIES[name] ?? {});
  const body: Record<string, unknown> = { ...structuredClone(pick(random, GOOD[name] ?? [{}])) };
  if (fields.includes("stream") && random(2) === 0) body["stream"] = true;
  for (let count = random(3); count > 0; count--) {
    const member = pick(random, Object.keys(FAIR));
    if (fields.includes(member)) body[member] = pick(random, FAIR[member]!);
  }
  if (fields.length > 0 && random(4) === 0)
    define(body, pick(random, fields), pick(random, random(2) === 0 ? ODD : TEXTS));
  return random(2) === 0 ? mutated(random, body) : body;
}

/** Names of bodies that have no good example here. */
export const UNKNOWN_BODIES = Object.keys(BODIES).filter((name) => !(name in GOOD));
