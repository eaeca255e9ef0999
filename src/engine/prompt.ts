import { randomBytes } from "node:crypto";

import { CodedError } from "../domain/errors.ts";
import type { ChatMessage, Prompt, ToolDefinition } from "../domain/generation.ts";
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
  readonly #bos: { readonly token: Token; readonly text: string } | undefined;
  readonly #specials: { readonly bos_token: string; readonly eos_token: string };
  #lastPiece: Promise<unknown> = Promise.resolve();

  static templateOf(fromFile: string | undefined): string {
    return fromFile ?? CHATML;
  }

  constructor(native: Native, model: NativeModel, vocabulary: Vocabulary, template: string) {
    this.#renderer = native.createRenderer(template);
    this.#vocabulary = vocabulary;
    const text = (token: Token) => (token < 0 || token >= vocabulary.size ? "" : model.getTokenString(token));
    this.#specials = { bos_token: text(model.tokenBos()), eos_token: text(model.tokenEos()) };
    this.#bos = model.shouldPrependBosToken() ? { token: model.tokenBos(), text: this.#specials.bos_token } : undefined;
  }

  /**
   * Errors: `context_length_exceeded` above `limit` tokens; `invalid_value` where the template refuses the messages.
   * Text of the client never becomes a control token: it is rendered twice, once with marks in its place. Where both
   * renderings hold the same control tokens, all of them are the template's and the text is tokenized whole, exactly as
   * llama.cpp does. Where not, the template's parts and the client's parts are tokenized apart.
   */
  async build(prompt: Prompt, limit: number, isOver = () => false): Promise<Token[]> {
    // A message is a token at least. Rendering thousands of them would hold up the others for a second.
    if (prompt.messages.length >= limit) throw tooLong(prompt.messages.length, limit, "at least ");
    const marks = new Marks();
    const { rendered, marked } = await this.#render(prompt, marks, (text) => this.#refuseHuge(text, limit, isOver));
    const structure = this.#vocabulary.findStructure(rendered);
    const own = this.#vocabulary.findStructure(marked);
    const harmless = structure.length === own.length && structure.every((text, index) => text === own[index]);
    const tokens = harmless
      ? [...this.#vocabulary.tokenizeTemplate(this.#withoutBos(rendered))]
      : this.#tokenizeApart(this.#withoutBos(marked), marks);
    if (this.#bos !== undefined) tokens.unshift(this.#bos.token);
    if (tokens.length >= limit) throw tooLong(tokens.length, limit);
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
  async #render(
    prompt: Prompt,
    marks: Marks,
    check: (rendered: string) => Promise<void>,
  ): Promise<{ rendered: string; marked: string }> {
    let refusal: unknown;
    const render = (messages: readonly ChatMessage[], map: Mapper) => {
      try {
        const variables = toVariables(messages, prompt.tools, map);
        return this.#renderer.render({ ...variables, ...this.#specials, ...surroundings() });
      } catch (error) {
        refusal ??= error;
        return undefined;
      }
    };
    const isLarge = sizeOf(prompt) > PIECE_CHARACTERS;
    for (const shape of [asGiven, withSystemInFirstTurn, withTurnsMerged]) {
      const messages = shape(prompt.messages);
      const plain = () => render(messages, (text) => text);
      const rendered = isLarge ? await this.#inTurn(plain) : plain();
      if (rendered === undefined) continue;
      await check(rendered);
      const marked = render(messages, (text, isJson) => marks.hide(text, isJson));
      if (marked !== undefined) return { rendered, marked };
    }
    const reason = refusal instanceof Error ? refusal.message.replace(/^AddonJinjaRenderer: /, "").slice(0, 200) : "";
    throw new CodedError("invalid_value", `The model's chat template refuses these messages: ${reason}`, {
      param: "messages",
      cause: refusal,
    });
  }

  /** One piece of work between two turns of the event loop, however many requests have some. */
  #inTurn<Result>(work: () => Result): Promise<Result> {
    const result = this.#lastPiece.then(work);
    this.#lastPiece = result.catch(() => undefined).then(() => new Promise(setImmediate));
    return result;
  }

  async #refuseHuge(text: string, limit: number, isOver: () => boolean): Promise<void> {
    if (text.length <= PIECE_CHARACTERS) return;
    let count = 0;
    for (let start = 0; start < text.length; start += PIECE_CHARACTERS) {
      if (isOver()) throw new CodedError("client_left", "The client left.");
      const piece = text.slice(start, start + PIECE_CHARACTERS);
      count += await this.#inTurn(() => this.#vocabulary.tokenizeTemplate(piece).length);
    }
    // Cutting words can add a token a piece; what is that close to the limit is counted exactly afterwards.
    const pieces = Math.ceil(text.length / PIECE_CHARACTERS);
    if (count - 2 * pieces >= limit) throw tooLong(count, limit);
  }
}

function sizeOf({ messages }: Prompt): number {
  return messages.reduce(
    (sum, { content, toolCalls = [] }) =>
      toolCalls.reduce(
        (more, call) => more + call.arguments.length,
        sum + content.length + MESSAGE_CHARACTERS * (1 + toolCalls.length),
      ),
    0,
  );
}

function tooLong(tokens: number, limit: number, bound = ""): CodedError {
  return new CodedError(
    "context_length_exceeded",
    `This model's maximum context length is ${limit} tokens. However, your messages resulted in ${bound}${tokens} tokens, ` +
      "which exceeds the available context size. Please reduce the length of the messages.",
    { param: "messages", details: { n_prompt_tokens: tokens, n_ctx: limit } },
  );
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
