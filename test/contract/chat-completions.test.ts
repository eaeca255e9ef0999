/** The app over the real engine and the demo model: what a client sees of golden answers. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startEngine } from "../../src/engine/load.ts";
import { demoModelPath, transcripts, type Transcript } from "../support/demo-model.ts";
import { appOf, eventsIn, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

interface Answer {
  readonly choices: readonly { readonly message: { readonly content: string }; readonly finish_reason: string }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
  readonly timings: Readonly<Record<string, number>>;
}
interface Chunk {
  readonly id: string;
  readonly created: number;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: Answer["usage"] | null;
}

/** Without tools: those are refused by name until they are honoured. */
const plain = transcripts.filter(
  ({ tools, messages }) =>
    tools === undefined && messages.every(({ role, tool_calls: calls }) => role !== "tool" && calls === undefined),
);
const bodyOf = ({ messages }: Transcript) => ({ messages, temperature: 0, max_tokens: 256 });
const story = {
  messages: [{ role: "user", content: "Tell me a story about a fox named Ada." }],
  temperature: 1.5,
  seed: 7,
};

describe("chat completions over the demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = startEngine({
      modelPath: demoModelPath,
      modelId: "aleph-tiny-chat",
      aliases: ["openhermes-2.5"],
      contextLength: undefined,
      slots: 4,
      queueLength: 4,
      threads: 1,
    });
    await engine.ready;
  });
  after(() => engine.close());

  const ask = async (body: object): Promise<Answer> => {
    const { body: answer } = await supertest(appOf(engine)).post("/v1/chat/completions").send(body).expect(200);
    return answer as Answer;
  };
  const stream = async (body: object): Promise<Chunk[]> => {
    const { text } = await supertest(appOf(engine))
      .post("/v1/chat/completions")
      .send({ ...body, stream: true, stream_options: { include_usage: true } })
      .expect(200)
      .expect("content-type", "text/event-stream; charset=utf-8");
    const events = eventsIn(text);
    assert.equal(events.pop(), "[DONE]");
    return events.map((event) => JSON.parse(event) as Chunk);
  };
  const textOf = (chunks: readonly Chunk[], index = 0) =>
    chunks
      .flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
      .map(({ delta }) => delta.content ?? "")
      .join("");

  assert.ok(plain.length > 35, "the golden transcripts are there");
  for (const [index, transcript] of plain.entries()) {
    test(`golden answer ${index} (${transcript.skill}), whole and streamed`, async () => {
      const { choices, usage } = await ask(bodyOf(transcript));
      assert.equal(choices[0]?.message.content, transcript.expected_text);
      assert.equal(choices[0]?.finish_reason, "stop");
      assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
      const chunks = await stream(bodyOf(transcript));
      assert.equal(textOf(chunks), transcript.expected_text);
      assert.deepEqual(chunks.at(-1)?.usage?.completion_tokens, usage.completion_tokens);
    });
  }

  test("the chunks of a stream share their head, and come as role, content, reason, usage", async () => {
    const chunks = await stream(bodyOf(plain[0]!));
    assert.equal(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size, 1);
    assert.equal(chunks[0]?.choices[0]?.delta.role, "assistant");
    assert.equal(chunks.at(-2)?.choices[0]?.finish_reason, "stop");
    assert.deepEqual(chunks.at(-2)?.choices[0]?.delta, {});
    assert.deepEqual(chunks.at(-1)?.choices, []);
    assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
  });

  test("a seed gives the same text whole, streamed, again, and beside other requests", async () => {
    const body = { ...story, max_tokens: 50 };
    const first = (await ask(body)).choices[0]?.message.content;
    const [again, streamed] = await Promise.all([
      ask(body),
      stream(body),
      ask({ ...body, seed: 8 }),
      ask({ ...body, seed: 9 }),
    ]);
    assert.equal(again.choices[0]?.message.content, first);
    assert.equal(textOf(streamed), first);
  });

  test("log probabilities: an entry for each token, the same whole and streamed, with a computed sampler too", async () => {
    for (const sampler of [{}, { mirostat: 2 }, { typical_p: 0.7, samplers: "yt" }]) {
      const body = { ...story, ...sampler, max_tokens: 20, logprobs: true, top_logprobs: 2 };
      const whole = await ask(body);
      const { message, logprobs } = whole.choices[0] as unknown as {
        message: { content: string };
        logprobs: { content: { bytes: number[]; logprob: number; top_logprobs: unknown[] }[] };
      };
      assert.equal(logprobs.content.length, whole.usage.completion_tokens);
      assert.equal(Buffer.from(logprobs.content.flatMap(({ bytes }) => bytes)).toString(), message.content);
      assert.ok(logprobs.content.every(({ logprob, top_logprobs }) => logprob <= 0 && top_logprobs.length === 2));
      const pieces = (await stream(body)).flatMap(({ choices }) =>
        (choices as unknown as { logprobs: typeof logprobs | null }[]).flatMap(
          (choice) => choice.logprobs?.content ?? [],
        ),
      );
      // Another batch layout computes the last digits differently.
      const digits = (entries: typeof pieces) => entries.map(({ bytes, logprob }) => [bytes, logprob.toFixed(3)]);
      assert.deepEqual(digits(pieces), digits(logprobs.content));
    }
  });

  test("n choices differ, are counted together, and evaluate the prompt once", async () => {
    const { choices, usage, timings } = await ask({ ...story, n: 5, max_tokens: 20 });
    assert.equal(new Set(choices.map(({ message }) => message.content)).size, 5);
    assert.ok(usage.completion_tokens <= 100 && usage.completion_tokens > 50);
    assert.equal(timings["prompt_n"]! + timings["cache_n"]!, usage.prompt_tokens);
  });

  test("a follow-up reports the tokens that were not evaluated again", async () => {
    const messages = [{ role: "user", content: "Say the lamp is warm" }];
    const { choices } = await ask({ messages, temperature: 0 });
    const { usage } = await ask({
      messages: [
        ...messages,
        { role: "assistant", content: choices[0]?.message.content },
        { role: "user", content: "Thanks" },
      ],
      temperature: 0,
    });
    assert.ok(usage.prompt_tokens_details.cached_tokens > 10);
    assert.ok(usage.prompt_tokens_details.cached_tokens < usage.prompt_tokens);
  });

  test("a stop sequence ends the answer with stop; max_tokens ends it with length", async () => {
    const body = bodyOf(plain[0]!);
    assert.equal((await ask({ ...body, stop: "a te" })).choices[0]?.message.content, "This is ");
    const cut = await ask({ ...body, max_tokens: 2 });
    assert.equal(cut.choices[0]?.finish_reason, "length");
    assert.equal(cut.usage.completion_tokens, 2);
  });

  test("messages beyond the context are refused with the documented members, streamed or not", async () => {
    for (const streamed of [false, true]) {
      const { body } = await supertest(appOf(engine))
        .post("/v1/chat/completions")
        .send({ messages: [{ role: "user", content: "word ".repeat(4000) }], stream: streamed })
        .expect(400);
      const { error } = body as { error: Record<string, unknown> };
      assert.equal(error["type"], "exceed_context_size_error");
      assert.equal(error["code"], "context_length_exceeded");
      assert.equal(error["param"], "messages");
      assert.equal(error["n_ctx"], 2048);
      assert.ok(Number(error["n_prompt_tokens"]) > 2048);
    }
  });

  test("the served aliases mean the model, any other name is not found", async () => {
    await ask({ ...bodyOf(plain[0]!), model: "openhermes-2.5" });
    await supertest(appOf(engine))
      .post("/v1/chat/completions")
      .send({ ...bodyOf(plain[0]!), model: "gpt-9" })
      .expect(404);
  });

  test("a client that leaves a stream frees its slot within a moment", { skip: skipWithoutStreams }, async (t) => {
    const { url } = await listen(t, appOf(engine));
    const leaving = new AbortController();
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ ...story, temperature: 2, max_tokens: 1900, stream: true }),
      headers: { "content-type": "application/json" },
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    assert.ok(engine.status().slots.some((slot) => slot.busy));
    leaving.abort();
    for (let waited = 0; engine.status().slots.some((slot) => slot.busy); waited += 10) {
      assert.ok(waited < 1000, "the slot is still busy after a second");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  test("one request too many is refused with 429 and Retry-After", { skip: skipWithoutStreams }, async (t) => {
    const { url } = await listen(t, appOf(engine));
    const leaving = new AbortController();
    const post = (signal: AbortSignal) =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ ...story, temperature: 2, max_tokens: 1900, stream: true }),
        headers: { "content-type": "application/json" },
        signal,
      });
    const busy = await Promise.all(Array.from({ length: 4 }, () => post(leaving.signal)));
    const waiting = Array.from({ length: 4 }, () => post(leaving.signal).catch(() => undefined));
    while (engine.status().queued < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    const refused = await post(AbortSignal.timeout(5000));
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get("retry-after")) > 0);
    leaving.abort();
    await Promise.all([...waiting, ...busy.map((response) => response.text().catch(() => ""))]);
  });
});
