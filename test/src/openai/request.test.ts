import assert from "node:assert/strict";
import { test } from "node:test";

import type { CodedError } from "../../../src/domain/errors.ts";
import { parseChatRequest } from "../../../src/openai/request.ts";

const messages = [{ role: "user", content: "Hi" }];

function refusal(body: unknown): Pick<CodedError, "code" | "param" | "message"> {
  try {
    parseChatRequest(body);
  } catch (error) {
    const { code, param, message } = error as CodedError;
    return { code, param, message };
  }
  return assert.fail(`accepted ${JSON.stringify(body)}`);
}

function parse(members: object) {
  return parseChatRequest({ messages, ...members });
}

function limitOf(members: object) {
  return parse(members).task.generate.maxTokens;
}

function seedOf(seed: unknown) {
  return parse({ seed }).task.generate.sampling.seed;
}

function stopOf(stop: unknown) {
  return parse({ stop }).task.generate.stop;
}

test("a body with messages only gets llama.cpp's defaults", () => {
  assert.deepEqual(parseChatRequest({ messages }), {
    model: undefined,
    task: {
      messages: [{ role: "user", content: "Hi" }],
      tools: [],
      toolChoice: { mode: "none" },
      parallelCalls: true,
      thinking: "auto",
      ending: "answer",
      variables: {},
      generate: {
        choices: 1,
        maxTokens: undefined,
        stop: [],
        grammar: undefined,
        sampling: {
          temperature: 0.8,
          topK: 40,
          topP: 0.95,
          minP: 0.05,
          repeatPenalty: 1,
          repeatLastN: 64,
          presencePenalty: 0,
          frequencyPenalty: 0,
          xtcProbability: 0,
          xtcThreshold: 0.1,
          dry: undefined,
          typicalP: 1,
          topNSigma: -1,
          dynatempRange: 0,
          dynatempExponent: 1,
          minKeep: 0,
          mirostat: undefined,
          adaptiveP: undefined,
          samplers: ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
          logitBias: [],
          ignoreEos: false,
          seed: undefined,
        },
        topLogprobs: undefined,
      },
    },
    stream: false,
    includeUsage: false,
    pingMs: 15_000,
    ignored: [],
    oldCalls: false,
    returnTokens: false,
    responseFields: [],
  });
});

test("null is the same as leaving a member out", () => {
  const nulls = Object.fromEntries(
    ["model", "max_tokens", "temperature", "seed", "stop", "stream", "stream_options", "tools", "logprobs", "x"].map(
      (name) => [name, null],
    ),
  );
  assert.deepEqual(parse(nulls), parse({}));
  assert.equal(parse({ stream: true, stream_options: { include_usage: null } }).includeUsage, false);
  assert.equal(refusal({ messages: null }).code, "missing_required_parameter");
});

test("n_predict wins over max_completion_tokens, which wins over max_tokens; -1 is no limit", () => {
  assert.equal(limitOf({ max_tokens: 3 }), 3);
  assert.equal(limitOf({ max_tokens: 3, max_completion_tokens: 4 }), 4);
  assert.equal(limitOf({ max_tokens: 3, max_completion_tokens: 4, n_predict: 0 }), 0);
  assert.equal(limitOf({ max_tokens: -1 }), undefined);
  assert.equal(limitOf({ n_predict: -1, max_tokens: 3 }), undefined);
});

test("a seed keeps its 64 bits as far as JSON numbers can, and -1 is random", () => {
  assert.equal(seedOf(0), 0n);
  assert.equal(seedOf(42), 42n);
  assert.equal(seedOf(-1), undefined);
  assert.equal(seedOf(-2), 2n ** 64n - 2n);
  assert.equal(seedOf(2 ** 53), 2n ** 53n);
  assert.equal(seedOf(JSON.parse("18446744073709551615")), 2n ** 64n - 1n);
  assert.equal(seedOf(JSON.parse("9223372036854775807")), 2n ** 63n);
  assert.equal(refusal({ messages, seed: 1e30 }).code, "invalid_value");
  assert.equal(refusal({ messages, seed: 1.5 }).code, "invalid_type");
  assert.equal(refusal({ messages, seed: "1" }).code, "invalid_type");
});

