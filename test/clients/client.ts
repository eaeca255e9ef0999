import { z } from "zod";

/** What each client must be able to do with a model, in its own way. The questions are ones that the demo model knows. */
export interface ClientSession {
  chat(question: string): Promise<string>;
  /** The pieces of text of a streamed answer, as the client hands them out. */
  stream(question: string): Promise<readonly string[]>;
  /** Question → call of `get_weather` → its result → answer. */
  callTool(question: string, result: string, options: { readonly stream: boolean }): Promise<ToolAnswer>;
  /** An object with a name and an age, by the client's own kind of schema. */
  structured(question: string): Promise<unknown>;
}

export interface ToolAnswer {
  /** The cities of the calls, in order. */
  readonly asked: readonly string[];
  readonly answer: string;
}

/** Where a model answers: `baseUrl` ends in `/v1`. */
export interface Address {
  readonly baseUrl: string;
  readonly model: string;
}

export interface Client {
  readonly name: string;
  /** Why it can't be tried on this machine. */
  readonly missing?: string | false;
  open(address: Address): ClientSession | Promise<ClientSession>;
}

/** The object of structured answers, for clients that take zod's schemas. */
export const Person = z.object({ name: z.string(), age: z.number().int() });

/** Of each answer: greedy, and short. */
export const MAX_TOKENS = 200;

export const WEATHER = {
  name: "get_weather",
  description: "Get the weather in a city",
  parameters: {
    type: "object",
    properties: { city: { type: "string", description: "City name" } },
    required: ["city"],
  },
} as const;
