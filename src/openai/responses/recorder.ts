import type { ChatStep, ChatUsage } from "../../domain/chat.ts";
import type { TokenChance } from "../../domain/generation.ts";
import { toLogprobs } from "../logprobs.ts";
import type { ResponseEcho } from "./request.ts";

export type ResponseStatus = "queued" | "in_progress" | "completed" | "incomplete" | "cancelled" | "failed";

/** An event without its number. */
type Event = Readonly<{ type: string } & Record<string, unknown>>;

export interface NumberedEvent {
  readonly type: string;
  readonly sequenceNumber: number;
  /** The whole event. */
  readonly json: string;
}

export interface ResponseHead {
  readonly id: string;
  readonly model: string;
  /** When the request was accepted, in seconds since 1970. */
  readonly createdAt: number;
  readonly echo: ResponseEcho;
  readonly wantsLogprobs: boolean;
  readonly newId: (prefix: string) => string;
  /** Seconds since 1970. */
  readonly now: () => number;
}

type Item =
  | { readonly kind: "message"; readonly id: string; status: string; text: string; readonly tokens: TokenChance[] }
  | { readonly kind: "reasoning"; readonly id: string; status: string; text: string }
  | {
      readonly kind: "call";
      readonly id: string;
      status: string;
      readonly callId: string;
      readonly name: string;
      text: string;
    };

/** Turns the steps of a chat into a response and its events. Each call returns the events that it adds. */
export class ResponseRecorder {
  readonly #head: ResponseHead;
  readonly #items: Item[] = [];
  #status: ResponseStatus;
  #open: Item | undefined;
  #cutShort = false;
  #usage: ChatUsage | undefined;
  #completedAt: number | null = null;
  #error: { readonly code: string; readonly message: string } | null = null;
  #count = 0;

  /** `waits`: no slot is free yet. */
  constructor(head: ResponseHead, waits: boolean) {
    this.#head = head;
    this.#status = waits ? "queued" : "in_progress";
  }

  get status(): ResponseStatus {
    return this.#status;
  }

  get isOver(): boolean {
    return this.#status !== "queued" && this.#status !== "in_progress";
  }

  /** The response as it is now; while it runs, its output holds the text so far. */
  snapshot(): Record<string, unknown> {
    const { id, model, createdAt, echo } = this.#head;
    const usage = this.#usage;
    return {
      id,
      object: "response",
      created_at: createdAt,
      completed_at: this.#completedAt,
      status: this.#status,
      error: this.#error,
      incomplete_details: this.#status === "incomplete" ? { reason: "max_output_tokens" } : null,
      model,
      output: this.#items.map((item) => this.#toItem(item)),
      ...echo,
      usage: usage === undefined ? null : toUsage(usage),
    };
  }

  begin(): NumberedEvent[] {
    const created = this.#withResponse("response.created");
    return this.#number(this.#status === "queued" ? [created, this.#withResponse("response.queued")] : [created]);
  }

  step(step: ChatStep): NumberedEvent[] {
    if (this.isOver) return [];
    switch (step.type) {
      case "started":
        this.#status = "in_progress";
        return this.#number([this.#withResponse("response.in_progress")]);
      case "thinking":
        if (step.text === "") return [];
        return this.#number([...this.#openUp("reasoning"), this.#delta("response.reasoning_text.delta", step.text)]);
      case "text":
        return this.#number(this.#addText(step.text, step.tokens ?? []));
      case "call":
        return this.#number(this.#openCall(step.id, step.name));
      case "arguments":
        if (step.text === "") return [];
        return this.#number([this.#delta("response.function_call_arguments.delta", step.text)]);
      case "finish":
        this.#cutShort = step.reason === "length";
        return [];
      case "done":
        this.#usage = step.usage;
        return this.#number(this.#complete());
      case "progress":
        return [];
      default:
        return step satisfies never;
    }
  }

