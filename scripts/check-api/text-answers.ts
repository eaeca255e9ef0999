/** What checks of continued texts have in common. */
import { chatml } from "./checks.ts";
import type { Members, StreamedEvent } from "./client.ts";

export const PATH = "/v1/completions";
export const question = chatml("Say this is a test");
export const greedy = { prompt: question, temperature: 0 };

export interface Choice {
  readonly index: number;
  readonly text: string;
  readonly finish_reason: string | null;
  readonly logprobs: Legacy | null;
}
export interface Legacy {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}
export const choicesOf = (answer: Members) => answer["choices"] as Choice[];
export const usageOf = (answer: Members) => answer["usage"] as Record<string, number>;
export const textOf = (answer: Members) => choicesOf(answer)[0]!.text;
export const deltas = (events: readonly StreamedEvent[], index = 0) =>
  events
    .slice(0, -1)
    .flatMap(({ json }) => choicesOf(json).filter((choice) => choice.index === index))
    .map((choice) => choice.text)
    .join("");
