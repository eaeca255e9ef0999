import assert from "node:assert/strict";

import type { Members } from "./client.ts";
import { hasMembers, refuses, refusesEach, user, errorOf, chatml, section } from "./checks.ts";

const { checks, check } = section("7, 8, 11, 12 models, embeddings, native routes, status");
export const native = checks;

const question = chatml("Say this is a test");
const greedy = { prompt: question, temperature: 0 };

const FINAL =
  "index content tokens id_slot stop model tokens_predicted tokens_evaluated generation_settings prompt has_new_line truncated stop_type stopping_word tokens_cached timings slot_id stopped_eos stopped_limit stopped_word";
check("/completion has llama.cpp's members, old and new", async ({ client }) => {
  const answer = await client.ask("/completion", { ...greedy, image_data: [], n: 1 });
  hasMembers(answer, FINAL);
  assert.deepEqual(
    [answer["stop"], answer["stop_type"], answer["stopped_eos"], answer["prompt"]],
    [true, "eos", true, question],
  );
  assert.equal(answer["slot_id"], answer["id_slot"]);
  hasMembers(
    answer["timings"],
    "cache_n prompt_n prompt_ms prompt_per_token_ms prompt_per_second predicted_n predicted_ms predicted_per_token_ms predicted_per_second",
  );
});
check("generation_settings echo the parameters", async ({ client }) => {
  const answer = await client.ask("/completion", {
    ...greedy,
    n_predict: 2,
    top_k: 7,
    stop: ["zz"],
    logit_bias: [[5, 2]],
  });
  const settings = answer["generation_settings"] as Members;
  hasMembers(
    settings,
    "temperature dynatemp_range dynatemp_exponent top_k top_p min_p typical_p top_n_sigma xtc_probability xtc_threshold repeat_penalty repeat_last_n presence_penalty frequency_penalty dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers mirostat mirostat_tau mirostat_eta min_keep samplers seed grammar n_predict max_tokens ignore_eos n_probs post_sampling_probs n_keep n_discard stop stream logit_bias lora",
  );
  assert.deepEqual(
    [settings["top_k"], settings["n_predict"], settings["stop"], settings["logit_bias"]],
    [7, 2, ["zz"], [{ token: 5, bias: 2 }]],
  );
});
check("stop types tell eos, limit and word", async ({ client }) => {
  const whole = (await client.ask("/completion", greedy))["content"] as string;
  const word = whole.slice(5, 8);
  const stopped = await client.ask("/completion", { ...greedy, stop: [word] });
  assert.deepEqual([stopped["stop_type"], stopped["stopping_word"], stopped["stopped_word"]], ["word", word, true]);
  const limit = await client.ask("/completion", { ...greedy, n_predict: 2 });
  assert.deepEqual(
    [limit["stop_type"], limit["tokens_predicted"], limit["stopped_limit"], limit["truncated"]],
    ["limit", 2, true, false],
  );
});
check("the prompt may be ids, mixed, prompt_string, or a list with a list for an answer", async ({ client }) => {
  const { tokens } = (await client.ask("/tokenize", { content: question })) as { tokens: number[] };
  const expected = (await client.ask("/completion", greedy))["content"];
  for (const prompt of [tokens, [tokens[0], ...tokens.slice(1)], { prompt_string: question }]) {
    assert.equal((await client.ask("/completion", { ...greedy, prompt }))["content"], expected);
  }
  const list = (
    await client.post("/completion", { ...greedy, prompt: [question, tokens, { prompt_string: "a" }], n_predict: 8 })
  ).json as Members[];
  assert.deepEqual(
    list.map(({ index }) => index),
    [0, 1, 2],
  );
});
check("n_probs reports probabilities with ids and bytes", async ({ client }) => {
  const answer = await client.ask("/completion", { ...greedy, n_probs: 3 });
  const entries = answer["completion_probabilities"] as Members[];
  assert.equal(entries.length, answer["tokens_predicted"]);
  hasMembers(entries[0], "id token bytes logprob top_logprobs");
  assert.equal((entries[0]!["top_logprobs"] as unknown[]).length, 3);
});
check("post_sampling_probs reports the distribution after the samplers", async ({ client }) => {
  const answer = await client.ask("/completion", {
    prompt: question,
    temperature: 1,
    top_k: 2,
    top_p: 1,
    min_p: 0,
    n_probs: 5,
    post_sampling_probs: true,
    n_predict: 4,
    seed: 1,
  });
  for (const entry of answer["completion_probabilities"] as Members[]) {
    hasMembers(entry, "id token bytes prob top_probs");
    const top = entry["top_probs"] as { prob: number }[];
    assert.ok(top.length <= 2, `top_k is 2, got ${top.length}`);
    assert.ok(Math.abs(top.reduce((sum, { prob }) => sum + prob, 0) - 1) < 0.01);
  }
});
check("return_tokens reports ids, whose text is the answer", async ({ client }) => {
  const answer = await client.ask("/completion", { ...greedy, return_tokens: true });
  const tokens = answer["tokens"] as number[];
  assert.equal(tokens.length, answer["tokens_predicted"]);
  assert.equal((await client.ask("/detokenize", { tokens }))["content"], answer["content"]);
  assert.deepEqual((await client.ask("/completion", greedy))["tokens"], []);
});
check("a stream is pieces with ids, then the last object without text, no [DONE]", async ({ client }) => {
  const events = await client.stream("/completion", greedy);
  const last = events.at(-1)!.json;
  hasMembers(last, FINAL);
  assert.deepEqual([last["stop"], last["content"]], [true, ""]);
  const pieces = events.slice(0, -1).map(({ json }) => json);
  hasMembers(pieces[0], "index content tokens stop id_slot tokens_predicted tokens_evaluated");
  assert.equal(pieces.map(({ content }) => content).join(""), (await client.ask("/completion", greedy))["content"]);
  assert.equal(pieces.flatMap(({ tokens }) => tokens as number[]).length, last["tokens_predicted"]);
});
check("return_progress reports the prompt's evaluation, from cache to total", async ({ client }) => {
  const events = await client.stream("/completion", {
    ...greedy,
    prompt: chatml("word ".repeat(300)),
    n_predict: 1,
    return_progress: true,
    cache_prompt: false,
  });
  const progress = events.flatMap(
    ({ json }) => (json["prompt_progress"] as { total: number; cache: number; processed: number }[] | undefined) ?? [],
  );
  assert.ok(progress.length >= 2, `${progress.length} reports`);
  assert.equal(progress[0]!.processed, progress[0]!.cache);
  assert.equal(progress.at(-1)!.processed, progress.at(-1)!.total);
});
check("timings_per_token adds times to each piece", async ({ client }) => {
  const events = await client.stream("/completion", { ...greedy, timings_per_token: true });
  assert.ok(events.slice(0, -1).every(({ json }) => "timings" in json));
});
check("response_fields keeps what it names", async ({ client }) => {
  const answer = await client.ask("/completion", {
    ...greedy,
    response_fields: ["content", "generation_settings/top_k", "nothing"],
  });
  assert.deepEqual(
    Object.keys(answer).toSorted((a, b) => a.localeCompare(b)),
    ["content", "generation_settings/top_k"],
  );
});
check("n_predict 0 evaluates the prompt and returns", async ({ client }) => {
  const answer = await client.ask("/completion", { ...greedy, n_predict: 0 });
  assert.deepEqual([answer["content"], answer["tokens_predicted"]], ["", 0]);
});
check("an answer at the context's edge is limited and truncated", async ({ client, model }) => {
  if (model.contextLength > 8192) return;
  const { tokens } = (await client.ask("/tokenize", { content: "a b c d " })) as { tokens: number[] };
  const prompt = Array.from({ length: model.contextLength - 6 }, (_, index) => tokens[index % tokens.length]);
  const answer = await client.ask("/completion", { prompt, n_predict: 100, ignore_eos: true });
  assert.deepEqual([answer["stop_type"], answer["truncated"]], ["limit", true]);
});
check(
  "/completion refuses by name",
  refusesEach("/completion", { n_predict: 1 }, [
    [{}, "missing_required_parameter", "prompt"],
    [{ prompt: 3 }, "invalid_type", "prompt"],
    [{ prompt: [] }, "invalid_value", "prompt"],
    [{ prompt: "a", image_data: [{ data: "x", id: 1 }] }, ["unsupported_parameter", "unsupported_value"], "image_data"],
    [{ prompt: "a", multimodal_data: ["x"] }, ["unsupported_parameter", "unsupported_value"], "multimodal_data"],
  ]),
);
check("/infill fills, or is 501 where the model cannot; bad bodies are 400", async ({ client }) => {
  const reply = await client.post("/infill", { input_prefix: "def a():", input_suffix: "end", n_predict: 2 });
  if (reply.status === 200) hasMembers(reply.json, FINAL);
  else assert.deepEqual([reply.status, errorOf(reply)["type"]], [501, "not_supported_error"]);
  await refuses(client, "/infill", { input_prefix: 3, input_suffix: "" }, { param: "input_prefix" });
  await refuses(client, "/infill", { input_prefix: "a" }, { param: "input_suffix" });
  await refuses(
    client,
    "/infill",
    { input_prefix: "a", input_suffix: "b", input_extra: [{}] },
    { param: "input_extra[0].text" },
  );
});
check("tokenize and detokenize are inverse", async ({ client }) => {
  for (const content of ["", "Hello, world!", "grüße 👋\n\n  x", "<|im_start|>user", "a\u0000b"]) {
    const { tokens } = await client.ask("/tokenize", { content });
    const back = String((await client.ask("/detokenize", { tokens }))["content"]);
    assert.ok(back === content || back === ` ${content}`, JSON.stringify([content, back]));
  }
});
check("with_pieces gives ids and pieces, bytes where they are no text", async ({ client }) => {
  const { tokens } = (await client.ask("/tokenize", { content: "Hi 👋", with_pieces: true })) as {
    tokens: { id: number; piece: string | number[] }[];
  };
  const bytes = Buffer.concat(tokens.map(({ piece }) => Buffer.from(piece as string)));
  assert.match(bytes.toString(), /Hi 👋$/);
});
check("add_special, parse_special and mixed content", async ({ client }) => {
  const count = async (body: Members) => ((await client.ask("/tokenize", body))["tokens"] as unknown[]).length;
  assert.ok((await count({ content: "<|im_end|>", parse_special: false })) >= (await count({ content: "<|im_end|>" })));
  assert.ok((await count({ content: "a", add_special: true })) >= (await count({ content: "a" })));
  assert.ok((await count({ content: ["a", 1, "b"] })) >= 3);
});
check("tokenize and detokenize refuse by name", async ({ client, model }) => {
  for (const body of [{}, { content: 3 }, { content: [true] }, { content: [model.vocabularySize + 1] }]) {
    assert.match(String((await refuses(client, "/tokenize", body, {}))["param"]), /^content/);
  }
  for (const body of [
    {},
    { tokens: "a" },
    { tokens: ["a"] },
    { tokens: [-1] },
    { tokens: [1.5] },
    { tokens: [model.vocabularySize + 1] },
  ]) {
    assert.match(String((await refuses(client, "/detokenize", body, {}))["param"]), /^tokens/);
  }
});
check("apply-template gives the prompt's text and generates nothing", async ({ client }) => {
  const { prompt } = await client.ask("/apply-template", { messages: [user("Hello there")] });
  assert.match(String(prompt), /Hello there/);
  const plain = await client.ask("/apply-template", { messages: [user("Hello there")], add_generation_prompt: false });
  assert.ok(
    String(prompt).startsWith(String(plain["prompt"])) && String(plain["prompt"]).length < String(prompt).length,
  );
});

