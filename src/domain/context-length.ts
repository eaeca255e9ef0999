import { CodedError } from "./errors.ts";

const WORDS = {
  chat: { param: "messages", noun: "messages" },
  text: { param: "prompt", noun: "prompt" },
  infill: { param: "prompt", noun: "prompt" },
  embedding: { param: "input", noun: "input" },
  ranking: { param: "documents", noun: "query and documents" },
} as const;

/** The refusal of a prompt that fills the context, in OpenAI's words and with llama.cpp's members. `bound` may say "at least ". */
export function contextLengthExceeded(kind: keyof typeof WORDS, tokens: number, limit: number, bound = ""): CodedError {
  const { param, noun } = WORDS[kind];
  return new CodedError(
    "context_length_exceeded",
    `This model's maximum context length is ${limit} tokens. However, your ${noun} resulted in ${bound}${tokens} tokens, ` +
      `which exceeds the available context size. Please reduce the length of the ${noun}.`,
    { param, details: { n_prompt_tokens: tokens, n_ctx: limit } },
  );
}
