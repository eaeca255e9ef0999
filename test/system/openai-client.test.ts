/** OpenAI's own client against a server, a node, and a node that answers as the network does. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const scratch = scratchDirectory();
const parameters = {
  type: "object",
  properties: { city: { type: "string", description: "City name" } },
  required: ["city"],
};
const weather = {
  type: "function" as const,
  function: { name: "get_weather", description: "Get the weather in a city", parameters },
};
const user = (content: string) => ({ role: "user" as const, content });
const common = { model: "", temperature: 0, max_completion_tokens: 200 };

for (const [mode, options] of [
  ["as it is", []],
  ["as the network", ["--as-network"]],
] as const) {
  describe(`OpenAI's client and a node ${mode}`, () => {
    let up: UpProcess;
    let client: OpenAI;
    before(async () => {
      up = new UpProcess(join(scratch, "home"), ["demo", ...options]);
      const baseURL = (await up.ready()).models[0]!.baseUrl;
      assert.match(baseURL, /\/vm\/[0-9a-f]{64}\/v1$/);
      client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
    });
    after(() => up.interrupt());

    test("chat, and a stream that joins to the same", async () => {
      const body = { ...common, messages: [user("What is the capital of France?")] };
      const whole = await client.chat.completions.create(body);
      assert.equal(whole.choices[0]?.message.content, "The capital of France is Paris.");
      const stream = client.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
      const joined = await stream.finalChatCompletion();
      assert.equal(joined.choices[0]?.message.content, whole.choices[0].message.content);
      assert.deepEqual(joined.usage?.completion_tokens, whole.usage?.completion_tokens);
    });

    test("a call in pieces joins to the whole call", async () => {
      const body = { ...common, messages: [user("What is the weather in Paris and London?")], tools: [weather] };
      const whole = await client.chat.completions.create(body);
      const joined = await client.chat.completions.stream(body).finalChatCompletion();
      for (const { choices } of [whole, joined]) {
        assert.equal(choices[0]?.finish_reason, "tool_calls");
        assert.deepEqual(
          choices[0].message.tool_calls?.map((call) => "function" in call && JSON.parse(call.function.arguments)),
          [{ city: "Paris" }, { city: "London" }],
        );
      }
    });

    for (const stream of [false, true]) {
      test(`runTools calls the function and gives its result back${stream ? ", streamed" : ""}`, async () => {
        const asked: string[] = [];
        const tool = {
          type: "function" as const,
          function: {
            ...weather.function,
            parse: (json: string) => JSON.parse(json) as { city: string },
            function: ({ city }: { city: string }) => {
              asked.push(city);
              return "sunny, 21°C";
            },
          },
        };
        const body = { ...common, messages: [user("What is the weather in Paris?")], tools: [tool] };
        const runner = stream
          ? client.chat.completions.runTools({ ...body, stream: true })
          : client.chat.completions.runTools(body);
        assert.equal(await runner.finalContent(), "The weather in Paris: sunny, 21°C.");
        assert.deepEqual(asked, ["Paris"]);
      });
    }

    test("parse gives what a zod schema describes, however the model would have answered", async () => {
      const Person = z.object({
        name: z.string().max(20),
        age: z.number().int().min(0).max(120),
        colour: z.enum(["red", "blue"]).nullable(),
        tags: z.array(z.string().max(8)).max(2),
      });
      for (const temperature of [0, 1]) {
        const answer = await client.chat.completions.parse({
          ...common,
          temperature,
          seed: 4,
          max_completion_tokens: 400,
          messages: [user("Give me a JSON object with name and age for Alice, 30")],
          response_format: zodResponseFormat(Person, "person"),
        });
        assert.ok(Person.safeParse(answer.choices[0]?.message.parsed).success);
      }
    });

    test("a refusal has its status, code and param", async () => {
      const tools = [{ type: "function" as const, function: { name: "not a name" } }];
      await assert.rejects(client.chat.completions.create({ ...common, messages: [user("Hi")], tools }), {
        status: 400,
        code: "invalid_value",
        param: "tools[0].function.name",
      });
    });
  });
}
