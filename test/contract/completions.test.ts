/** POST /v1/completions over the real engine and the demo model. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import type { TextLogprobs } from "../../src/openai/text-logprobs.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, eventsIn, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

interface Choice {
  readonly index: number;
  readonly text: string;
  readonly finish_reason: string | null;
  readonly logprobs: TextLogprobs | null;
}
interface Answer {
  readonly choices: readonly Choice[];
  readonly usage?: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
  };
}

const chatml = (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
const question = chatml("Say this is a test");
const expected = "This is a test.";

describe("completions over the demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  const post = (body: object) => supertest(appOf(engine)).post("/v1/completions").send(body);
  const ask = async (body: object): Promise<Answer> =>
    (await post({ temperature: 0, ...body }).expect(200)).body as Answer;
  const texts = ({ choices }: Answer) => choices.map(({ text }) => text);

  test("a rendered ChatML prompt is answered as the conversation it renders", async () => {
    const { body } = await post({ prompt: question, temperature: 0 }).expect(200);
    assert.match(body.id, /^cmpl-/);
    assert.equal(body.object, "text_completion");
    assert.deepEqual(body.choices, [{ index: 0, text: expected, logprobs: null, finish_reason: "stop" }]);
    const chat = await supertest(appOf(engine))
      .post("/v1/chat/completions")
      .send({ messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 });
    assert.equal(chat.body.choices[0].message.content, expected);
    assert.equal(body.usage.prompt_tokens, chat.body.usage.prompt_tokens);
  });

  test("token ids and mixed arrays are one prompt, equal to the text they stand for", async () => {
    const ids = engine.tokenize([question], { addSpecial: false, parseSpecial: true });
    const mixed = [...ids.slice(0, 3), engine.detokenize(ids.slice(3))];
    for (const prompt of [ids, [ids], mixed, [mixed]]) assert.deepEqual(texts(await ask({ prompt })), [expected]);
  });

  test("several prompts have n choices each, numbered prompt by prompt, and one usage", async () => {
    const other = chatml("Say the lamp is warm");
    const [one, two] = [await ask({ prompt: question, n: 2 }), await ask({ prompt: other, n: 2 })];
    const both = await ask({ prompt: [question, other], n: 2 });
    assert.deepEqual(
      both.choices.map(({ index }) => index),
      [0, 1, 2, 3],
    );
    assert.deepEqual(texts(both), [...texts(one), ...texts(two)]);
    assert.equal(both.usage?.prompt_tokens, one.usage!.prompt_tokens + two.usage!.prompt_tokens);
    assert.equal(both.usage?.completion_tokens, one.usage!.completion_tokens + two.usage!.completion_tokens);
  });

  test("more prompts than slots and queue together are all answered", async () => {
    const answer = await ask({ prompt: Array.from({ length: 20 }, () => question), n: 2 });
    assert.deepEqual(
      texts(answer),
      Array.from({ length: 40 }, () => expected),
    );
  });

  test("max_tokens is 16 unless given; -1 runs to the end", async () => {
    const story = chatml("Tell me a story about a fox named Ada.");
    const short = await ask({ prompt: story });
    assert.deepEqual([short.usage?.completion_tokens, short.choices[0]?.finish_reason], [16, "length"]);
    const long = await ask({ prompt: story, max_tokens: -1 });
    assert.ok(long.usage!.completion_tokens > 16);
    assert.equal(long.choices[0]?.finish_reason, "stop");
  });

  test("echo puts the prompt in front, streamed too; with max_tokens 0 it is all there is", async () => {
    assert.deepEqual(texts(await ask({ prompt: question, echo: true })), [question + expected]);
    const ids = engine.tokenize([question], { addSpecial: false, parseSpecial: true });
    const none = await ask({ prompt: ids, echo: true, max_tokens: 0 });
    assert.deepEqual(texts(none), [question]);
    assert.deepEqual([none.usage?.completion_tokens, none.choices[0]?.finish_reason], [0, "length"]);
    const { text } = await post({ prompt: question, temperature: 0, echo: true, stream: true }).expect(200);
    assert.equal((JSON.parse(eventsIn(text)[0]!) as Answer).choices[0]?.text, question);
  });

  test("a stream has text_completion chunks, a reason for each choice, the usage last, then [DONE]", async () => {
    const body = {
      prompt: [question, question],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    };
    const { text } = await post(body).expect(200).expect("content-type", "text/event-stream; charset=utf-8");
    const events = eventsIn(text);
    assert.equal(events.pop(), "[DONE]");
    const chunks = events.map((event) => JSON.parse(event) as Answer & { object: string });
    assert.ok(chunks.every(({ object }) => object === "text_completion"));
    const last = chunks.pop();
    assert.deepEqual(last?.choices, []);
    const whole = await ask({ prompt: [question, question] });
    assert.deepEqual(last?.usage?.completion_tokens, whole.usage?.completion_tokens);
    for (const index of [0, 1]) {
      const mine = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
      assert.equal(mine.map((choice) => choice.text).join(""), expected);
      assert.equal(mine.at(-1)?.finish_reason, "stop");
    }
  });

  test("stop ends the text, an empty prompt starts a document", async () => {
    assert.deepEqual(texts(await ask({ prompt: question, stop: " a" })), ["This is"]);
    assert.equal((await ask({ prompt: "", max_tokens: 1 })).usage?.prompt_tokens, 1);
  });

  test("a prompt beyond the context is refused by name, also as one of many and in a stream", async () => {
    for (const body of [{ prompt: "word ".repeat(4000) }, { prompt: [question, "word ".repeat(4000)], stream: true }]) {
      const { error } = (await post(body).expect(400)).body as { error: Record<string, unknown> };
      assert.deepEqual([error["code"], error["param"], error["n_ctx"]], ["context_length_exceeded", "prompt", 2048]);
    }
  });

  test("what is no prompt is refused by name", async () => {
    const cases: [unknown, string, string][] = [
      [undefined, "missing_required_parameter", "prompt"],
      [3, "invalid_type", "prompt"],
      [{}, "invalid_type", "prompt"],
      [[], "invalid_value", "prompt"],
      [[[]], "invalid_value", "prompt[0]"],
      [[1.5], "invalid_type", "prompt[0]"],
      [[-1], "invalid_value", "prompt[0]"],
      [[true], "invalid_type", "prompt[0]"],
      [[999_999], "invalid_value", "prompt"],
      [[[1], [999_999]], "invalid_value", "prompt"],
    ];
    for (const [prompt, code, param] of cases) {
      const { error } = (await post({ prompt }).expect(400)).body as { error: Record<string, unknown> };
      assert.deepEqual([error["code"], error["param"]], [code, param], JSON.stringify(prompt));
    }
  });

  test("all samplers act here as on the chat route", async () => {
    const greedyInAnyOrder = { prompt: question, temperature: 2, samplers: "tk", top_k: 1 };
    assert.deepEqual(texts(await ask(greedyInAnyOrder)), [expected]);
    const body = { temperature: 1.5, top_k: 0, top_p: 1, min_p: 0, mirostat: 2, mirostat_tau: 3, seed: 4 };
    const chat = await supertest(appOf(engine))
      .post("/v1/chat/completions")
      .send({ ...body, messages: [{ role: "user", content: "Say this is a test" }], max_tokens: 30 });
    assert.deepEqual(texts(await ask({ ...body, prompt: question, max_tokens: 30 })), [
      chat.body.choices[0].message.content,
    ]);
    const none = await ask({ prompt: question, n_predict: 0, mirostat: 1, temperature: 1 });
    assert.deepEqual([texts(none), none.usage?.completion_tokens], [[""], 0]);
  });

  test("what this route does not do is refused by name", async () => {
    const cases: [object, string, string][] = [
      [{ suffix: "end" }, "unsupported_parameter", "suffix"],
      [{ logprobs: 6 }, "invalid_value", "logprobs"],
      [{ logprobs: true }, "invalid_type", "logprobs"],
      [{ n_probs: -2 }, "invalid_value", "n_probs"],
      [{ n: 3, best_of: 2 }, "invalid_value", "best_of"],
      [{ best_of: 2, stream: true }, "invalid_value", "best_of"],
      [{ best_of: 21 }, "invalid_value", "best_of"],
      [{ samplers: "q" }, "invalid_value", "samplers"],
      [{ max_tokens: 0 }, "invalid_value", "max_tokens"],
      [{ n: 21 }, "invalid_value", "n"],
    ];
    for (const [members, code, param] of cases) {
      const { error } = (await post({ prompt: "a", ...members }).expect(400)).body as {
        error: Record<string, unknown>;
      };
      assert.deepEqual([error["code"], error["param"]], [code, param]);
    }
    const { headers } = await post({ prompt: "a", messages: [], max_tokens: 1 }).expect(200);
    assert.equal(headers["x-ignored-params"], "messages");
  });

  test("logprobs have OpenAI's old shape, whole and streamed", async () => {
    const [choice] = (await ask({ prompt: question, logprobs: 2 })).choices;
    const { tokens, token_logprobs, top_logprobs, text_offset } = choice!.logprobs!;
    assert.equal(tokens.join(""), expected);
    assert.ok(token_logprobs.every((logprob) => logprob !== null && logprob <= 0));
    assert.ok(top_logprobs.every((top) => Object.keys(top!).length === 2));
    assert.deepEqual(top_logprobs[0]![tokens[0]!], token_logprobs[0]);
    for (const [index, offset] of text_offset.entries()) assert.ok(expected.startsWith(tokens[index]!, offset));
    const { text } = await post({ prompt: question, temperature: 0, logprobs: 2, stream: true }).expect(200);
    const pieces = eventsIn(text)
      .slice(0, -1)
      .flatMap((event) => (JSON.parse(event) as Answer).choices[0]?.logprobs ?? []);
    assert.deepEqual(
      pieces.flatMap((piece) => piece.text_offset),
      text_offset,
    );
    assert.deepEqual(
      pieces.flatMap((piece) => piece.tokens),
      tokens,
    );
    assert.equal((await ask({ prompt: question })).choices[0]!.logprobs, null);
  });

  test("post_sampling_probs reports prob and top_probs, whole and streamed; not of a prompt, which no sampler drew", async () => {
    interface Chance {
      readonly token: string;
      readonly prob: number;
      readonly top_probs: readonly { readonly token: string; readonly prob: number }[];
    }
    const reported = (answer: unknown) =>
      (answer as { choices: { logprobs: { content: Chance[] } | null }[] }).choices.flatMap(
        ({ logprobs }) => logprobs?.content ?? [],
      );
    const sampling = { temperature: 1, top_k: 2, top_p: 1, min_p: 0, seed: 5 };
    const body = { prompt: question, logprobs: 4, post_sampling_probs: true, ...sampling };
    const whole = await ask(body);
    const tokens = reported(whole);
    assert.equal(tokens.length, whole.usage?.completion_tokens);
    assert.equal(tokens.map(({ token }) => token).join(""), texts(whole)[0]);
    for (const { prob, top_probs: top, ...rest } of tokens) {
      assert.deepEqual(Object.keys(rest).toSorted(), ["bytes", "token"]);
      const sum = top.reduce((total, one) => total + one.prob, 0);
      assert.ok(prob > 0 && top.length >= 1 && top.length <= 2 && Math.abs(sum - 1) < 1e-5, JSON.stringify(top));
    }
    const { text } = await post({ ...body, stream: true }).expect(200);
    const events = eventsIn(text).filter((event) => event !== "[DONE]");
    assert.deepEqual(
      events.flatMap((event) => reported(JSON.parse(event))),
      tokens,
    );
    const { body: refusal } = await post({ ...body, echo: true }).expect(400);
    const { error } = refusal as { error: { code: string; param: string } };
    assert.deepEqual([error.code, error.param], ["invalid_value", "post_sampling_probs"]);
  });

  test("best_of computes more answers and sends the likeliest", async () => {
    const body = { prompt: chatml("Tell me a story."), temperature: 1.5, seed: 5, max_tokens: 12, logprobs: 0 };
    const all = await ask({ ...body, n: 5 });
    const mean = (choice: Choice) => {
      const { token_logprobs: logprobs } = choice.logprobs!;
      return logprobs.reduce<number>((sum, logprob) => sum + logprob!, 0) / logprobs.length;
    };
    const sorted = all.choices.toSorted((a, b) => mean(b) - mean(a));
    const best = await ask({ ...body, n: 2, best_of: 5 });
    assert.deepEqual(
      best.choices.map(({ index, text }) => [index, text]),
      sorted.slice(0, 2).map(({ text }, index) => [index, text]),
    );
    assert.equal(best.usage?.completion_tokens, all.usage?.completion_tokens);
  });

  test("a client that leaves frees all slots of its prompts", { skip: skipWithoutStreams }, async (t) => {
    const { url } = await listen(t, appOf(engine));
    const leaving = new AbortController();
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ prompt: Array(6).fill(question), ignore_eos: true, max_tokens: 1900, stream: true }),
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    assert.ok(engine.status().slots.some((slot) => slot.busy));
    leaving.abort();
    for (let waited = 0; engine.status().slots.some((slot) => slot.busy); waited += 10) {
      assert.ok(waited < 2000, "a slot is still busy after two seconds");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  test("OpenAI's client completes text, whole and streamed", async (t) => {
    const { url } = await listen(t, appOf(engine));
    const client = new OpenAI({ baseURL: `${url}/v1/`, apiKey: "any", maxRetries: 0 });
    const body = { model: "aleph-tiny-chat", prompt: question, temperature: 0 };
    assert.equal((await client.completions.create(body)).choices[0]?.text, expected);
    let streamed = "";
    for await (const chunk of await client.completions.create({ ...body, stream: true })) {
      streamed += chunk.choices[0]?.text ?? "";
    }
    assert.equal(streamed, expected);
  });
});
