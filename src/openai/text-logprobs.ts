import type { LikelyToken, PromptToken } from "../domain/generation.ts";
import { toLogprob } from "./logprobs.ts";

/** `logprobs` of a choice of POST /v1/completions, or of a piece of one. */
export interface TextLogprobs {
  readonly tokens: string[];
  /** Null for a prompt's first token. */
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  /** Where each token begins, in characters from the start of the text. */
  readonly text_offset: number[];
}

const FIRST_OF_CHARACTER = 0xc0;
const ASCII = 0x80;

/** Writes one choice's tokens in OpenAI's old shape, piece after piece. */
export class TextLogprobsWriter {
  /** Characters begun so far. */
  #offset = 0;

  write(tokens: readonly PromptToken[]): TextLogprobs {
    const shape: TextLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const token of tokens) {
      shape.tokens.push(token.text);
      shape.text_offset.push(this.#offset);
      this.#offset += charactersBegunIn(token.bytes);
      if ("logprob" in token) {
        shape.token_logprobs.push(toLogprob(token.logprob));
        shape.top_logprobs.push(byText([...token.top, token]));
      } else {
        shape.token_logprobs.push(null);
        shape.top_logprobs.push(null);
      }
    }
    return shape;
  }
}

/** The token that was chosen is one of them, also when it is none of the likeliest. */
function byText(tokens: readonly LikelyToken[]): Record<string, number> {
  return Object.fromEntries(tokens.map(({ text, logprob }) => [text, toLogprob(logprob)]));
}

/** A token may end, or begin, in the middle of a character. */
function charactersBegunIn(bytes: readonly number[]): number {
  return bytes.filter((byte) => byte < ASCII || byte >= FIRST_OF_CHARACTER).length;
}
