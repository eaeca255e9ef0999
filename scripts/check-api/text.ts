import assert from "node:assert/strict";

import { PATH, question, greedy, choicesOf, usageOf, textOf, deltas } from "./text-answers.ts";
import { hasMembers, refuses, refusesEach, chatml, section } from "./checks.ts";

const { checks, check } = section("5-6 completions and sampling");
export const text = checks;

check("the answer has OpenAI's members", async ({ client, model }) => {
  const answer = await client.ask(PATH, greedy);
  hasMembers(answer, "id object created model system_fingerprint choices usage timings");
  assert.match(String(answer["id"]), /^cmpl-/);
  assert.deepEqual([answer["object"], answer["model"]], ["text_completion", model.id]);
  hasMembers(choicesOf(answer)[0], "index text logprobs finish_reason");
  assert.equal(choicesOf(answer)[0]!.logprobs, null);
  const usage = usageOf(answer);
  assert.equal(usage["total_tokens"], usage["prompt_tokens"]! + usage["completion_tokens"]!);
});
check("max_tokens is 16 by default, -1 runs on, 0 needs echo", async ({ client }) => {
  const long = { ...greedy, ignore_eos: true };
  const answer = await client.ask(PATH, long);
  assert.deepEqual([usageOf(answer)["completion_tokens"], choicesOf(answer)[0]!.finish_reason], [16, "length"]);
  assert.equal(choicesOf(await client.ask(PATH, { ...greedy, max_tokens: -1 }))[0]!.finish_reason, "stop");
  await refuses(client, PATH, { ...greedy, max_tokens: 0 }, { code: "invalid_value", param: "max_tokens" });
  assert.equal(textOf(await client.ask(PATH, { ...greedy, max_tokens: 0, echo: true })), question);
});
check("several prompts are answered in order, and usage sums over all", async ({ client }) => {
  const both = await client.ask(PATH, { ...greedy, prompt: [question, chatml("Hello")], n: 2 });
  assert.deepEqual(
    choicesOf(both).map(({ index }) => index),
    [0, 1, 2, 3],
  );
  const one = await client.ask(PATH, greedy);
  const two = await client.ask(PATH, { ...greedy, prompt: chatml("Hello") });
  assert.deepEqual(
    choicesOf(both).map((choice) => choice.text),
    [textOf(one), textOf(one), textOf(two), textOf(two)],
  );
  assert.equal(usageOf(both)["prompt_tokens"], usageOf(one)["prompt_tokens"]! + usageOf(two)["prompt_tokens"]!);
  assert.equal(
    usageOf(both)["completion_tokens"],
    2 * (usageOf(one)["completion_tokens"]! + usageOf(two)["completion_tokens"]!),
  );
});
check("token ids, lists of them and ids mixed with text are prompts", async ({ client }) => {
  const { tokens } = (await client.ask("/tokenize", { content: question })) as { tokens: number[] };
  const expected = textOf(await client.ask(PATH, greedy));
  assert.equal(textOf(await client.ask(PATH, { ...greedy, prompt: tokens })), expected);
  assert.equal(choicesOf(await client.ask(PATH, { ...greedy, prompt: [tokens, tokens] })).length, 2);
  assert.equal(choicesOf(await client.ask(PATH, { ...greedy, prompt: [tokens[0], "a"] })).length, 1);
});
check("control tokens in a text prompt are parsed", async ({ client }) => {
  const parsed = usageOf(await client.ask(PATH, greedy))["prompt_tokens"]!;
  const { tokens } = (await client.ask("/tokenize", { content: question, parse_special: false })) as {
    tokens: number[];
  };
  assert.ok(parsed < tokens.length);
});
check("what is no prompt is refused by name", async ({ client, model }) => {
  for (const [prompt, code] of [
    [undefined, "missing_required_parameter"],
    [[], "invalid_value"],
    [{}, "invalid_type"],
    [3, "invalid_type"],
    [true, "invalid_type"],
    [[1.5], "invalid_type"],
    [[-1], "invalid_value"],
    [[model.vocabularySize + 5], "invalid_value"],
    [[[]], "invalid_value"],
  ] as const) {
    const error = await refuses(client, PATH, { prompt }, { code: [code] });
    assert.match(String(error["param"]), /^prompt/);
  }
});
check(
  "n and best_of have their ranges",
  refusesEach(PATH, greedy, [
    [{ n: 0 }, "invalid_value", "n"],
    [{ n: 21 }, "invalid_value", "n"],
    [{ n: "2" }, "invalid_type", "n"],
    [{ n: 3, best_of: 2 }, "invalid_value", "best_of"],
    [{ best_of: 2, stream: true }, "invalid_value", "best_of"],
  ]),
);
check("best_of sends the n likeliest and counts all", async ({ client }) => {
  const answer = await client.ask(PATH, {
    prompt: "Once",
    temperature: 1.5,
    seed: 3,
    n: 2,
    best_of: 4,
    max_tokens: 5,
    ignore_eos: true,
  });
  assert.equal(choicesOf(answer).length, 2);
  assert.equal(usageOf(answer)["completion_tokens"], 20);
});
check("echo puts the prompt in front, in streams too", async ({ client }) => {
  const expected = question + textOf(await client.ask(PATH, greedy));
  assert.equal(textOf(await client.ask(PATH, { ...greedy, echo: true })), expected);
  assert.equal(deltas(await client.stream(PATH, { ...greedy, echo: true })), expected);
});
check("logprobs have the old shape", async ({ client }) => {
  const [choice] = choicesOf(await client.ask(PATH, { ...greedy, logprobs: 3 }));
  const { tokens, token_logprobs, top_logprobs, text_offset } = choice!.logprobs!;
  assert.equal(tokens.join(""), choice!.text);
  assert.ok([token_logprobs, top_logprobs, text_offset].every((list) => list.length === tokens.length));
  assert.ok(token_logprobs.every((value) => value !== null && value <= 0));
  assert.ok(top_logprobs.every((top) => Object.keys(top!).length >= 3));
  let offset = 0;
  for (const [index, token] of tokens.entries()) {
    assert.equal(text_offset[index], offset);
    offset += Array.from(token).length;
  }
});
check("logprobs travel with a stream's pieces", async ({ client }) => {
  const [choice] = choicesOf(await client.ask(PATH, { ...greedy, logprobs: 1 }));
  const events = await client.stream(PATH, { ...greedy, logprobs: 1 });
  const tokens = events.slice(0, -1).flatMap(({ json }) => choicesOf(json)[0]?.logprobs?.tokens ?? []);
  assert.deepEqual(tokens, choice!.logprobs!.tokens);
});
check("echo with logprobs scores the prompt, its first token null", async ({ client }) => {
  const answer = await client.ask(PATH, { prompt: "Hello world, this is", echo: true, max_tokens: 0, logprobs: 1 });
  const { tokens, token_logprobs: logprobs, text_offset: offsets } = choicesOf(answer)[0]!.logprobs!;
  assert.ok(tokens.length > 1, JSON.stringify(answer).slice(0, 300));
  assert.equal(logprobs[0], null);
  assert.ok(logprobs.slice(1).every((value) => typeof value === "number" && value <= 0));
  assert.equal(tokens.join(""), textOf(answer));
  assert.equal(offsets[0], 0);
});
check(
  "logprobs beyond 5, and no numbers, are refused",
  refusesEach(PATH, greedy, [
    [{ logprobs: 6 }, "invalid_value", "logprobs"],
    [{ logprobs: -1 }, "invalid_value", "logprobs"],
    [{ logprobs: true }, "invalid_type", "logprobs"],
  ]),
);
check("suffix is used, or refused by name where the model cannot", async ({ client }) => {
  const reply = await client.post(PATH, { prompt: "a", suffix: "b", max_tokens: 2 });
  if (reply.status === 200) return;
  await refuses(client, PATH, { prompt: "a", suffix: "b" }, { code: "unsupported_parameter", param: "suffix" });
});
check("response_format governs a text answer too", async ({ client }) => {
  const schema = {
    type: "object",
    properties: { a: { type: "integer" } },
    required: ["a"],
    additionalProperties: false,
  };
  const answer = await client.ask(PATH, {
    prompt: "x",
    max_tokens: 60,
    temperature: 1,
    seed: 1,
    response_format: { type: "json_schema", json_schema: { name: "t", schema } },
  });
  if (choicesOf(answer)[0]!.finish_reason === "stop")
    assert.equal(typeof (JSON.parse(textOf(answer)) as { a: unknown }).a, "number");
});
check("a stream has text_completion chunks with equal heads, a reason last, then [DONE]", async ({ client }) => {
  const events = await client.stream(PATH, greedy);
  assert.equal(events.at(-1)!.data, "[DONE]");
  const chunks = events.slice(0, -1).map(({ json }) => json);
  for (const name of ["id", "object", "created", "model", "system_fingerprint"])
    assert.equal(new Set(chunks.map((chunk) => chunk[name])).size, 1, name);
  assert.equal(chunks[0]!["object"], "text_completion");
  assert.equal(deltas(events), textOf(await client.ask(PATH, greedy)));
  const reasons = chunks.flatMap((chunk) => choicesOf(chunk).map(({ finish_reason: reason }) => reason));
  assert.deepEqual(
    reasons.filter((reason) => reason !== null),
    ["stop"],
  );
  assert.ok("timings" in chunks.at(-1)!);
});
check("include_usage ends a stream with the usage, null before", async ({ client }) => {
  const events = await client.stream(PATH, { ...greedy, stream_options: { include_usage: true } });
  const chunks = events.slice(0, -1).map(({ json }) => json);
  const last = chunks.pop()!;
  assert.deepEqual(last["choices"], []);
  assert.ok(usageOf(last)["completion_tokens"]! > 0);
  assert.ok(chunks.every((chunk) => chunk["usage"] === null));
});
check(
  "stream_options without stream are refused",
  refusesEach(PATH, greedy, [[{ stream_options: { include_usage: true } }, "invalid_value", "stream_options"]]),
);
check("stop ends the text, as a string and as an array, empty strings skipped", async ({ client }) => {
  const whole = textOf(await client.ask(PATH, { ...greedy, max_tokens: 40 }));
  const word = whole.slice(5, 8);
  for (const stop of [word, ["zzz", word, ""]]) {
    const answer = await client.ask(PATH, { ...greedy, max_tokens: 40, stop });
    assert.deepEqual(
      [textOf(answer), choicesOf(answer)[0]!.finish_reason],
      [whole.slice(0, whole.indexOf(word)), "stop"],
    );
  }
  assert.equal(
    deltas(await client.stream(PATH, { ...greedy, max_tokens: 40, stop: word })),
    whole.slice(0, whole.indexOf(word)),
  );
});
