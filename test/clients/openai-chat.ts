/** OpenAI's client for JavaScript: chat completions. */
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";

import { MAX_TOKENS, Person, WEATHER, type Address, type Client, type ClientSession } from "./client.ts";

function open({ baseUrl, model }: Address): ClientSession {
  const { completions } = new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0 }).chat;
  const ask = (content: string) => ({
    model,
    temperature: 0,
    max_completion_tokens: MAX_TOKENS,
    messages: [{ role: "user" as const, content }],
  });
  return {
    async chat(question) {
      return (await completions.create(ask(question))).choices[0]?.message.content ?? "";
    },
    async stream(question) {
      const pieces: string[] = [];
      for await (const { choices } of await completions.create({ ...ask(question), stream: true }))
        if (choices[0]?.delta.content) pieces.push(choices[0].delta.content);
      return pieces;
    },
    async callTool(question, result, { stream }) {
      const asked: string[] = [];
      const tool = {
        type: "function" as const,
        function: {
          ...WEATHER,
          parameters: { ...WEATHER.parameters, required: [...WEATHER.parameters.required] },
          parse: (json: string) => JSON.parse(json) as { city: string },
          function({ city }: { city: string }) {
            asked.push(city);
            return result;
          },
        },
      };
      const body = { ...ask(question), tools: [tool] };
      const runner = stream ? completions.runTools({ ...body, stream }) : completions.runTools(body);
      return { answer: (await runner.finalContent()) ?? "", asked };
    },
    async structured(question) {
      const answer = await completions.parse({
        ...ask(question),
        response_format: zodResponseFormat(Person, "person"),
      });
      return answer.choices[0]?.message.parsed;
    },
  };
}

export const openaiChat: Client = { name: "openai, chat completions", open };
