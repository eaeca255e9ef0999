import { contextLengthExceeded } from "../domain/context-length.ts";
import { CodedError } from "../domain/errors.ts";
import type { TokenizeOptions } from "../domain/engine.ts";
import type {
  ChatMessage,
  ChatPrompt,
  InfillPrompt,
  Prompt,
  TextPrompt,
  TokenizedParts,
} from "../domain/generation.ts";
import type { RankingFacts } from "../gguf/gguf-header.ts";
import { Infill } from "./infill.ts";
import { SHAPES } from "./message-shapes.ts";
import type { Native, NativeModel, NativeRenderer, Token } from "./native.ts";
import { Pairs } from "./pairs.ts";
import { mapValue, Marks, PLAIN, PLAIN_WORD, surroundings, toVariables, type Mapper } from "./template-variables.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Used where a model file has no chat template, as llama.cpp does. */
const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Text above this is rendered and counted in turns, so that one huge request cannot hold up the others. */
const PIECE_CHARACTERS = 32_768;
/** What a message costs to render, counted in characters of text. */
const MESSAGE_CHARACTERS = 64;

/** Renders conversations through the model's chat template and tokenizes them. */
export class PromptBuilder {
  readonly #renderer: NativeRenderer;
  readonly #vocabulary: Vocabulary;
  /** For a prompt of nothing at all: a document's start, as OpenAI has it. */
  readonly #start: Token;
  readonly #bos: { readonly token: Token; readonly text: string } | undefined;
  readonly #specials: { readonly bos_token: string; readonly eos_token: string };
  /** What the model wants at a document's end. */
  readonly #end: Token | undefined;
  readonly #infill: Infill | undefined;
  readonly #pairs: Pairs | undefined;
  #lastPiece: Promise<unknown> = Promise.resolve();

  static templateOf(fromFile: string | undefined): string {
    return fromFile ?? CHATML;
  }

  constructor(
    native: Native,
    model: NativeModel,
    vocabulary: Vocabulary,
    template: string,
    contextLength: number,
    ranking?: RankingFacts,
  ) {
    this.#renderer = native.createRenderer(template);
    this.#vocabulary = vocabulary;
    const text = (token: Token) => (token < 0 || token >= vocabulary.size ? "" : model.getTokenString(token));
    this.#specials = { bos_token: text(model.tokenBos()), eos_token: text(model.tokenEos()) };
    this.#start = model.tokenBos() >= 0 ? model.tokenBos() : model.tokenEos();
    this.#bos = model.shouldPrependBosToken() ? { token: model.tokenBos(), text: this.#specials.bos_token } : undefined;
    this.#end = model.shouldAppendEosToken() ? model.tokenEos() : undefined;
    this.#pairs = ranking && new Pairs(model, vocabulary, ranking);
    this.#infill = Infill.of(model, vocabulary, contextLength, this.#bos?.token);
  }

  get bosToken(): string {
    return this.#specials.bos_token;
  }

  get hasInfill(): boolean {
    return this.#infill !== undefined;
  }

  get hasPairs(): boolean {
    return this.#pairs !== undefined;
  }

  get eosToken(): string {
    return this.#specials.eos_token;
  }

  /**
   * Errors: `context_length_exceeded` above `limit` tokens; `invalid_value` where the template refuses the messages, or
   * for a token id outside the vocabulary.
   */
  async build(prompt: Prompt, limit: number, isOver = () => false): Promise<Token[]> {
    const tokens = await this.#tokensOf(prompt, limit, isOver);
    if (tokens.length >= limit) throw contextLengthExceeded(prompt.kind, tokens.length, limit);
    return tokens;
  }

