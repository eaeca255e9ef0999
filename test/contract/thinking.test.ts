/** Thinking, prefill and the template's variables over HTTP: the demo model under templates that think. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import supertest from "supertest";

import { OTHER_TAGS, QWEN_3, R1 } from "../src/chat/templates.ts";
import { appOf, eventsIn } from "../support/server.ts";
import { startWithTemplate } from "../support/template-engine.ts";

interface Answer {
  readonly choices: readonly {
    readonly finish_reason: string;
    readonly message: {
      readonly content: string | null;
      readonly reasoning_content?: string;
      readonly tool_calls?: unknown[];
    };
  }[];
  readonly usage: {
    readonly completion_tokens: number;
    readonly completion_tokens_details: { readonly reasoning_tokens: number };
  };
}

for (const [name, template, opens] of [
  ["a template that lets the model think", QWEN_3, false],
  ["a template that opens the block itself", R1, true],
] as const) {
  describe(name, () => {
    let running: Awaited<ReturnType<typeof startWithTemplate>>;
    before(async () => {
      running = await startWithTemplate(template);
    });
    after(() => running.close());

    const post = (body: object, path = "/v1/chat/completions") =>
      supertest(appOf(running.engine))
        .post(path)
        .send({ messages: [{ role: "user", content: "What is 2 + 2?" }], temperature: 0, max_tokens: 60, ...body });
    const ask = async (body: object): Promise<Answer> => {
      const { status, body: answer } = await post(body);
      assert.equal(status, 200, JSON.stringify(answer));
      return answer as Answer;
    };
    const render = async (body: object) => ((await post(body, "/apply-template")).body as { prompt: string }).prompt;
    /** Makes the model think, which it was never taught: the grammar has the block in it. */
    const thinks = opens
      ? { grammar: 'root ::= "four"' }
      : { grammar: 'root ::= "four"', logit_bias: { f: -100 }, seed: 1, temperature: 1 };

    test("thinking text is apart from the answer, which follows its form, and its tokens are counted", async () => {
      for (const seed of [1, 2, 3, 4, 5, 6]) {
        const { choices, usage } = await ask({ ...thinks, seed, max_tokens: 250, temperature: 1 });
        const [{ message, finish_reason: reason }] = choices as [Answer["choices"][number]];
        const { completion_tokens: all, completion_tokens_details: details } = usage;
        assert.ok(!`${message.content}${message.reasoning_content}`.includes("think>"));
        assert.equal(details.reasoning_tokens > 0, message.reasoning_content !== undefined || opens);
        if (reason === "stop") {
          assert.equal(message.content, "four");
          assert.ok(details.reasoning_tokens < all);
        } else assert.equal(message.content, "");
      }
    });

    test("a stream says the same as the whole answer, thinking first", async () => {
      const body = { ...thinks, temperature: 1, seed: 3 };
      const [{ message }] = (await ask(body)).choices as [Answer["choices"][number]];
      const { text } = await post({ ...body, stream: true }).expect(200);
      const deltas = eventsIn(text)
        .slice(0, -1)
        .map((event) => JSON.parse(event) as { choices: { delta: { content?: string; reasoning_content?: string } }[] })
        .map(({ choices }) => choices[0]!.delta);
      assert.equal(deltas.map(({ content = "" }) => content).join(""), message.content);
      assert.equal(deltas.map((delta) => delta.reasoning_content ?? "").join(""), message.reasoning_content ?? "");
      const firstText = deltas.findIndex(({ content = "" }) => content !== "");
      if (firstText >= 0) assert.ok(deltas.slice(firstText).every((delta) => delta.reasoning_content === undefined));
    });

    test("reasoning_format none leaves it in the answer", async () => {
      const { choices } = await ask({ reasoning_format: "none", stop: ["4"] });
      assert.equal(choices[0]!.message.reasoning_content, undefined);
      assert.notEqual(choices[0]!.message.content, "");
    });

    test("a forced call comes after thinking, or without it", async () => {
      const tool = { type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } };
      for (const seed of [1, 2, 3]) {
        const body = { tools: [tool], tool_choice: "required", parallel_tool_calls: false, seed, temperature: 1 };
        const [{ message, finish_reason: reason }] = (await ask({ ...body, max_tokens: 250 })).choices as [
          Answer["choices"][number],
        ];
        assert.equal(message.content ?? "", "");
        if (reason !== "length") assert.equal(message.tool_calls?.length, 1);
      }
    });

    test("the template is told the effort, and the client's own variables", async () => {
      const closed = "<think>\n\n</think>\n\n";
      if (!opens) {
        assert.ok((await render({ reasoning_effort: "none" })).endsWith(closed));
        assert.ok((await render({ chat_template_kwargs: { enable_thinking: false } })).endsWith(closed));
        assert.ok(!(await render({ reasoning_effort: "high" })).includes("think>"));
        const { choices, usage } = await ask({ reasoning_effort: "none" });
        assert.equal(choices[0]!.message.reasoning_content, undefined);
        assert.equal(usage.completion_tokens_details.reasoning_tokens, 0);
      } else assert.ok((await render({})).endsWith("<think>\n"));
    });
  });
}