  fail(code: string, message: string): NumberedEvent[] {
    if (this.isOver) return [];
    for (const item of this.#items) if (item.status === "in_progress") item.status = "incomplete";
    this.#status = "failed";
    this.#error = { code, message };
    return this.#number([this.#withResponse("response.failed"), { type: "error", code, message, param: null }]);
  }

  cancel(): void {
    if (this.isOver) return;
    for (const item of this.#items) if (item.status === "in_progress") item.status = "incomplete";
    this.#status = "cancelled";
  }

  #complete(): Event[] {
    // An answer without a word is an empty message.
    const events = this.#items.length === 0 ? this.#openUp("message") : [];
    events.push(...this.#close(this.#cutShort ? "incomplete" : "completed"));
    this.#status = this.#cutShort ? "incomplete" : "completed";
    this.#completedAt = this.#head.now();
    events.push(this.#withResponse(`response.${this.#status}`));
    return events;
  }

  #addText(text: string, tokens: readonly TokenChance[]): Event[] {
    if (text === "" && tokens.length === 0) return [];
    const events = this.#openUp("message");
    if (this.#open?.kind === "message") this.#open.tokens.push(...tokens);
    if (text !== "") {
      events.push({ ...this.#delta("response.output_text.delta", text), logprobs: this.#logprobs(tokens) });
    }
    return events;
  }

  /** Opens an item of a kind unless one is open; what was open is closed. */
  #openUp(kind: "message" | "reasoning"): Event[] {
    if (this.#open?.kind === kind) return [];
    const events = this.#close("completed");
    const item: Item =
      kind === "message"
        ? { kind, id: this.#head.newId("msg_"), status: "in_progress", text: "", tokens: [] }
        : { kind, id: this.#head.newId("rs_"), status: "in_progress", text: "" };
    events.push(this.#added(item));
    if (kind === "message") {
      events.push({ type: "response.content_part.added", ...this.#place(0), part: { ...EMPTY_PART } });
    }
    return events;
  }

  #openCall(callId: string, name: string): Event[] {
    const id = this.#head.newId("fc_");
    return [
      ...this.#close("completed"),
      this.#added({ kind: "call", id, status: "in_progress", callId, name, text: "" }),
    ];
  }

  #added(item: Item): Event {
    this.#items.push(item);
    this.#open = item;
    const shown = this.#toItem(item);
    // Its parts follow in events of their own.
    if (item.kind !== "call") shown["content"] = [];
    return { type: "response.output_item.added", output_index: this.#items.length - 1, item: shown };
  }

  #delta(type: string, text: string): Event {
    this.#open!.text += text;
    return { type, ...this.#place(this.#open?.kind === "call" ? undefined : 0), delta: text };
  }

  #close(status: "completed" | "incomplete"): Event[] {
    const item = this.#open;
    if (item === undefined) return [];
    item.status = status;
    const events: Event[] = [];
    if (item.kind === "message") {
      const logprobs = this.#logprobs(item.tokens);
      events.push(
        { type: "response.output_text.done", ...this.#place(0), text: item.text, logprobs },
        { type: "response.content_part.done", ...this.#place(0), part: this.#toPart(item) },
      );
    } else if (item.kind === "reasoning") {
      events.push({ type: "response.reasoning_text.done", ...this.#place(0), text: item.text });
    } else {
      const { name, text } = item;
      events.push({ type: "response.function_call_arguments.done", ...this.#place(), name, arguments: text });
    }
    events.push({ type: "response.output_item.done", output_index: this.#items.length - 1, item: this.#toItem(item) });
    this.#open = undefined;
    return events;
  }

  #place(contentIndex?: number) {
    return {
      item_id: this.#open!.id,
      output_index: this.#items.length - 1,
      ...(contentIndex !== undefined && { content_index: contentIndex }),
    };
  }

  #toItem(item: Item): Record<string, unknown> {
    const { id, status, text } = item;
    if (item.kind === "message") {
      return { type: "message", id, status, role: "assistant", content: [this.#toPart(item)] };
    }
    if (item.kind === "reasoning") {
      return { type: "reasoning", id, status, summary: [], content: [{ type: "reasoning_text", text }] };
    }
    return { type: "function_call", id, status, call_id: item.callId, name: item.name, arguments: text };
  }

  #toPart({ text, tokens }: Extract<Item, { kind: "message" }>) {
    return { ...EMPTY_PART, text, logprobs: this.#logprobs(tokens) };
  }

  #logprobs(tokens: readonly TokenChance[]): unknown {
    return this.#head.wantsLogprobs ? toLogprobs(tokens)["content"] : [];
  }

  #withResponse(type: string): Event {
    return { type, response: this.snapshot() };
  }

  #number(events: readonly Event[]): NumberedEvent[] {
    return events.map(({ type, ...rest }) => {
      const sequenceNumber = this.#count++;
      return { type, sequenceNumber, json: JSON.stringify({ type, sequence_number: sequenceNumber, ...rest }) };
    });
  }
}

const EMPTY_PART = { type: "output_text", text: "", annotations: [], logprobs: [] } as const;

function toUsage({ promptTokens, cachedTokens, completionTokens, thinkingTokens }: ChatUsage) {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: thinkingTokens },
    total_tokens: promptTokens + completionTokens,
  };
}

export function toServerSentEvent({ type, json }: NumberedEvent): string {
  return `event: ${type}\ndata: ${json}\n\n`;
}