  #tokensOf(prompt: Prompt, limit: number, isOver: () => boolean): Promise<Token[]> {
    if (prompt.kind === "chat") return this.#fromChat(prompt, limit, isOver);
    if (prompt.kind === "text") return this.#fromText(prompt, limit, isOver);
    return this.#fromGap(prompt, limit, isOver);
  }

  async #fromGap(prompt: InfillPrompt, limit: number, isOver: () => boolean): Promise<Token[]> {
    const infill = this.#requireInfill();
    // Its surroundings are cut before they are tokenized.
    await this.#refuseHuge("infill", prompt.text, limit, isOver);
    return this.#inTurn(() => infill.build(prompt));
  }

  #requireInfill(): Infill {
    if (this.#infill !== undefined) return this.#infill;
    throw new CodedError("not_supported", "The model has no tokens to fill in the middle; ask another model.");
  }

  /**
   * The prompt as text, the client's own included. Errors: `invalid_value` where the template refuses it; `not_supported`
   * for a gap that the model cannot fill.
   */
  render(prompt: ChatPrompt | InfillPrompt): string {
    if (prompt.kind === "infill") return this.#vocabulary.textOf(this.#requireInfill().build(prompt));
    const { messages, last } = splitOff(prompt);
    let refusal: unknown;
    for (const shape of SHAPES) {
      try {
        return this.#renderMessages(shape(messages), prompt, PLAIN) + (last ?? "");
      } catch (error) {
        refusal ??= error;
      }
    }
    throw refused(refusal);
  }

  /** Errors: `invalid_value` for a token id outside the vocabulary. */
  tokenize(parts: TokenizedParts, { addSpecial, parseSpecial }: TokenizeOptions, param = "content"): Token[] {
    this.#vocabulary.refuseUnknown(parts, param);
    const tokens: Token[] = addSpecial && this.#bos !== undefined ? [this.#bos.token] : [];
    for (const part of parts) {
      if (typeof part === "number") tokens.push(part);
      else for (const token of this.#vocabulary.tokenizeText(part, parseSpecial)) tokens.push(token);
    }
    return tokens;
  }

  /** A text as a whole: the model's own first and last tokens around it, no control token in it. */
  async document(parts: TokenizedParts, limit: number, isOver: () => boolean): Promise<Token[]> {
    for (const part of parts) if (typeof part === "string") await this.#refuseHuge("embedding", part, limit, isOver);
    this.#vocabulary.refuseUnknown(parts, "input");
    const tokens: Token[] = this.#bos === undefined ? [] : [this.#bos.token];
    for (const part of parts) {
      if (typeof part === "number") tokens.push(part);
      else for (const token of this.#vocabulary.tokenizeContent(part)) tokens.push(token);
    }
    if (this.#end !== undefined && tokens.at(-1) !== this.#end) tokens.push(this.#end);
    return tokens.length === 0 ? [this.#start] : tokens;
  }

  /** A query and a document as a ranking head reads them. Errors: `not_supported` where the model has none. */
  async pair(query: string, document: string, limit: number, isOver: () => boolean): Promise<Token[]> {
    const pairs = this.#pairs;
    if (pairs === undefined) {
      throw new CodedError("not_supported", "This model has no head that ranks documents; ask another model.");
    }
    for (const text of [query, document]) await this.#refuseHuge("ranking", text, limit, isOver);
    return this.#inTurn(() => pairs.build(query, document));
  }

  async #fromText({ parts }: TextPrompt, limit: number, isOver: () => boolean): Promise<Token[]> {
    for (const part of parts) if (typeof part === "string") await this.#refuseHuge("text", part, limit, isOver);
    const tokens = this.tokenize(parts, { addSpecial: typeof parts[0] === "string", parseSpecial: true }, "prompt");
    return tokens.length === 0 ? [this.#start] : tokens;
  }

  /**
   * Text of the client never becomes a control token: it is rendered twice, once with marks in its place. Where both
   * renderings hold the same control tokens, all of them are the template's and the text is tokenized whole, exactly as
   * llama.cpp does. Where not, the template's parts and the client's parts are tokenized apart.
   */
  async #fromChat(prompt: ChatPrompt, limit: number, isOver: () => boolean): Promise<Token[]> {
    // A message is a token at least. Rendering thousands of them would hold up the others for a second.
    if (prompt.messages.length >= limit) {
      throw contextLengthExceeded("chat", prompt.messages.length, limit, "at least ");
    }
    const marks = new Marks();
    const check = (text: string) => this.#refuseHuge("chat", text, limit, isOver);
    const { rendered, marked } = await this.#renderTwice(prompt, marks, check);
    const structure = this.#vocabulary.findStructure(rendered);
    const own = this.#vocabulary.findStructure(marked);
    const harmless = structure.length === own.length && structure.every((text, index) => text === own[index]);
    const tokens = harmless
      ? [...this.#vocabulary.tokenizeTemplate(this.#withoutBos(rendered))]
      : this.#tokenizeApart(this.#withoutBos(marked), marks);
    if (this.#bos !== undefined) tokens.unshift(this.#bos.token);
    return tokens;
  }

  #tokenizeApart(marked: string, marks: Marks): Token[] {
    const tokens: Token[] = [];
    for (const part of marks.split(marked)) {
      if (part.text === "") continue;
      const more = part.fromClient
        ? this.#vocabulary.tokenizeContent(part.text)
        : this.#vocabulary.tokenizeTemplate(part.text);
      for (const token of more) tokens.push(token);
    }
    return tokens;
  }

  #withoutBos(text: string): string {
    const bos = this.#bos?.text;
    return bos !== undefined && bos !== "" && text.startsWith(bos) ? text.slice(bos.length) : text;
  }

  /** Tries the messages as they are, then as stricter templates want them. What `check` refuses is rendered once only. */
  async #renderTwice(
    prompt: ChatPrompt,
    marks: Marks,
    check: (rendered: string) => Promise<void>,
  ): Promise<{ rendered: string; marked: string }> {
    const { messages: before, last } = splitOff(prompt);
    let refusal: unknown;
    const render = (messages: readonly ChatMessage[], map: Mapper) => {
      try {
        return this.#renderMessages(messages, prompt, map) + (last === undefined ? "" : map(last, false));
      } catch (error) {
        refusal ??= error;
        return undefined;
      }
    };
    const isLarge = sizeOf(prompt) > PIECE_CHARACTERS;
    for (const shape of SHAPES) {
      const messages = shape(before);
      const plain = () => render(messages, PLAIN);
      const rendered = isLarge ? await this.#inTurn(plain) : plain();
      if (rendered === undefined) continue;
      await check(rendered);
      const marked = render(messages, (text, isJson) => marks.hide(text, isJson));
      if (marked !== undefined) return { rendered, marked };
    }
    throw refused(refusal);
  }

  #renderMessages(messages: readonly ChatMessage[], prompt: ChatPrompt, map: Mapper): string {
    return this.#renderer.render({
      ...surroundings(),
      ...this.#ownVariables(prompt.variables ?? {}, map),
      // What the engine sets itself, no client does.
      ...toVariables(messages, prompt.tools, map),
      ...this.#specials,
      add_generation_prompt: prompt.ending !== "nothing",
    });
  }

  /**
   * The client's variables. Templates compare some of them, such as `reasoning_effort`, so what is a plain word is given
   * as it is: no control token can be made of it.
   */
  #ownVariables(variables: Readonly<Record<string, unknown>>, map: Mapper): Record<string, unknown> {
    const mapText: Mapper = (text, isJson) =>
      PLAIN_WORD.test(text) && this.#vocabulary.findStructure(text).length === 0 ? text : map(text, isJson);
    return Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, mapValue(value, mapText)]));
  }

  /** One piece of work between two turns of the event loop, however many requests have some. */
  #inTurn<Result>(work: () => Result): Promise<Result> {
    const result = this.#lastPiece.then(work);
    this.#lastPiece = result.catch(() => undefined).then(() => new Promise(setImmediate));
    return result;
  }

  async #refuseHuge(
    kind: Prompt["kind"] | "embedding" | "ranking",
    text: string,
    limit: number,
    isOver: () => boolean,
  ): Promise<void> {
    if (text.length <= PIECE_CHARACTERS || limit === Number.POSITIVE_INFINITY) return;
    let count = 0;
    for (let start = 0; start < text.length; start += PIECE_CHARACTERS) {
      if (isOver()) throw new CodedError("client_left", "The client left.");
      const piece = text.slice(start, start + PIECE_CHARACTERS);
      count += await this.#inTurn(() => this.#vocabulary.tokenizeTemplate(piece).length);
    }
    // Cutting words can add a token a piece; what is that close to the limit is counted exactly afterwards.
    const pieces = Math.ceil(text.length / PIECE_CHARACTERS);
    if (count - 2 * pieces >= limit) throw contextLengthExceeded(kind, count, limit);
  }
}