describe("prefill", () => {
  let running: Awaited<ReturnType<typeof startWithTemplate>>;
  before(async () => {
    running = await startWithTemplate(QWEN_3);
  });
  after(() => running.close());
  const post = (body: object, path: string) => supertest(appOf(running.engine)).post(path).send(body);
  const render = async (body: object) => ((await post(body, "/apply-template")).body as { prompt: string }).prompt;
  const messages = [
    { role: "user", content: "What is 2 + 2?" },
    { role: "assistant", content: "2 + 2 =" },
  ];

  test("an assistant's last message is gone on with, unless a new answer is asked for", async () => {
    assert.ok((await render({ messages })).endsWith("<|im_start|>assistant\n2 + 2 ="));
    assert.ok((await render({ messages, continue_final_message: true })).endsWith("2 + 2 ="));
    for (const members of [{ add_generation_prompt: true }, { continue_final_message: false }]) {
      assert.ok((await render({ messages, ...members })).endsWith("2 + 2 =<|im_end|>\n<|im_start|>assistant\n"));
    }
    assert.ok(
      (await render({ messages, add_generation_prompt: false, continue_final_message: false })).endsWith(
        "=<|im_end|>\n",
      ),
    );
    const answer = await post({ messages, temperature: 0, max_tokens: 20 }, "/v1/chat/completions").expect(200);
    assert.match((answer.body as Answer).choices[0]!.message.content!, /^ 4/);
  });

  test("both at once, or going on with what is no answer, is refused", async () => {
    const both = { messages, add_generation_prompt: true, continue_final_message: true };
    for (const body of [both, { messages: messages.slice(0, 1), continue_final_message: true }]) {
      const { status, body: answer } = await post(body, "/v1/chat/completions");
      assert.equal(status, 400);
      assert.equal((answer as { error: { param: string } }).error.param, "continue_final_message");
    }
  });
});

for (const { start, end, template } of OTHER_TAGS) {
  test(`thinking between ${start} and ${end} is apart from the answer, which follows its form`, async () => {
    const running = await startWithTemplate(template);
    try {
      let thoughts = 0;
      for (let seed = 1; seed <= 40 && thoughts === 0; seed++) {
        const { body, status } = await supertest(appOf(running.engine))
          .post("/v1/chat/completions")
          .send({
            messages: [{ role: "user", content: "Hi" }],
            grammar: 'root ::= "four"',
            logit_bias: { f: -100 },
            temperature: 2,
            max_tokens: 200,
            seed,
          });
        assert.equal(status, 200, JSON.stringify(body));
        const [{ message, finish_reason: reason }] = (body as Answer).choices as [Answer["choices"][number]];
        assert.ok(!`${message.content}${message.reasoning_content}`.includes(end));
        if (reason === "stop") assert.equal(message.content, "four");
        if (message.reasoning_content !== undefined) thoughts += 1;
      }
      assert.ok(thoughts > 0, "it thought");
    } finally {
      await running.close();
    }
  });
}