test("stop takes one text or up to 64 and skips empty ones", () => {
  assert.deepEqual(stopOf("END"), ["END"]);
  assert.deepEqual(stopOf(["a", "", "b"]), ["a", "b"]);
  assert.deepEqual(stopOf(""), []);
  assert.equal(stopOf(Array.from({ length: 64 }, String)).length, 64);
  assert.equal(refusal({ messages, stop: Array.from({ length: 65 }, String) }).code, "invalid_value");
  assert.deepEqual(pick(refusal({ messages, stop: ["a", 3] })), ["invalid_type", "stop[1]"]);
  assert.deepEqual(pick(refusal({ messages, stop: 3 })), ["invalid_type", "stop"]);
});

test("n_cmpl means n, and top_k -1 means all candidates", () => {
  assert.equal(parse({ n_cmpl: 3 }).task.generate.choices, 3);
  assert.equal(parse({ n_cmpl: 3, n: 2 }).task.generate.choices, 2);
  assert.equal(parse({ top_k: -1 }).task.generate.sampling.topK, 0);
  assert.equal(parse({ repeat_last_n: -1 }).task.generate.sampling.repeatLastN, -1);
});

test("an integer may be written with a fraction of zero", () => {
  assert.equal(parse(JSON.parse('{"max_tokens":3.0}') as object).task.generate.maxTokens, 3);
});

test("the smallest and largest allowed numbers are taken, the next ones refused by name", () => {
  const ranges: [string, number[], number[]][] = [
    ["temperature", [0, 2], [-0.1, 2.1]],
    ["top_p", [0, 1], [-0.1, 1.1]],
    ["min_p", [0, 1], [-0.1, 1.1]],
    ["top_k", [-1, 0, 1e6], [-2]],
    ["repeat_penalty", [0.01, 2], [0, -1]],
    ["repeat_last_n", [-1, 0, 1e4], [-2]],
    ["presence_penalty", [-2, 2], [-2.1, 2.1]],
    ["frequency_penalty", [-2, 2], [-2.1, 2.1]],
    ["n", [1, 128], [0, 129, -1]],
    ["max_tokens", [1, -1, 1e9], [0, -2]],
    ["max_completion_tokens", [1, -1, 1e9], [0, -2]],
    ["n_predict", [0, -1, 1e9], [-2]],
    ["sse_ping_interval", [1, 3600, -1], [0, -2, 3601]],
  ];
  for (const [name, good, bad] of ranges) {
    for (const value of good) parse({ [name]: value });
    for (const value of bad) assert.deepEqual(pick(refusal({ messages, [name]: value })), ["invalid_value", name]);
    for (const value of ["1", true, {}, []]) {
      assert.deepEqual(pick(refusal({ messages, [name]: value })), ["invalid_type", name]);
    }
  }
});

test("a refusal is a sentence with the parameter, what was given and what is allowed", () => {
  assert.equal(
    refusal({ messages, temperature: 3 }).message,
    "Invalid value for 'temperature': expected a number between 0 and 2, got 3.",
  );
  assert.equal(
    refusal({ messages, max_tokens: "many" }).message,
    `Invalid type for 'max_tokens': expected an integer of at least 1, or -1 for no limit, got "many".`,
  );
  assert.equal(
    refusal({}).message,
    "Missing required parameter: 'messages'. Expected an array of at least one message.",
  );
  const long = refusal({ messages, temperature: "x".repeat(5000) }).message;
  assert.ok(long.includes("x".repeat(100)) && !long.includes("x".repeat(101)));
});

test("a number too large for JSON is out of range", () => {
  const body = JSON.parse('{"messages":[{"role":"user","content":""}],"temperature":1e999}') as unknown;
  assert.equal(refusal(body).code, "invalid_value");
});