/** A last message that the answer goes on with is no message to the template: its text follows what opens an answer. */
function splitOff({ messages, ending }: ChatPrompt): {
  readonly messages: readonly ChatMessage[];
  readonly last: string | undefined;
} {
  if (ending !== "continue") return { messages, last: undefined };
  const last = messages.at(-1);
  if (last?.role !== "assistant" || (last.toolCalls ?? []).length > 0) {
    throw new CodedError(
      "invalid_value",
      "Invalid value for 'messages': only an assistant message without tool calls can be continued.",
      { param: "messages" },
    );
  }
  return { messages: messages.slice(0, -1), last: last.content };
}

function sizeOf({ messages, variables = {} }: ChatPrompt): number {
  const others = JSON.stringify(variables).length;
  return (
    others +
    messages.reduce(
      (sum, { content, toolCalls = [] }) =>
        toolCalls.reduce(
          (more, call) => more + call.arguments.length,
          sum + content.length + MESSAGE_CHARACTERS * (1 + toolCalls.length),
        ),
      0,
    )
  );
}

function refused(refusal: unknown): CodedError {
  const reason = refusal instanceof Error ? refusal.message.replace(/^AddonJinjaRenderer: /, "").slice(0, 200) : "";
  return new CodedError("invalid_value", `The model's chat template refuses these messages: ${reason}`, {
    param: "messages",
    cause: refusal,
  });
}
