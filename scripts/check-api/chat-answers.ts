/** What checks of conversations have in common. */
import assert from "node:assert/strict";

import { user } from "./checks.ts";
import type { Members, StreamedEvent } from "./client.ts";

export const PATH = "/v1/chat/completions";
export const say = { messages: [user("Say this is a test")], temperature: 0 };

export interface Call {
  readonly index?: number;
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}
export interface Choice {
  readonly index: number;
  readonly finish_reason: string | null;
  readonly logprobs: { readonly content: Members[]; readonly refusal: null } | null;
  readonly message: {
    readonly role: string;
    readonly content: string | null;
    readonly refusal: null;
    readonly tool_calls?: Call[];
  };
  readonly delta: { readonly role?: string; readonly content?: string; readonly tool_calls?: Partial<Call>[] };
}
export const choicesOf = (answer: Members) => answer["choices"] as Choice[];
export const messageOf = (answer: Members) => choicesOf(answer)[0]!.message;
export const usageOf = (answer: Members) => answer["usage"] as Record<string, number>;
export const chunksOf = (events: readonly StreamedEvent[]) =>
  events.filter(({ data }) => data !== "[DONE]").map(({ json }) => json);
export const textOf = (events: readonly StreamedEvent[], index = 0) =>
  chunksOf(events)
    .flatMap((chunk) => choicesOf(chunk).filter((choice) => choice.index === index))
    .map(({ delta }) => delta.content ?? "")
    .join("");

export const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 }, unit: { enum: ["c", "f"] } },
      required: ["city", "unit"],
      additionalProperties: false,
    },
  },
};
export const clock = {
  type: "function",
  function: { name: "get_time", parameters: { type: "object", properties: {}, additionalProperties: false } },
};
export const ask = {
  messages: [user("What is the weather in Paris?")],
  tools: [weather, clock],
  temperature: 0,
  max_tokens: 200,
};

export function assertFits(text: string): void {
  const { city, unit } = JSON.parse(text) as { city: unknown; unit: unknown };
  assert.equal(typeof city, "string");
  assert.ok(unit === "c" || unit === "f");
}
