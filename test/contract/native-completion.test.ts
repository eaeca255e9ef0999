/** POST /completion, llama.cpp's own route, over the real engine and the demo model. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { DEFAULT_SAMPLERS } from "../../src/domain/generation.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, eventsIn } from "../support/server.ts";

type Members = Readonly<Record<string, unknown>>;

const question = "<|im_start|>user\nSay this is a test<|im_end|>\n<|im_start|>assistant\n";
const expected = "This is a test.";

describe("llama.cpp's completion over the demo model", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine();
  });
  after(() => engine.close());

  const post = (body: object, path = "/completion") => supertest(appOf(engine)).post(path).send(body);
  const ask = async (body: object) => (await post({ temperature: 0, ...body }).expect(200)).body as Members;

  test("the answer has llama.cpp's members, old and new, under both paths", async () => {
    for (const path of ["/completion", "/completions"]) {
      const { body } = await post({ prompt: question, temperature: 0, image_data: [], n: 1 }, path).expect(200);
      const { generation_settings: settings, timings, ...rest } = body as Members & { timings: Members };
      const evaluated = await engine.count({ kind: "text", parts: [question] });
      const predicted = rest["tokens_predicted"] as number;
      assert.deepEqual(rest, {
        index: 0,
        content: expected,
        tokens: [],
        id_slot: 0,
        stop: true,
        model: "aleph-tiny-chat",
        tokens_predicted: predicted,
        tokens_evaluated: evaluated,
        prompt: question,
        has_new_line: false,
        truncated: false,
        stop_type: "eos",
        stopping_word: "",
        tokens_cached: evaluated + predicted,
        slot_id: 0,
        stopped_eos: true,
        stopped_limit: false,
        stopped_word: false,
      });
      assert.equal(timings["predicted_n"], predicted);
      const { temperature, top_k, mirostat, n_predict } = settings as Members;
      assert.deepEqual([temperature, top_k, mirostat, n_predict], [0, 40, 0, -1]);
    }
  });

  test("all samplers act, and the settings tell which", async () => {
    const sampling = { typical_p: 0.9, mirostat: 2, mirostat_tau: 3, min_keep: 2, dynatemp_range: 0.5 };
    const given = await ask({ prompt: question, temperature: 2, samplers: ["temperature", "typ", "top-k"], top_k: 1 });
    assert.equal(given["content"], expected);
    const { samplers } = given["generation_settings"] as Members;
    assert.deepEqual(samplers, ["temperature", "typ_p", "top_k"]);
    const settings = (await ask({ ...sampling, prompt: question, n_predict: 3 }))["generation_settings"] as object;
    assert.deepEqual(settings, { ...settings, ...sampling, samplers: DEFAULT_SAMPLERS });
    const none = await ask({ ...sampling, prompt: question, temperature: 1, n_predict: 0 });
    assert.deepEqual([none["content"], none["tokens_predicted"]], ["", 0]);
  });

  test("it tells which stop sequence was met, and a limit from an end", async () => {
    const word = await ask({ prompt: question, stop: ["nothing", " a"] });
    assert.deepEqual([word["content"], word["stop_type"], word["stopping_word"]], ["This is", "word", " a"]);
    const limit = await ask({ prompt: question, n_predict: 2 });
    assert.deepEqual([limit["stop_type"], limit["tokens_predicted"], limit["truncated"]], ["limit", 2, false]);
    const none = await ask({ prompt: question, n_predict: 0 });
    assert.deepEqual([none["content"], none["tokens_predicted"]], ["", 0]);
  });

  test("an answer that fills the context is truncated", async () => {
    const { body } = await post({ prompt: "a ".repeat(900), ignore_eos: true, temperature: 0 }).expect(200);
    assert.deepEqual([body.stop_type, body.truncated], ["limit", true]);
    assert.equal(body.tokens_evaluated + body.tokens_predicted, 2048);
  });

  test("ids, mixed arrays and prompt_string are one prompt; a list of prompts gets a list", async () => {
    const ids = engine.tokenize([question], { addSpecial: false, parseSpecial: true });
    for (const prompt of [ids, [...ids.slice(0, 2), engine.detokenize(ids.slice(2))], { prompt_string: question }]) {
      assert.equal((await ask({ prompt }))["content"], expected);
    }
    const list = (await ask({ prompt: [question, { prompt_string: "Hello" }, ids], n_predict: 20 })) as unknown;
    assert.deepEqual(
      (list as Members[]).map(({ index, prompt }) => [index, prompt]),
      [
        [0, question],
        [1, "Hello"],
        [2, question],
      ],
    );
    assert.equal((list as Members[])[2]?.["content"], expected);
  });

  test("a stream is pieces, then the last object without text, and no [DONE]", async () => {
    const { text } = await post({ prompt: question, temperature: 0, stream: true })
      .expect(200)
      .expect("content-type", "text/event-stream; charset=utf-8");
    const events = eventsIn(text).map((event) => JSON.parse(event) as Members);
    const last = events.pop()!;
    assert.deepEqual([last["stop"], last["content"], last["stop_type"]], [true, "", "eos"]);
    assert.equal(events.map(({ content }) => content).join(""), expected);
    assert.ok(events.every(({ stop }) => stop === false));
    assert.equal(events.at(-1)?.["tokens_evaluated"], last["tokens_evaluated"]);
  });

  test("ranges are llama.cpp's, refusals name the parameter", async () => {
    assert.equal((await ask({ prompt: question, temperature: 3, top_k: 1 }))["content"], expected);
    const cases: [object, string, string][] = [
      [{}, "missing_required_parameter", "prompt"],
      [{ prompt: [] }, "invalid_value", "prompt"],
      [{ prompt: 3 }, "invalid_type", "prompt"],
      [{ prompt: [999_999] }, "invalid_value", "prompt"],
      [{ prompt: "a", n_predict: -2 }, "invalid_value", "n_predict"],
      [{ prompt: "a", temperature: -1 }, "invalid_value", "temperature"],
      [{ prompt: "a", n_probs: -1 }, "invalid_value", "n_probs"],
      [{ prompt: "a", post_sampling_probs: 1 }, "invalid_type", "post_sampling_probs"],
      [{ prompt: "a", response_fields: [1] }, "invalid_type", "response_fields[0]"],
      [{ prompt: "a", image_data: [{}] }, "unsupported_parameter", "image_data"],
      [{ prompt: "word ".repeat(4000) }, "context_length_exceeded", "prompt"],
    ];
    for (const [body, code, param] of cases) {
      const { error } = (await post(body).expect(400)).body as { error: Members };
      assert.deepEqual([error["code"], error["param"]], [code, param], JSON.stringify(body).slice(0, 80));
    }
    const { headers } = await post({ prompt: "a", n_predict: 1, system_prompt: "x", logprobs: 1 }).expect(200);
    assert.equal(headers["x-ignored-params"], "system_prompt, logprobs");
  });

  test("n_probs reports each token with its likeliest rivals, joined to the text", async () => {
    const answer = await ask({ prompt: question, n_probs: 3, return_tokens: true });
    const chances = answer["completion_probabilities"] as (Members & { top_logprobs: Members[]; bytes: number[] })[];
    assert.equal(chances.length, answer["tokens_predicted"]);
    assert.equal(Buffer.from(chances.flatMap(({ bytes }) => bytes)).toString(), expected);
    for (const chance of chances) {
      assert.deepEqual(Object.keys(chance), ["id", "token", "bytes", "logprob", "top_logprobs"]);
      assert.equal(chance.top_logprobs.length, 3);
      // Greedy: the chosen one is the likeliest.
      assert.equal(chance.top_logprobs[0]!["id"], chance["id"]);
    }
  });

  test("as many probabilities as there are tokens are the whole vocabulary, and sum to one", async () => {
    const { vocabularySize: all } = engine.model;
    const answer = await ask({ prompt: question, n_predict: 2, n_probs: all });
    for (const { top_logprobs } of answer["completion_probabilities"] as { top_logprobs: Record<string, number>[] }[]) {
      assert.equal(new Set(top_logprobs.map((token) => token["id"])).size, all);
      const sum = top_logprobs.reduce((total, token) => total + Math.exp(token["logprob"]!), 0);
      assert.ok(Math.abs(sum - 1) < 1e-3, `${sum}`);
    }
    // More than there are is the same.
    const more = await ask({ prompt: question, n_predict: 1, n_probs: 4096 });
    assert.equal((more["completion_probabilities"] as { top_logprobs: [] }[])[0]!.top_logprobs.length, all);
  });

  test("a stream's pieces have the probabilities of their tokens", async () => {
    const { text } = await post({ prompt: question, temperature: 0, n_probs: 2, stream: true }).expect(200);
    const events = eventsIn(text).map((event) => JSON.parse(event) as Members);
    const last = events.pop()!;
    assert.equal("completion_probabilities" in last, false);
    const chances = events.flatMap((event) => event["completion_probabilities"] as unknown[]);
    assert.equal(chances.length, last["tokens_predicted"]);
  });

  test("response_fields keeps what it names, lifted where it has a path", async () => {
    const wanted = ["content", "generation_settings/n_predict", "nothing", "timings/cache_n/x"];
    const answer = await ask({ prompt: question, response_fields: wanted });
    assert.deepEqual(answer, { content: expected, "generation_settings/n_predict": -1 });
    const { text } = await post({ prompt: question, temperature: 0, stream: true, response_fields: ["content"] });
    const events = eventsIn(text).map((event) => JSON.parse(event) as Members);
    assert.deepEqual(events.pop(), { content: "" });
    assert.ok(events.every((event) => "stop" in event));
  });

  test("generation_settings echoes every parameter, defaults filled in", async () => {
    const answer = await ask({
      prompt: question,
      n_predict: 1,
      logit_bias: [
        [5, 1.5],
        ["x", false],
      ],
      stop: "zzz",
    });
    const settings = answer["generation_settings"] as Members;
    const names =
      "seed temperature dynatemp_range dynatemp_exponent top_k top_p min_p typical_p top_n_sigma xtc_probability xtc_threshold repeat_penalty repeat_last_n presence_penalty frequency_penalty dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers mirostat mirostat_tau mirostat_eta adaptive_target adaptive_decay min_keep samplers logit_bias ignore_eos stop max_tokens n_predict n_keep n_discard n_probs post_sampling_probs return_tokens cache_prompt id_slot t_max_predict_ms n_indent timings_per_token response_fields stream grammar lora";
    for (const name of names.split(" ")) assert.ok(name in settings, name);
    assert.deepEqual(settings["logit_bias"], [
      { token: 5, bias: 1.5 },
      { token: "x", bias: false },
    ]);
    assert.deepEqual([settings["stop"], settings["max_tokens"]], [["zzz"], 1]);
  });

  test("infill is 501 by a model without tokens for it, and refuses bad bodies first", async () => {
    const body = { input_prefix: "def a():", input_suffix: "end" };
    const { error } = (await post(body, "/infill").expect(501)).body as { error: Members };
    assert.deepEqual([error["type"], error["code"]], ["not_supported_error", "not_supported"]);
    for (const [members, code, param] of [
      [{ input_suffix: undefined }, "missing_required_parameter", "input_suffix"],
      [{ input_prefix: 1 }, "invalid_type", "input_prefix"],
      [{ input_extra: ["x"] }, "invalid_type", "input_extra[0]"],
      [{ input_extra: [{ filename: "a" }] }, "missing_required_parameter", "input_extra[0].text"],
      [{ prompt: 1 }, "invalid_type", "prompt"],
    ] as const) {
      const refused = (await post({ ...body, ...members }, "/infill").expect(400)).body as { error: Members };
      assert.deepEqual([refused.error["code"], refused.error["param"]], [code, param]);
    }
  });
});
