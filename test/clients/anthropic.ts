/** Anthropic's client: messages. */
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";

import { MAX_TOKENS, Person, WEATHER, type Address, type Client, type ClientSession } from "./client.ts";

const textOf = (content: readonly { readonly type: string; readonly text?: string }[]) =>
  content.map(({ type, text }) => (type === "text" ? text : "")).join("");

function open({ baseUrl, model }: Address): ClientSession {
  const client = new Anthropic({ baseURL: baseUrl.replace(/\/v1$/, ""), apiKey: "any", maxRetries: 0 });
  const ask = (content: string) => ({
    model,
    temperature: 0,
    max_tokens: MAX_TOKENS,
    messages: [{ role: "user" as const, content }],
  });
  return {
    async chat(question) {
      return textOf((await client.messages.create(ask(question))).content);
    },
    async stream(question) {
      const pieces: string[] = [];
      const stream = client.messages.stream(ask(question)).on("text", (piece) => pieces.push(piece));
      await stream.done();
      return pieces;
    },
    async callTool(question, result, { stream }) {
      const asked: string[] = [];
      const tool = betaTool({
        name: WEATHER.name,
        description: WEATHER.description,
        inputSchema: WEATHER.parameters,
        run({ city }) {
          asked.push(city);
          return result;
        },
      });
      const runner = client.beta.messages.toolRunner({ ...ask(question), tools: [tool], stream });
      return { answer: textOf((await runner.runUntilDone()).content), asked };
    },
    async structured(question) {
      const output_config = { format: zodOutputFormat(Person) };
      return (await client.messages.parse({ ...ask(question), output_config })).parsed_output;
    },
  };
}

export const anthropic: Client = { name: "@anthropic-ai/sdk", open };