check("/health and /v1/health say ok", async ({ client }) => {
  for (const path of ["/health", "/v1/health"]) assert.deepEqual((await client.get(path)).json, { status: "ok" });
});
check("/props has llama.cpp's members, and the file's name only", async ({ client }) => {
  const props = (await client.get("/props")).json as Members & { default_generation_settings: Members };
  hasMembers(
    props,
    "default_generation_settings total_slots model_alias model_path chat_template chat_template_caps bos_token eos_token build_info modalities is_sleeping",
  );
  hasMembers(props.default_generation_settings, "params n_ctx");
  hasMembers(props.default_generation_settings["params"], "temperature top_k top_p min_p seed samplers mirostat");
  assert.doesNotMatch(String(props["model_path"]), /[/\\]/);
  assert.deepEqual(props["modalities"], { vision: false, audio: false });
  assert.equal(typeof props["chat_template_caps"], "object");
});
check("POST /props is 501", ({ client }) =>
  refuses(client, "/props", {}, { status: 501, code: "not_supported" }).then(() => undefined),
);
check("/slots tell each slot's state and no prompt", async ({ client }) => {
  const slots = (await client.get("/slots")).json as Members[];
  hasMembers(slots[0], "id id_task n_ctx speculative is_processing params next_token");
  assert.ok(slots.every((slot) => !("prompt" in slot)));
  assert.equal((await client.get("/slots?fail_on_no_slot=1")).status, 200);
});
check("saving and restoring slots is 501", async ({ client }) => {
  for (const action of ["save", "restore"]) {
    await refuses(client, `/slots/0?action=${action}`, { filename: "x" }, { status: 501, code: "not_supported" });
  }
  await refuses(client, "/slots/0?action=dance", {}, {});
});
check("erasing a slot empties it, or is 501; slots that are not there are 400", async ({ client }) => {
  const reply = await client.post("/slots/0?action=erase", {});
  if (reply.status === 501) return;
  hasMembers(reply.json, "id_slot n_erased");
  await refuses(client, "/slots/9999?action=erase", {}, { status: 400 });
});
check("a bias has no range here", async ({ client }) => {
  const { tokens } = (await client.ask("/tokenize", { content: "This" })) as { tokens: number[] };
  const { content } = await client.ask("/completion", { ...greedy, n_predict: 4, logit_bias: [[tokens[0], -1000]] });
  assert.ok(!String(content).startsWith("This"));
});
check("/metrics have llama.cpp's names with HELP and TYPE, and histograms", async ({ client }) => {
  const { text } = await client.get("/metrics");
  const names =
    "prompt_tokens_total prompt_tokens_cached_total prompt_seconds_total tokens_predicted_total tokens_predicted_seconds_total n_decode_total n_tokens_max prompt_tokens_seconds predicted_tokens_seconds requests_processing requests_deferred n_busy_slots_per_decode";
  for (const name of names.split(" ")) {
    for (const line of [`# HELP llamacpp:${name} `, `# TYPE llamacpp:${name} `, `\nllamacpp:${name} `])
      assert.ok(text.includes(line), line);
  }
  for (const what of [
    /time_to_first_token\w*_bucket/,
    /time_per_\w*token\w*_bucket/,
    /request\w*_seconds_bucket/,
    /queue\w*_bucket/,
    /process_resident_memory_bytes/,
    /requests_total\{route=/,
  ])
    assert.match(text, what);
});
check("/lora-adapters is an array", async ({ client }) => {
  assert.ok(Array.isArray((await client.get("/lora-adapters")).json));
});
check("/openapi.json is OpenAPI 3.1 and names the routes", async ({ client }) => {
  const document = (await client.get("/openapi.json")).json as { openapi: string; paths: Members };
  assert.match(document.openapi, /^3\.1/);
  for (const path of [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/completion",
    "/infill",
    "/slots",
  ])
    assert.ok(path in document.paths, path);
});
check("/ is a page of its own for browsers, with relative links only", async ({ client }) => {
  const { text, headers } = await client.send("/", { headers: { Accept: "text/html" } });
  assert.match(headers.get("content-type") ?? "", /^text\/html/);
  assert.doesNotMatch(text, /(?:src|href)="(?:https?:)?\/\//);
  assert.doesNotMatch(text, /(?:src|href)="\//);
});
