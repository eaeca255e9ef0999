import { contextLengthExceeded } from "../domain/context-length.ts";
import type { InfillPrompt } from "../domain/generation.ts";
import type { NativeModel, Token } from "./native.ts";
import type { Vocabulary } from "./vocabulary.ts";

// Spellings of the tokens that part files of a repository. Source: llama.cpp, src/llama-vocab.cpp.
const REPOSITORY = ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"];
const FILE = ["<|file_sep|>"];

/** Of the context, what is left for the answer. */
const ANSWER_SHARE = 1 / 4;
/** Of the surroundings that fit, what lies before the gap. */
const PREFIX_SHARE = 3 / 4;
/** Names of files and the model's tokens around them. */
const PREFIX_LEAST = 16;
/** Texts are far longer than what fits only by mistake or malice; no token has more characters in practice. */
const CHARACTERS_OF_TOKEN = 32;

/** Prompts in the model's own fill-in-the-middle format. Source: llama.cpp, tools/server, format_prompt_infill. */
export class Infill {
  readonly #vocabulary: Vocabulary;
  readonly #contextLength: number;
  readonly #bos: Token | undefined;
  readonly #tokens: { readonly prefix: Token; readonly suffix: Token; readonly middle: Token };
  /** Both undefined where the model knows single files only. */
  readonly #repository: Token | undefined;
  readonly #file: Token | undefined;

  /** Undefined where the model cannot fill in the middle. */
  static of(
    model: NativeModel,
    vocabulary: Vocabulary,
    contextLength: number,
    bos: Token | undefined,
  ): Infill | undefined {
    const [prefix, suffix, middle] = [model.prefixToken(), model.suffixToken(), model.middleToken()];
    if (Math.min(prefix, suffix, middle) < 0) return undefined;
    return new Infill(vocabulary, contextLength, bos, { prefix, suffix, middle });
  }

  private constructor(
    vocabulary: Vocabulary,
    contextLength: number,
    bos: Token | undefined,
    tokens: { readonly prefix: Token; readonly suffix: Token; readonly middle: Token },
  ) {
    this.#vocabulary = vocabulary;
    this.#contextLength = contextLength;
    this.#bos = bos;
    this.#tokens = tokens;
    this.#repository = vocabulary.tokenOf(REPOSITORY);
    this.#file = vocabulary.tokenOf(FILE);
  }

  /** Errors: `context_length_exceeded` where `text` alone leaves no room for an answer. */
  build(prompt: InfillPrompt): Token[] {
    const { prefix, suffix, middle } = this.#tokens;
    const text = this.#tokenize(prompt.text);
    const own = text.length + 3 + (this.#bos === undefined ? 0 : 1);
    const room = Math.floor(this.#contextLength * (1 - ANSWER_SHARE)) - own;
    if (room < PREFIX_LEAST) throw contextLengthExceeded("infill", own, this.#contextLength);
    const wholeBefore = this.#tokenizeEnd(prompt.prefix, room);
    const wholeAfter = this.#tokenizeBeginning(prompt.suffix, room);
    // What one side does not need, the other may have.
    const most = Math.max(Math.ceil(room * PREFIX_SHARE), room - wholeAfter.length);
    const before = wholeBefore.slice(-most);
    const after = wholeAfter.slice(0, room - before.length);
    const others = this.#others(prompt, room - before.length - after.length);
    return [
      ...(this.#bos === undefined ? [] : [this.#bos]),
      ...others,
      prefix,
      ...before,
      suffix,
      ...after,
      middle,
      ...text,
    ];
  }

  /** The other files, as many of the last ones as fit; none without a token that parts files. */
  #others({ extra }: InfillPrompt, room: number): Token[] {
    if (extra.length === 0) return [];
    const head = this.#repository === undefined ? [] : [this.#repository, ...this.#tokenize("repository\n")];
    const tail = this.#file === undefined ? this.#tokenize("\n\n") : [this.#file, ...this.#tokenize("current\n")];
    let left = room - head.length - tail.length;
    const files: Token[][] = [];
    for (const file of extra.toReversed()) {
      const name = `${file.name ?? "file"}\n`;
      const start =
        this.#file === undefined ? this.#tokenize("\n\n--- snippet ---\n\n") : [this.#file, ...this.#tokenize(name)];
      if (left <= start.length) break;
      const text = this.#tokenizeEnd(file.text, left - start.length);
      files.unshift([...start, ...text]);
      left -= start.length + text.length;
    }
    return files.length === 0 ? [] : [...head, ...files.flat(), ...tail];
  }

  #tokenizeEnd(text: string, most: number): Token[] {
    const tokens = this.#tokenize(text.slice(-most * CHARACTERS_OF_TOKEN));
    return tokens.length > most ? tokens.slice(tokens.length - most) : tokens;
  }

  #tokenizeBeginning(text: string, most: number): Token[] {
    return this.#tokenize(text.slice(0, most * CHARACTERS_OF_TOKEN)).slice(0, most);
  }

  #tokenize(text: string): Token[] {
    return this.#vocabulary.tokenizeContent(text);
  }
}
