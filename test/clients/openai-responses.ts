/** OpenAI's client for JavaScript: responses. */
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import type { Response, ResponseInputItem } from "openai/resources/responses/responses";

import { MAX_TOKENS, Person, WEATHER, type Address, type Client, type ClientSession } from "./client.ts";

const TOOLS = [{ type: "function" as const, strict: false, ...WEATHER }];

function open({ baseUrl, model }: Address): ClientSession {
  const { responses } = new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0 });
  const common = { model, temperature: 0, max_output_tokens: MAX_TOKENS };

  function answer(input: string | ResponseInputItem[], previous: string | null, stream: boolean): Promise<Response> {
    const body = { ...common, input, tools: TOOLS, previous_response_id: previous };
    return stream ? responses.stream(body).finalResponse() : responses.create(body);
  }

  return {
    async chat(question) {
      return (await responses.create({ ...common, input: question })).output_text;
    },
    async stream(question) {
      const pieces: string[] = [];
      for await (const event of await responses.create({ ...common, input: question, stream: true }))
        if (event.type === "response.output_text.delta") pieces.push(event.delta);
      return pieces;
    },
    async callTool(question, result, { stream }) {
      const first = await answer(question, null, stream);
      const calls = first.output.filter((item) => item.type === "function_call");
      const outputs = calls.map(({ call_id }) => ({ type: "function_call_output" as const, call_id, output: result }));
      const last = await answer(outputs, first.id, stream);
      return {
        asked: calls.map((call) => (JSON.parse(call.arguments) as { city: string }).city),
        answer: last.output_text,
      };
    },
    async structured(question) {
      const text = { format: zodTextFormat(Person, "person") };
      return (await responses.parse({ ...common, input: question, text })).output_parsed;
    },
  };
}

export const openaiResponses: Client = { name: "openai, responses", open };
