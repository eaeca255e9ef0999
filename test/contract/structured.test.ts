/** Structured answers over HTTP: the app, the real engine and the demo model. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { startEngine } from "../../src/engine/load.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { appOf, eventsIn } from "../support/server.ts";

const schema = {
  type: "object",
  properties: { city: { enum: ["Paris", "Rome"] }, people: { type: "integer", minimum: 1, maximum: 9999999 } },
  required: ["city", "people"],
  additionalProperties: false,
};
const body = {
  messages: [{ role: "user", content: "What is the capital of France?" }],
  response_format: { type: "json_schema", json_schema: { name: "capital", schema, strict: true } },
  max_tokens: 200,
  temperature: 1,
  seed: 3,
};

describe("structured answers", () => {
  let engine: Engine;
  before(async () => {
    const options = { modelPath: demoModelPath, modelId: "demo", aliases: [], contextLength: undefined };
    engine = startEngine({ ...options, slots: 4, queueLength: 4, threads: 1 });
    await engine.ready;
  });
  after(() => engine.close());

  const post = (request: object) => supertest(appOf(engine)).post("/v1/chat/completions").send(request);

  test("a form goes together with logprobs, and with samplers that the native chain lacks", async () => {
    const { status, body: answer } = await post({ ...body, logprobs: true, top_logprobs: 2 });
    assert.equal(status, 200);
    const [choice] = (
      answer as { choices: { message: { content: string }; logprobs: { content: { token: string }[] } }[] }
    ).choices;
    assert.equal(choice!.logprobs.content.map(({ token }) => token).join(""), choice!.message.content);
    for (const samplers of [{ mirostat: 2 }, { typical_p: 0.8 }, { top_n_sigma: 1, dynatemp_range: 0.5 }]) {
      const { body: other } = await post({ ...body, ...samplers });
      const [{ message }] = (other as { choices: [{ message: { content: string } }] }).choices;
      assert.equal(typeof JSON.parse(message.content), "object");
    }
  });

  test("each of n choices is JSON of the schema", async () => {
    const { status, body: answer } = await post({ ...body, n: 3 });
    assert.equal(status, 200);
    const { choices } = answer as { choices: { message: { content: string }; finish_reason: string }[] };
    assert.equal(choices.length, 3);
    for (const choice of choices) {
      assert.equal(choice.finish_reason, "stop");
      const value = JSON.parse(choice.message.content) as { city: string; people: number };
      assert.deepEqual(Object.keys(value), ["city", "people"]);
      assert.ok(["Paris", "Rome"].includes(value.city) && Number.isInteger(value.people));
    }
  });

  test("a stream gives the same text", async () => {
    const whole = (await post(body)).body as { choices: { message: { content: string } }[] };
    const events = eventsIn((await post({ ...body, stream: true })).text).slice(0, -1);
    const text = events
      .map(
        (event) =>
          (JSON.parse(event) as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content ?? "",
      )
      .join("");
    assert.equal(text, whole.choices[0]?.message.content);
  });

  test("a stop text ends the answer inside its structure", async () => {
    const { body: answer } = await post({ ...body, stop: ['"people"'] });
    const { choices } = answer as { choices: { message: { content: string }; finish_reason: string }[] };
    assert.equal(choices[0]?.finish_reason, "stop");
    assert.ok(!choices[0].message.content.includes("people"));
  });

  test("completions and llama.cpp's completion take the same forms, for each prompt", async () => {
    for (const path of ["/v1/completions", "/completion"]) {
      const ask = (members: object) =>
        supertest(appOf(engine))
          .post(path)
          .send({ prompt: ["a", "b"], ...members });
      const { status, text } = await ask({ json_schema: { enum: ["yes", "no"] } });
      assert.equal(status, 200);
      assert.equal(text.match(/"\\"(yes|no)\\""/g)?.length, 2, text);
      assert.equal((await ask({ grammar: 'root ::= "a" root "b" | "c"' })).status, 400);
    }
  });

  test("a wrong grammar is a 400 before any event, and the next request is served", async () => {
    for (const grammar of ["root ::= x", "root ::= root", 'root ::= "a"{9999}', "("]) {
      const { status, body: answer } = await post({ messages: body.messages, grammar, stream: true });
      assert.equal(status, 400);
      const { error } = answer as { error: { code: string; param: string; type: string } };
      assert.deepEqual([error.code, error.param, error.type], ["invalid_grammar", "grammar", "invalid_request_error"]);
    }
    const { body: answer } = await post({ messages: body.messages, grammar: 'root ::= "yes" | "no"' });
    assert.match((answer as { choices: { message: { content: string } }[] }).choices[0]!.message.content, /^(yes|no)$/);
  });
});