test("a body that is not an object is refused", () => {
  for (const body of [null, [], "x", 3, true, undefined]) assert.equal(refusal(body).code, "invalid_type");
});

test("what this release does not do is refused by name", () => {
  const refused: [object, string, string][] = [
    [{ tools: [{ type: "custom", custom: { name: "f" } }] }, "unsupported_value", "tools[0].type"],
    [{ modalities: ["text", "audio"] }, "unsupported_value", "modalities"],
    [{ audio: { voice: "x" } }, "unsupported_parameter", "audio"],
    [{ web_search_options: {} }, "unsupported_parameter", "web_search_options"],
    [{ lora: [{ id: 0, scale: 1 }] }, "unsupported_parameter", "lora"],
  ];
  for (const [members, code, param] of refused) {
    const { message, ...found } = refusal({ messages, ...members });
    assert.deepEqual(found, { code, param });
    assert.match(message, /^Unsupported (parameter|value) .+\.$/, message);
  }
});

test("neutral values of the same members are taken", () => {
  const neutral = {
    tools: [],
    tool_choice: "auto",
    functions: [],
    function_call: "none",
    response_format: { type: "text" },
    grammar: "",
    logprobs: false,
    top_logprobs: 0,
    n_probs: 0,
    logit_bias: {},
    ignore_eos: false,
    modalities: ["text"],
    mirostat: 0,
    mirostat_tau: 5,
    mirostat_eta: 0.1,
    typical_p: 1,
    top_n_sigma: -1,
    dynatemp_range: 0,
    dynatemp_exponent: 1,
    xtc_probability: 0,
    xtc_threshold: 0.1,
    dry_multiplier: 0,
    dry_base: 1.75,
    dry_sequence_breakers: ["\n"],
    adaptive_target: -1,
    min_keep: 0,
    samplers: ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
    reasoning_format: "auto",
    chat_template_kwargs: {},
    add_generation_prompt: true,
    cache_prompt: true,
    tfs_z: 1,
    lora: [],
  };
  assert.deepEqual(parse(neutral), parse({}));
});

test("biases are given by id or text, as an object or as pairs, and false is never", () => {
  const expected = [
    { token: 5, bias: -100 },
    { text: " Hi", bias: -Infinity },
  ];
  assert.deepEqual(parse({ logit_bias: { "5": -100, " Hi": false } }).task.generate.sampling.logitBias, expected);
  const pairs = [
    [5, -100],
    [" Hi", false],
  ];
  assert.deepEqual(parse({ logit_bias: pairs }).task.generate.sampling.logitBias, expected);
});

test("wrong biases are refused by name", () => {
  for (const logit_bias of [{ "5": "1" }, { "5": 101 }, { "5": true }, [5, 1], [[5]], [[-1, 1]], [[1.5, 1]], "5", 5]) {
    assert.match(refusal({ messages, logit_bias }).param ?? "none", /^logit_bias/, JSON.stringify(logit_bias));
  }
});

test("DRY is off without a multiplier, and a base that would reward repetition is llama.cpp's default", () => {
  assert.equal(parse({ dry_base: 2 }).task.generate.sampling.dry, undefined);
  assert.deepEqual(
    parse({ dry_multiplier: 0.8, dry_base: 0.5, dry_sequence_breakers: ["x"] }).task.generate.sampling.dry,
    {
      multiplier: 0.8,
      base: 1.75,
      allowedLength: 2,
      lastN: 64,
      sequenceBreakers: ["x"],
    },
  );
  assert.equal(refusal({ messages, dry_sequence_breakers: [] }).param, "dry_sequence_breakers");
});

