import assert from "node:assert/strict";

import {
  PATH,
  say,
  choicesOf,
  messageOf,
  usageOf,
  chunksOf,
  textOf,
  weather,
  clock,
  type Choice,
} from "./chat-answers.ts";
import type { Client, Members } from "./client.ts";
import { hasMembers, refuses, refusesEach, user, section } from "./checks.ts";

const { checks, check } = section("4 chat completions");
export const chat = checks;

check("the answer has every member of OpenAI's, and timings", async ({ client, model }) => {
  const answer = await client.ask(PATH, say);
  hasMembers(answer, "id object created model system_fingerprint choices usage timings service_tier");
  assert.match(String(answer["id"]), /^chatcmpl-/);
  assert.deepEqual([answer["object"], answer["model"]], ["chat.completion", model.id]);
  assert.ok(Math.abs(Number(answer["created"]) - Date.now() / 1000) < 120);
  const [choice] = choicesOf(answer);
  hasMembers(choice, "index finish_reason logprobs message");
  assert.deepEqual([choice!.logprobs, choice!.message.role, choice!.message.refusal], [null, "assistant", null]);
  hasMembers(
    answer["usage"],
    "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details",
  );
  assert.equal(
    usageOf(answer)["total_tokens"],
    usageOf(answer)["prompt_tokens"]! + usageOf(answer)["completion_tokens"]!,
  );
});
check("timings add up to the prompt and hold no null", async ({ client }) => {
  const answer = await client.ask(PATH, say);
  const timings = answer["timings"] as Record<string, number>;
  hasMembers(
    timings,
    "cache_n prompt_n prompt_ms prompt_per_token_ms prompt_per_second predicted_n predicted_ms predicted_per_token_ms predicted_per_second",
  );
  assert.equal(timings["prompt_n"]! + timings["cache_n"]!, usageOf(answer)["prompt_tokens"]);
  assert.ok(Object.values(timings).every((value) => Number.isFinite(value)));
});
check("system_fingerprint is stable", async ({ client }) => {
  const print = async () => (await client.ask(PATH, { ...say, max_tokens: 1 }))["system_fingerprint"];
  assert.equal(await print(), await print());
});
check("every parameter that only OpenAI's service needs is accepted", async ({ client }) => {
  const reply = await client.post(PATH, {
    ...say,
    user: "u",
    safety_identifier: "s",
    metadata: { a: "b" },
    store: false,
    service_tier: "auto",
    prompt_cache_key: "k",
    prompt_cache_retention: "24h",
    verbosity: "low",
    prediction: { type: "content", content: "x" },
    modalities: ["text"],
    parallel_tool_calls: true,
    tools: [],
    max_completion_tokens: 3,
  });
  assert.equal(reply.status, 200, reply.text);
});
check(
  "what needs another model or service is refused by name",
  refusesEach(PATH, say, [
    [{ modalities: ["text", "audio"] }, ["unsupported_value", "unsupported_parameter"], "modalities"],
    [{ audio: { voice: "x", format: "wav" } }, ["unsupported_value", "unsupported_parameter"], "audio"],
    [{ web_search_options: {} }, ["unsupported_value", "unsupported_parameter"], "web_search_options"],
  ]),
);
check(
  "types and ranges are checked",
  refusesEach(PATH, say, [
    [{ n: 0 }, "invalid_value", "n"],
    [{ n: 129 }, "invalid_value", "n"],
    [{ max_tokens: 0 }, "invalid_value", "max_tokens"],
    [{ max_completion_tokens: -2 }, "invalid_value", "max_completion_tokens"],
    [{ max_tokens: 1.5 }, "invalid_type", "max_tokens"],
    [{ metadata: { a: 1 } }, "invalid_type", "metadata.a"],
    [{ stop: Array(65).fill("x") }, "invalid_value", "stop"],
    [{ top_logprobs: 3 }, "invalid_value", "top_logprobs"],
    [{ logprobs: true, top_logprobs: 21 }, "invalid_value", "top_logprobs"],
    [{ logprobs: 3 }, "invalid_type", "logprobs"],
    [{ stream_options: { include_usage: true } }, "invalid_value", "stream_options"],
    [{ service_tier: "x" }, "invalid_value", "service_tier"],
    [{ reasoning_effort: "x" }, "invalid_value", "reasoning_effort"],
    [{ reasoning_format: "x" }, "invalid_value", "reasoning_format"],
    [{ chat_template_kwargs: 3 }, "invalid_type", "chat_template_kwargs"],
    [{ add_generation_prompt: 1 }, "invalid_type", "add_generation_prompt"],
  ]),
);
check("max_completion_tokens wins over max_tokens, n_predict over both", async ({ client }) => {
  const count = async (body: Members) =>
    usageOf(await client.ask(PATH, { ...say, ignore_eos: true, ...body }))["completion_tokens"];
  assert.equal(await count({ max_tokens: 9, max_completion_tokens: 4 }), 4);
  assert.equal(await count({ max_tokens: 9, max_completion_tokens: 4, n_predict: 6 }), 6);
});
check("n counts all choices and the prompt once", async ({ client }) => {
  const answer = await client.ask(PATH, { ...say, n: 3, max_tokens: 4, ignore_eos: true });
  assert.deepEqual(
    choicesOf(answer).map(({ index }) => index),
    [0, 1, 2],
  );
  const one = await client.ask(PATH, { ...say, max_tokens: 4, ignore_eos: true });
  assert.equal(usageOf(answer)["prompt_tokens"], usageOf(one)["prompt_tokens"]);
  assert.equal(usageOf(answer)["completion_tokens"], 12);
});
check("more choices than slots are answered", async ({ client }) => {
  assert.equal(choicesOf(await client.ask(PATH, { ...say, n: 12, max_tokens: 2 })).length, 12);
});
check("finish_reason is length at the limit and stop at the end", async ({ client }) => {
  assert.equal(
    choicesOf(await client.ask(PATH, { ...say, max_tokens: 1, ignore_eos: true }))[0]!.finish_reason,
    "length",
  );
  assert.equal(choicesOf(await client.ask(PATH, { ...say, max_tokens: 300 }))[0]!.finish_reason, "stop");
});

