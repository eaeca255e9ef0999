/** LangChain's client for OpenAI. */
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

/** @type {import("../packages.ts").Open} */
export function open({ baseUrl, model: id }, { MAX_TOKENS, WEATHER }) {
  const model = new ChatOpenAI({
    model: id,
    temperature: 0,
    maxTokens: MAX_TOKENS,
    maxRetries: 0,
    apiKey: "any",
    configuration: { baseURL: baseUrl },
  });

  async function joined(stream) {
    let whole;
    for await (const chunk of await stream) whole = whole === undefined ? chunk : whole.concat(chunk);
    return whole;
  }

  return {
    async chat(question) {
      return (await model.invoke(question)).text;
    },
    async stream(question) {
      const pieces = [];
      for await (const { text } of await model.stream(question)) if (text !== "") pieces.push(text);
      return pieces;
    },
    async callTool(question, result, { stream }) {
      const asked = [];
      const weather = tool(
        ({ city }) => {
          asked.push(city);
          return result;
        },
        { name: WEATHER.name, description: WEATHER.description, schema: WEATHER.parameters },
      );
      const bound = model.bindTools([weather]);
      const answerTo = (messages) => (stream ? joined(bound.stream(messages)) : bound.invoke(messages));
      const messages = [new HumanMessage(question)];
      const call = await answerTo(messages);
      const results = await Promise.all(call.tool_calls.map((each) => weather.invoke(each)));
      return { answer: (await answerTo([...messages, call, ...results])).text, asked };
    },
    structured(question) {
      const schema = z.object({ name: z.string(), age: z.number().int() });
      return model.withStructuredOutput(schema, { name: "person" }).invoke(question);
    },
  };
}