test("OpenAI's members about the account are type-checked and change nothing", () => {
  const members = {
    user: "u",
    safety_identifier: "s",
    metadata: { a: "b" },
    store: true,
    service_tier: "flex",
    prompt_cache_key: "k",
    prompt_cache_retention: "24h",
    verbosity: "low",
    prediction: { type: "content", content: "x" },
  };
  assert.deepEqual(parse(members), parse({}));
  assert.deepEqual(pick(refusal({ messages, user: 5 })), ["invalid_type", "user"]);
  assert.deepEqual(pick(refusal({ messages, metadata: { a: 5 } })), ["invalid_type", "metadata.a"]);
  assert.deepEqual(pick(refusal({ messages, service_tier: "gold" })), ["invalid_value", "service_tier"]);
  assert.deepEqual(pick(refusal({ messages, verbosity: 5 })), ["invalid_type", "verbosity"]);
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`k${index}`, "v"]));
  assert.deepEqual(pick(refusal({ messages, metadata: many })), ["invalid_value", "metadata"]);
});

test("unknown members and hints without effect are reported as ignored", () => {
  assert.deepEqual(parse({ foo: 1, n_keep: 2, tfs_z: 0.5, bar: { a: [] } }).ignored, ["foo", "n_keep", "tfs_z", "bar"]);
});

test("names that could reach prototypes are unknown members", () => {
  const body = JSON.parse(
    '{"messages":[{"role":"user","content":"Hi","__proto__":{"role":"system"}}],' +
      '"__proto__":{"temperature":9},"constructor":{"prototype":{"stream":true}},"toString":1,"hasOwnProperty":2}',
  ) as object;
  const request = parseChatRequest(body);
  assert.deepEqual(request.ignored, ["__proto__", "constructor", "toString", "hasOwnProperty"]);
  assert.equal(request.stream, false);
  assert.equal(request.task.generate.sampling.temperature, 0.8);
  assert.equal(({} as Record<string, unknown>)["temperature"], undefined);
});

test("stream_options needs stream", () => {
  assert.deepEqual(pick(refusal({ messages, stream_options: { include_usage: true } })), [
    "invalid_value",
    "stream_options",
  ]);
  assert.equal(parse({ stream: true, stream_options: { include_usage: true } }).includeUsage, true);
  assert.deepEqual(pick(refusal({ messages, stream: true, stream_options: { include_usage: 1 } })), [
    "invalid_type",
    "stream_options.include_usage",
  ]);
});

test("an empty model name is the served model", () => {
  assert.equal(parse({ model: "" }).model, undefined);
  assert.equal(parse({ model: "m" }).model, "m");
});

function pick({ code, param }: { code: string; param: string | undefined }) {
  return [code, param];
}

test("samplers are named as in llama.cpp, by their letters too, and act as often as they are named", () => {
  const samplersOf = (samplers: unknown) => parse({ samplers }).task.generate.sampling.samplers;
  assert.deepEqual(samplersOf(["top-k", "typ", "temp", "top_k"]), ["top_k", "typ_p", "temperature", "top_k"]);
  const all = "penalties dry top_n_sigma top_k typ_p top_p min_p xtc temperature adaptive_p";
  assert.deepEqual(samplersOf("edskypmxta"), all.split(" "));
  assert.deepEqual(samplersOf([]), []);
  assert.deepEqual(pick(refusal({ messages, samplers: ["top_k", "tfs"] })), ["invalid_value", "samplers[1]"]);
  assert.deepEqual(pick(refusal({ messages, samplers: "kz" })), ["invalid_value", "samplers"]);
  assert.deepEqual(pick(refusal({ messages, samplers: 1 })), ["invalid_type", "samplers"]);
});

test("mirostat and adaptive-p are off by default and take their settings along", () => {
  const { mirostat } = parse({ mirostat: 2, mirostat_tau: 3 }).task.generate.sampling;
  assert.deepEqual(mirostat, { version: 2, tau: 3, eta: 0.1 });
  const { adaptiveP, samplers } = parse({ adaptive_target: 0.4 }).task.generate.sampling;
  assert.deepEqual(adaptiveP, { target: 0.4, decay: 0.9 });
  assert.equal(samplers.at(-1), "adaptive_p");
});

