import {
  JsonArgumentsReader,
  TaggedArgumentsReader,
  type ArgumentForms,
  type ArgumentsReader,
} from "./arguments-reader.ts";
import { matchCall, openEnd, openingOf, triggerOf, type CallSyntax } from "./call-syntax.ts";
import { THINK, type ThinkingPlace, type ThinkingTags } from "./thinking.ts";

/** A piece of an answer, without the choice that it belongs to. */
export type AnswerPiece =
  | { readonly type: "thinking" | "text"; readonly text: string }
  | { readonly type: "call"; readonly call: number; readonly id: string; readonly name: string }
  | { readonly type: "arguments"; readonly call: number; readonly text: string };

export interface ParserOptions {
  readonly thinking: ThinkingPlace;
  /** Around thinking text. Default: the usual ones. */
  readonly tags?: ThinkingTags;
  /** Undefined where no call is expected: all is text then. */
  readonly syntax: CallSyntax | undefined;
  /** The tools that may be called; how their arguments are written, where that is not a JSON object. */
  readonly tools: ReadonlyMap<string, ArgumentForms | undefined>;
  newId(): string;
}

type Place = "start" | "thinking" | "after-thinking" | "text" | "arguments" | "after-call";

/** Sorts an answer's text, as it comes, into thinking, text and calls. */
export class AnswerParser {
  readonly #options: ParserOptions;
  readonly #tags: ThinkingTags;
  #place: Place;
  /** What cannot be sorted yet. */
  #held = "";
  #calls = 0;
  #reader: ArgumentsReader = new JsonArgumentsReader();
  /** No text has come yet, so that a call may stand where it has to be at the start. */
  #isStart = true;

  constructor(options: ParserOptions) {
    this.#options = options;
    this.#tags = options.tags ?? THINK;
    this.#place = options.thinking === "open" ? "thinking" : options.thinking === "possible" ? "start" : "text";
  }

  get isThinking(): boolean {
    return this.#place === "thinking";
  }

  get calls(): number {
    return this.#calls;
  }

  /** Whether the last call that began was written to its end. */
  get isWhole(): boolean {
    return this.#place !== "arguments";
  }

  push(text: string): AnswerPiece[] {
    this.#held += text;
    const pieces: AnswerPiece[] = [];
    while (this.#step(pieces)) {
      // As long as something can be sorted.
    }
    return pieces;
  }