check(
  "messages are refused by name",
  refusesEach(PATH, {}, [
    [{ messages: undefined }, "missing_required_parameter", "messages"],
    [{ messages: [] }, "invalid_value", "messages"],
    [{ messages: "x" }, "invalid_type", "messages"],
    [{ messages: ["x"] }, "invalid_type", "messages[0]"],
    [{ messages: [{ content: "x" }] }, "missing_required_parameter", "messages[0].role"],
    [{ messages: [{ role: "bot", content: "x" }] }, "invalid_value", "messages[0].role"],
    [{ messages: [user(null)] }, ["invalid_type", "missing_required_parameter"], "messages[0].content"],
    [{ messages: [user(3)] }, "invalid_type", "messages[0].content"],
    [{ messages: [{ role: "user" }] }, "missing_required_parameter", "messages[0].content"],
    [
      { messages: [user("a"), { role: "tool", content: "x" }] },
      "missing_required_parameter",
      "messages[1].tool_call_id",
    ],
    [{ messages: [user([{ type: "text" }])] }, "missing_required_parameter", "messages[0].content[0].text"],
  ]),
);
check("parts of other media are unsupported, as are all URLs of files", async ({ client }) => {
  for (const part of [
    { type: "image_url", image_url: { url: "https://example.org/a.png" } },
    { type: "image_url", image_url: { url: "file:///etc/passwd" } },
    { type: "input_audio", input_audio: { data: "AA==", format: "wav" } },
    { type: "file", file: { file_id: "x" } },
  ]) {
    const error = await refuses(
      client,
      PATH,
      { messages: [user([part])] },
      { code: ["unsupported_value", "invalid_value"] },
    );
    assert.match(String(error["param"]), /^messages\[0\]\.content\[0\]/);
  }
});
check("text parts join, refusals and empty texts are fine", async ({ client }) => {
  const count = async (messages: unknown) => (await client.ask(`${PATH}/input_tokens`, { messages }))["input_tokens"];
  assert.equal(
    await count([
      user([
        { type: "text", text: "Hello " },
        { type: "text", text: "there" },
      ]),
    ]),
    await count([user("Hello there")]),
  );
  for (const messages of [
    [user("")],
    [user("a"), { role: "assistant", content: [{ type: "refusal", refusal: "no" }] }, user("b")],
  ]) {
    assert.equal((await client.post(PATH, { messages, max_tokens: 2 })).status, 200);
  }
});
check("conversations of any order of roles are answered", async ({ client }) => {
  for (const roles of [
    "system",
    "developer user",
    "assistant user",
    "user user",
    "system system user",
    "assistant assistant user",
    "user assistant",
  ]) {
    const messages = roles.split(" ").map((role) => ({ role, content: "Hello" }));
    const reply = await client.post(PATH, { messages, max_tokens: 2 });
    assert.equal(reply.status, 200, `${roles}: ${reply.text}`);
  }
  const calls = [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }];
  const messages = [
    user("a"),
    { role: "assistant", content: null, tool_calls: calls },
    { role: "tool", tool_call_id: "c1", content: "7" },
  ];
  assert.equal((await client.post(PATH, { messages, max_tokens: 2 })).status, 200);
  assert.equal(
    (await client.post(PATH, { messages: [user("a"), { role: "function", name: "f", content: "7" }], max_tokens: 2 }))
      .status,
    200,
  );
});
check("calls and results of tools count in the prompt", async ({ client }) => {
  const count = async (name: string) =>
    Number(
      (
        await client.ask(`${PATH}/input_tokens`, {
          messages: [
            user("a"),
            { role: "assistant", tool_calls: [{ id: "c1", type: "function", function: { name, arguments: "{}" } }] },
            { role: "tool", tool_call_id: "c1", content: "7" },
          ],
        })
      )["input_tokens"],
    );
  assert.ok((await count("a_rather_long_name_of_a_function_that_is_called")) > (await count("f")) + 3);
});
check("a user's text never becomes a control token", async ({ client }) => {
  const count = async (content: string) =>
    Number((await client.ask(`${PATH}/input_tokens`, { messages: [user(content)] }))["input_tokens"]);
  const { bos_token: bos, eos_token: eos } = (await client.get("/props")).json as Record<string, string>;
  for (const token of [eos!, "<|im_end|>", bos!].filter((text) => text !== "")) {
    const { tokens } = (await client.ask("/tokenize", { content: token, parse_special: false })) as {
      tokens: number[];
    };
    assert.ok((await count(`a${token.repeat(4)}b`)) >= (await count("ab")) + 3 * tokens.length, token);
  }
});
check("template syntax in a message is plain text", async ({ client }) => {
  const { prompt } = await client.ask("/apply-template", { messages: [user("{{ 7 * 7 }}{% raw %}")] });
  assert.match(String(prompt), /\{\{ 7 \* 7 \}\}\{% raw %\}/);
});
check("a trailing assistant message is continued", async ({ client }) => {
  const whole = messageOf(await client.ask(PATH, say)).content!;
  const [start, rest] = [whole.slice(0, 7), whole.slice(7)];
  const body = { ...say, messages: [...say.messages, { role: "assistant", content: start }] };
  for (const more of [{}, { continue_final_message: true, add_generation_prompt: false }]) {
    const content = messageOf(await client.ask(PATH, { ...body, ...more })).content!;
    assert.ok(content === rest || content === whole, JSON.stringify([content, rest]));
  }
  await refuses(client, PATH, { ...body, add_generation_prompt: true, continue_final_message: true }, {});
});

