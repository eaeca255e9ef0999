import { randomBytes } from "node:crypto";

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
  ToolDefinition,
} from "../domain/generation.ts";
import { Infill } from "./infill.ts";
import type { Native, NativeModel, NativeRenderer, Token } from "./native.ts";
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
  #lastPiece: Promise<unknown> = Promise.resolve();

  static templateOf(fromFile: string | undefined): string {
    return fromFile ?? CHATML;
  }

  constructor(native: Native, model: NativeModel, vocabulary: Vocabulary, template: string, contextLength: number) {
    this.#renderer = native.createRenderer(template);
    this.#vocabulary = vocabulary;
    const text = (token: Token) => (token < 0 || token >= vocabulary.size ? "" : model.getTokenString(token));
    this.#specials = { bos_token: text(model.tokenBos()), eos_token: text(model.tokenEos()) };
    this.#start = model.tokenBos() >= 0 ? model.tokenBos() : model.tokenEos();
    this.#bos = model.shouldPrependBosToken() ? { token: model.tokenBos(), text: this.#specials.bos_token } : undefined;
    this.#end = model.shouldAppendEosToken() ? model.tokenEos() : undefined;
    this.#infill = Infill.of(model, vocabulary, contextLength, this.#bos?.token);
  }

  get bosToken(): string {
    return this.#specials.bos_token;
  }

  get hasInfill(): boolean {
    return this.#infill !== undefined;
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
    let refusal: unknown;
    for (const shape of SHAPES) {
      try {
        return this.#renderMessages(shape(prompt.messages), prompt, (text) => text);
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
    let refusal: unknown;
    const render = (messages: readonly ChatMessage[], map: Mapper) => {
      try {
        return this.#renderMessages(messages, prompt, map);
      } catch (error) {
        refusal ??= error;
        return undefined;
      }
    };
    const isLarge = sizeOf(prompt) > PIECE_CHARACTERS;
    for (const shape of SHAPES) {
      const messages = shape(prompt.messages);
      const plain = () => render(messages, (text) => text);
      const rendered = isLarge ? await this.#inTurn(plain) : plain();
      if (rendered === undefined) continue;
      await check(rendered);
      const marked = render(messages, (text, isJson) => marks.hide(text, isJson));
      if (marked !== undefined) return { rendered, marked };
    }
    throw refused(refusal);
  }

  #renderMessages(messages: readonly ChatMessage[], { tools }: ChatPrompt, map: Mapper): string {
    return this.#renderer.render({ ...toVariables(messages, tools, map), ...this.#specials, ...surroundings() });
  }

  /** One piece of work between two turns of the event loop, however many requests have some. */
  #inTurn<Result>(work: () => Result): Promise<Result> {
    const result = this.#lastPiece.then(work);
    this.#lastPiece = result.catch(() => undefined).then(() => new Promise(setImmediate));
    return result;
  }

  async #refuseHuge(
    kind: Prompt["kind"] | "embedding",
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

function sizeOf({ messages }: ChatPrompt): number {
  return messages.reduce(
    (sum, { content, toolCalls = [] }) =>
      toolCalls.reduce(
        (more, call) => more + call.arguments.length,
        sum + content.length + MESSAGE_CHARACTERS * (1 + toolCalls.length),
      ),
    0,
  );
}

function refused(refusal: unknown): CodedError {
  const reason = refusal instanceof Error ? refusal.message.replace(/^AddonJinjaRenderer: /, "").slice(0, 200) : "";
  return new CodedError("invalid_value", `The model's chat template refuses these messages: ${reason}`, {
    param: "messages",
    cause: refusal,
  });
}

/** Stand-ins for the client's texts: plain letters and digits, which templates and tokenizers leave alone. */
class Marks {
  readonly #prefix = `Q${randomBytes(9).toString("hex")}X`;
  readonly #texts: string[] = [];

