/** Vercel's AI SDK with its provider for OpenAI-compatible servers. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

/** @type {import("../packages.ts").Open} */
export function open({ baseUrl, model: id }, { MAX_TOKENS, WEATHER }) {
  const provider = createOpenAICompatible({
    name: "pinference",
    baseURL: baseUrl,
    apiKey: "any",
    supportsStructuredOutputs: true,
  });
  const ask = (prompt) => ({
    model: provider(id),
    temperature: 0,
    maxOutputTokens: MAX_TOKENS,
    maxRetries: 0,
    prompt,
  });
  return {
    async chat(question) {
      return (await generateText(ask(question))).text;
    },
    async stream(question) {
      const pieces = [];
      for await (const piece of streamText(ask(question)).textStream) pieces.push(piece);
      return pieces;
    },
    async callTool(question, result, { stream }) {
      const asked = [];
      const tools = {
        [WEATHER.name]: tool({
          description: WEATHER.description,
          inputSchema: jsonSchema(WEATHER.parameters),
          execute({ city }) {
            asked.push(city);
            return result;
          },
        }),
      };
      const options = { ...ask(question), tools, stopWhen: stepCountIs(3) };
      const answer = await (stream ? streamText(options).text : (await generateText(options)).text);
      return { answer, asked };
    },
    async structured(question) {
      const schema = z.object({ name: z.string(), age: z.number().int() });
      return (await generateObject({ ...ask(question), schema })).object;
    },
  };
}