check("a stream begins with the role, ends with a reason and [DONE], and says the same text", async ({ client }) => {
  const events = await client.stream(PATH, say);
  assert.equal(events.at(-1)!.data, "[DONE]");
  const chunks = chunksOf(events);
  assert.deepEqual([choicesOf(chunks[0]!)[0]!.delta.role, choicesOf(chunks[0]!)[0]!.delta.content], ["assistant", ""]);
  assert.ok(chunks.slice(1).every((chunk) => choicesOf(chunk).every(({ delta }) => !("role" in delta))));
  const last = choicesOf(chunks.at(-1)!)[0]!;
  assert.deepEqual([last.delta, last.finish_reason], [{}, "stop"]);
  assert.ok("timings" in chunks.at(-1)!);
  for (const name of ["id", "object", "created", "model", "system_fingerprint"])
    assert.equal(new Set(chunks.map((chunk) => chunk[name])).size, 1, name);
  assert.equal(chunks[0]!["object"], "chat.completion.chunk");
  assert.equal(textOf(events), messageOf(await client.ask(PATH, say)).content);
  assert.ok(!events.some(({ data }) => data.includes("\uFFFD")));
});
check("include_usage ends a stream with the usage, null before", async ({ client }) => {
  const chunks = chunksOf(
    await client.stream(PATH, { ...say, stream_options: { include_usage: true, include_obfuscation: false } }),
  );
  const last = chunks.pop()!;
  assert.deepEqual(last["choices"], []);
  assert.equal(usageOf(last)["completion_tokens"], usageOf(await client.ask(PATH, say))["completion_tokens"]);
  assert.ok(chunks.every((chunk) => chunk["usage"] === null));
});
check("a stream of several choices has a role and a reason for each", async ({ client }) => {
  const chunks = chunksOf(await client.stream(PATH, { ...say, n: 2, temperature: 1, seed: 1 }));
  for (const index of [0, 1]) {
    const mine = chunks.flatMap((chunk) => choicesOf(chunk).filter((choice) => choice.index === index));
    assert.equal(mine.filter(({ delta }) => delta.role !== undefined).length, 1);
    assert.equal(mine.filter(({ finish_reason: reason }) => reason !== null).length, 1);
    assert.notEqual(mine.at(-1)!.finish_reason, null);
  }
});
check("no part of a stop string is sent, whole or streamed", async ({ client }) => {
  const whole = messageOf(await client.ask(PATH, say)).content!;
  const stop = whole.slice(4, 9);
  const expected = whole.slice(0, whole.indexOf(stop));
  assert.equal(messageOf(await client.ask(PATH, { ...say, stop: [stop] })).content, expected);
  assert.equal(textOf(await client.stream(PATH, { ...say, stop })), expected);
});
check("timings_per_token adds times to content chunks", async ({ client }) => {
  const chunks = chunksOf(await client.stream(PATH, { ...say, timings_per_token: true }));
  assert.ok(
    chunks.filter((chunk) => (choicesOf(chunk)[0]?.delta.content ?? "") !== "").every((chunk) => "timings" in chunk),
  );
});
check("return_progress reports the prompt's evaluation", async ({ client }) => {
  const chunks = chunksOf(
    await client.stream(PATH, {
      messages: [user("word ".repeat(300))],
      max_tokens: 1,
      return_progress: true,
      cache_prompt: false,
    }),
  );
  const progress = chunks.flatMap(
    (chunk) => (chunk["prompt_progress"] as { total: number; cache: number; processed: number }[] | undefined) ?? [],
  );
  assert.ok(progress.length >= 2);
  assert.deepEqual([progress[0]!.processed, progress.at(-1)!.processed], [progress[0]!.cache, progress[0]!.total]);
});
check("the seed repeats, streamed and not, cached and not, alone and beside others", async ({ client }) => {
  const body = { messages: [user("Tell me a story")], temperature: 1.2, seed: 42, max_tokens: 40 };
  const one = messageOf(await client.ask(PATH, body)).content!;
  assert.equal(textOf(await client.stream(PATH, body)), one);
  assert.equal(messageOf(await client.ask(PATH, { ...body, cache_prompt: false })).content, one);
  const [busy] = await Promise.all([
    client.ask(PATH, body),
    client.ask(PATH, { ...body, seed: 1 }),
    client.ask(PATH, { ...body, seed: 2 }),
  ]);
  assert.equal(messageOf(busy).content, one);
});