  hide(text: string, isJson: boolean): string {
    // An empty text stays empty: templates test for it.
    if (text === "") return text;
    this.#texts.push(isJson ? JSON.stringify(text).slice(1, -1) : text);
    return `${this.#prefix}${this.#texts.length - 1}Z`;
  }

  split(marked: string): { readonly text: string; readonly fromClient: boolean }[] {
    // Odd places hold the numbers that the pattern captures.
    return marked
      .split(new RegExp(`${this.#prefix}(\\d+)Z`))
      .map((text, index) =>
        index % 2 === 0 ? { text, fromClient: false } : { text: this.#texts[Number(text)] ?? "", fromClient: true },
      );
  }
}

type Mapper = (text: string, isJson: boolean) => string;

/** The template's variables, in the shape that llama.cpp's server gives them; every text of the client goes through `map`. */
function toVariables(
  messages: readonly ChatMessage[],
  tools: readonly ToolDefinition[] | undefined,
  map: Mapper,
): Record<string, unknown> {
  return {
    messages: messages.map((message) => ({
      role: message.role,
      content: map(message.content, false),
      ...(message.name !== undefined && { name: map(message.name, false) }),
      ...(message.toolCallId !== undefined && { tool_call_id: map(message.toolCallId, false) }),
      ...(message.toolCalls !== undefined && {
        tool_calls: message.toolCalls.map((call) => ({
          id: map(call.id, false),
          type: "function",
          function: { name: map(call.name, false), arguments: toArguments(call.arguments, map) },
        })),
      }),
    })),
    ...(tools !== undefined &&
      tools.length > 0 && {
        tools: tools.map((tool) => ({ type: "function", function: mapStrings(tool, map) })),
      }),
  };
}

/** Templates print arguments as JSON, so they want the value; a text that is not JSON stays a text. */
function toArguments(json: string, map: Mapper): unknown {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) return mapStrings(value, map);
  } catch {
    // Not JSON: the client's own words.
  }
  return map(json, false);
}

/** Keys that belong to JSON Schema and to tool definitions are the same in every tool: no client text. */
function mapStrings(value: unknown, map: Mapper): unknown {
  if (typeof value === "string") return map(value, true);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [SCHEMA_KEYS.has(key) ? key : map(key, true), mapStrings(item, map)]),
  );
}

const SCHEMA_KEYS = new Set(
  "name description parameters type properties required items enum additionalProperties strict arguments".split(" "),
);

function surroundings(): Record<string, unknown> {
  return { add_generation_prompt: true, enable_thinking: true, date_string: today() };
}

/** "22 Nov 2026", the form that Llama 3's template prints. A locale's formatter would cost half a millisecond. */
function today(): string {
  const [, month, day, year] = new Date().toDateString().split(" ");
  return `${day} ${month} ${year}`;
}

const asGiven = (messages: readonly ChatMessage[]) => messages;

/** For templates without a system role: its text goes in front of the first user turn. */
function withSystemInFirstTurn(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const system = messages.filter((message) => message.role === "system").map((message) => message.content);
  const rest = messages.filter((message) => message.role !== "system");
  const first = rest.findIndex((message) => message.role === "user");
  const text = system.join("\n\n");
  if (first < 0) return [{ role: "user", content: text }, ...rest];
  return rest.map((message, index) =>
    index === first && text !== "" ? { ...message, content: `${text}\n\n${message.content}` } : message,
  );
}

/** For templates that want user and assistant in turns: neighbours of one role become one message. */
function withTurnsMerged(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const merged: ChatMessage[] = [];
  for (const message of withSystemInFirstTurn(messages)) {
    const role = message.role === "tool" ? "user" : message.role;
    const last = merged.at(-1);
    if (last?.role === role) merged[merged.length - 1] = { ...last, content: `${last.content}\n\n${message.content}` };
    else merged.push({ ...message, role });
  }
  if (merged[0]?.role === "assistant") merged.unshift({ role: "user", content: "" });
  return merged;
}

/** From what the client gave to what the strictest templates take. */
const SHAPES = [asGiven, withSystemInFirstTurn, withTurnsMerged] as const;