  /** What was held back, at an answer's end. */
  end(): AnswerPiece[] {
    const rest = this.#held;
    this.#held = "";
    if (rest === "") return [];
    if (this.#place === "thinking") return piece("thinking", rest.trimEnd());
    if (this.#place !== "start" && this.#place !== "text") return [];
    // The beginning of a call that was cut is no text.
    const { syntax } = this.#options;
    return syntax !== undefined && rest.startsWith(triggerOf(syntax)) ? [] : piece("text", rest);
  }

  #step(pieces: AnswerPiece[]): boolean {
    switch (this.#place) {
      case "start":
        return this.#readStart();
      case "thinking":
        return this.#readThinking(pieces);
      case "after-thinking":
        this.#held = this.#held.trimStart();
        if (this.#held === "") return false;
        this.#place = "text";
        return true;
      case "text":
        return this.#readText(pieces);
      case "arguments":
        return this.#readArguments(pieces);
      default:
        return this.#readFurtherCall(pieces);
    }
  }

  #readStart(): boolean {
    const text = this.#held.trimStart();
    const { start } = this.#tags;
    if (text.startsWith(start)) {
      this.#held = text.slice(start.length);
      this.#place = "thinking";
      return true;
    }
    if (start.startsWith(text)) return false;
    this.#place = "text";
    return true;
  }

  #thought = false;

  #readThinking(pieces: AnswerPiece[]): boolean {
    // The block's own line breaks are no part of the thought.
    if (!this.#thought) this.#held = this.#held.trimStart();
    const end = this.#held.indexOf(this.#tags.end);
    if (end >= 0) {
      pieces.push(...piece("thinking", this.#held.slice(0, end).trimEnd()));
      this.#held = this.#held.slice(end + this.#tags.end.length);
      this.#place = "after-thinking";
      return true;
    }
    const sure = this.#held.slice(0, this.#held.length - openEnd(this.#held, this.#tags.end)).trimEnd();
    if (sure !== "") this.#thought = true;
    pieces.push(...piece("thinking", sure));
    this.#held = this.#held.slice(sure.length);
    return false;
  }

  #readText(pieces: AnswerPiece[]): boolean {
    const { syntax } = this.#options;
    if (syntax === undefined) {
      pieces.push(...piece("text", this.#held));
      this.#held = "";
      return false;
    }
    return syntax.onlyAtStart === true ? this.#readFromStart(syntax, pieces) : this.#readToCall(syntax, pieces);
  }

  #readToCall(syntax: CallSyntax, pieces: AnswerPiece[]): boolean {
    const trigger = triggerOf(syntax);
    let from = 0;
    for (;;) {
      const at = this.#held.indexOf(trigger, from);
      if (at < 0) break;
      const match = this.#match(syntax, true, at);
      if (match.state === "no") {
        from = at + 1;
        continue;
      }
      // White space between text and calls belongs to neither.
      const before = this.#held.slice(0, at).trimEnd();
      pieces.push(...piece("text", before));
      if (match.state === "maybe") {
        this.#held = this.#held.slice(at);
        return false;
      }
      this.#beginCall(match, pieces);
      return true;
    }
    const sure = this.#held.slice(0, this.#held.length - openEnd(this.#held, trigger)).trimEnd();
    pieces.push(...piece("text", sure));
    this.#held = this.#held.slice(sure.length);
    return false;
  }

  #readFromStart(syntax: CallSyntax, pieces: AnswerPiece[]): boolean {
    if (this.#isStart) {
      const match = this.#match(syntax, true, this.#held.length - this.#held.trimStart().length);
      if (match.state === "maybe") return false;
      if (match.state === "yes") {
        this.#beginCall(match, pieces);
        return true;
      }
      this.#isStart = false;
    }
    pieces.push(...piece("text", this.#held));
    this.#held = "";
    return false;
  }

  #match(syntax: CallSyntax, isFirst: boolean, at: number): ReturnType<typeof matchCall> {
    const match = matchCall(syntax, isFirst, this.#held, at);
    return match.state === "yes" && !this.#options.tools.has(match.name) ? { state: "no" } : match;
  }

  #beginCall({ end, name }: { readonly end: number; readonly name: string }, pieces: AnswerPiece[]): void {
    this.#held = this.#held.slice(end);
    pieces.push({ type: "call", call: this.#calls, id: this.#options.newId(), name });
    this.#calls += 1;
    const words = this.#options.syntax?.arguments;
    const forms = this.#options.tools.get(name);
    const isTagged = words !== undefined && forms !== undefined;
    this.#reader = isTagged ? new TaggedArgumentsReader(words, forms) : new JsonArgumentsReader();
    this.#place = "arguments";
  }

  #readArguments(pieces: AnswerPiece[]): boolean {
    if (this.#held === "") return false;
    const { length, json, isWhole } = this.#reader.read(this.#held);
    if (json !== "") pieces.push({ type: "arguments", call: this.#calls - 1, text: json });
    this.#held = this.#held.slice(length);
    if (isWhole) this.#place = "after-call";
    return isWhole;
  }

  #readFurtherCall(pieces: AnswerPiece[]): boolean {
    const { syntax } = this.#options;
    if (syntax === undefined) return false;
    const opening = syntax.call[2] + openingOf(syntax, false);
    const match = this.#match({ ...syntax, section: ["", ""], call: [opening, syntax.call[1], ""] }, true, 0);
    if (match.state !== "yes") return false;
    this.#beginCall(match, pieces);
    return true;
  }
}

function piece(type: "thinking" | "text", text: string): AnswerPiece[] {
  return text === "" ? [] : [{ type, text }];
}