check("logprobs have an entry for each token, whose bytes join to the text", async ({ client }) => {
  const answer = await client.ask(PATH, { ...say, logprobs: true, top_logprobs: 2 });
  const { content, refusal } = choicesOf(answer)[0]!.logprobs!;
  assert.equal(refusal, null);
  assert.equal(content.length, usageOf(answer)["completion_tokens"]);
  assert.equal(Buffer.from(content.flatMap(({ bytes }) => bytes as number[])).toString(), messageOf(answer).content);
  for (const entry of content) {
    hasMembers(entry, "token logprob bytes top_logprobs");
    const top = (entry["top_logprobs"] as { logprob: number }[]).map(({ logprob }) => logprob);
    assert.equal(top.length, 2);
    assert.ok(top[0]! >= top[1]! && Number(entry["logprob"]) <= 0);
  }
  const none = await client.ask(PATH, { ...say, logprobs: true });
  assert.ok(choicesOf(none)[0]!.logprobs!.content.every((entry) => (entry["top_logprobs"] as unknown[]).length === 0));
});
check("logprobs are the model's own, whatever the samplers do", async ({ client }) => {
  const first = async (more: Members) =>
    choicesOf(await client.ask(PATH, { ...say, logprobs: true, max_tokens: 1, ...more }))[0]!.logprobs!.content[0]![
      "logprob"
    ] as number;
  assert.ok(Math.abs((await first({})) - (await first({ temperature: 2, top_k: 1 }))) < 1e-3);
});
check("logprobs work in streams, with n and with tools", async ({ client }) => {
  const chunks = chunksOf(
    await client.stream(PATH, { ...say, logprobs: true, n: 2, tools: [clock], tool_choice: "none" }),
  );
  const tokens = chunks.flatMap((chunk) =>
    choicesOf(chunk)
      .filter(({ index }) => index === 1)
      .flatMap(({ logprobs }) => logprobs?.content ?? []),
  );
  assert.ok(tokens.length > 1);
});