test("settings of samplers out of their ranges are refused by name", () => {
  const refused: readonly object[] = [
    { mirostat: 3 },
    { mirostat_tau: 0 },
    { mirostat_eta: -1 },
    { typical_p: 1.1 },
    { dynatemp_range: -0.1 },
    { adaptive_target: 1.5 },
    { adaptive_decay: 1 },
    { min_keep: -1 },
    { top_logprobs: 21, logprobs: true },
    { top_logprobs: 2 },
  ];
  for (const members of refused) {
    assert.deepEqual(pick(refusal({ messages, ...members })), ["invalid_value", Object.keys(members)[0]]);
  }
});

test("logprobs asks for each token's probability, top_logprobs for others beside it", () => {
  assert.equal(parse({ logprobs: true }).task.generate.topLogprobs, 0);
  assert.equal(parse({ logprobs: true, top_logprobs: 20 }).task.generate.topLogprobs, 20);
  assert.equal(parse({ logprobs: false, top_logprobs: 0 }).task.generate.topLogprobs, undefined);
});

test("the answer's form becomes a grammar, whichever member says it", () => {
  const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
  const wrapped = { type: "json_schema", json_schema: { name: "x", schema, strict: true } };
  const grammar = parse({ response_format: wrapped }).task.generate.grammar;
  assert.ok(grammar?.startsWith("root ::= "));
  assert.equal(parse({ json_schema: schema }).task.generate.grammar, grammar);
  assert.equal(parse({ response_format: { type: "json_object", schema } }).task.generate.grammar, grammar);
  assert.ok(parse({ response_format: { type: "json_object" } }).task.generate.grammar);
  assert.equal(
    parse({ grammar: 'root ::= "a"', response_format: { type: "text" } }).task.generate.grammar,
    'root ::= "a"',
  );
});

test("a form that is none, or two at once, is refused by name", () => {
  const named = (json_schema: object) => ({ response_format: { type: "json_schema", json_schema } });
  const schema = { type: "object" };
  const refused: [object, string, string][] = [
    [{ response_format: { type: "json_schema" } }, "missing_required_parameter", "response_format.json_schema"],
    [{ response_format: { type: "xml" } }, "invalid_value", "response_format.type"],
    [named({ schema }), "missing_required_parameter", "response_format.json_schema.name"],
    [named({ name: "a b", schema }), "invalid_value", "response_format.json_schema.name"],
    [named({ name: "", schema }), "invalid_value", "response_format.json_schema.name"],
    [named({ name: "x".repeat(65), schema }), "invalid_value", "response_format.json_schema.name"],
    [named({ name: "x" }), "invalid_json_schema", "response_format.json_schema.schema"],
    [named({ name: "x", schema: [] }), "invalid_json_schema", "response_format.json_schema.schema"],
    [named({ name: "x", schema: { type: "text" } }), "invalid_json_schema", "response_format.json_schema.schema"],
    [
      named({ name: "x", schema: { not: {} }, strict: true }),
      "invalid_json_schema",
      "response_format.json_schema.schema",
    ],
    [named({ name: "x", schema, strict: 1 }), "invalid_type", "response_format.json_schema.strict"],
    [{ json_schema: { $ref: "#/$defs/a" } }, "invalid_json_schema", "json_schema"],
    [{ json_schema: [] }, "invalid_type", "json_schema"],
    [{ grammar: 5 }, "invalid_type", "grammar"],
    [{ grammar: "root ::= x", json_schema: schema }, "invalid_value", "grammar"],
    [{ grammar: "root ::= x", response_format: { type: "json_object" } }, "invalid_value", "grammar"],
    [{ json_schema: schema, response_format: { type: "json_object" } }, "invalid_value", "json_schema"],
  ];
  for (const [members, code, param] of refused) {
    assert.deepEqual(pick(refusal({ messages, ...members })), [code, param], JSON.stringify(members));
  }
});