check("post_sampling_probs reports prob and top_probs instead", async ({ client }) => {
  const body = { ...say, logprobs: true, top_logprobs: 2, post_sampling_probs: true, temperature: 1, top_k: 3 };
  const [choice] = choicesOf(await client.ask(PATH, { ...body, max_tokens: 3 }));
  for (const entry of choice!.logprobs!.content) hasMembers(entry, "token bytes prob top_probs");
});
check("return_tokens reports ids, whose text is the answer", async ({ client }) => {
  const [choice] = choicesOf(await client.ask(PATH, { ...say, return_tokens: true })) as (Choice & {
    tokens: number[];
  })[];
  const { content } = await client.ask("/detokenize", { tokens: choice!.tokens });
  assert.equal(content, choice!.message.content);
});
check("a prompt beyond the context is refused before any stream", async ({ client, model }) => {
  for (const stream of [false, true]) {
    const error = await overflow(client, model.contextLength, stream);
    assert.deepEqual([error["type"], error["n_ctx"]], ["exceed_context_size_error", model.contextLength]);
  }
});
function overflow(client: Client, contextLength: number, stream: boolean): Promise<Members> {
  const messages = [user("word ".repeat(Math.min(contextLength * 2, 180_000)))];
  return refuses(client, PATH, { messages, stream }, { code: "context_length_exceeded", param: "messages" });
}
check("reasoning_effort and template variables are taken", async ({ client }) => {
  for (const more of [
    { reasoning_effort: "low" },
    { reasoning_effort: "none" },
    { chat_template_kwargs: { enable_thinking: false } },
    { reasoning_format: "none" },
    { reasoning_format: "deepseek" },
  ]) {
    const reply = await client.post(PATH, { ...say, max_tokens: 2, ...more });
    assert.equal(reply.status, 200, reply.text);
  }
});
check("old functions are mapped or refused by name", async ({ client }) => {
  const body = { ...say, functions: [weather.function], max_tokens: 60 };
  const reply = await client.post(PATH, body);
  if (reply.status !== 200) await refuses(client, PATH, body, { code: "unsupported_parameter", param: "functions" });
});
