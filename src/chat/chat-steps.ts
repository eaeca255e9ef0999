import { randomBytes } from "node:crypto";

import type { ChatFinishReason, ChatStep } from "../domain/chat.ts";
import type { FinishReason, GenerationStep, TokenChance } from "../domain/generation.ts";
import { AnswerParser, type AnswerPiece, type ParserOptions } from "./answer-parser.ts";

type TextStep = Extract<GenerationStep, { type: "text" }>;

/** The engine's steps → a chat's. */
export async function* toChatSteps(
  steps: AsyncIterable<GenerationStep>,
  options: Omit<ParserOptions, "newId">,
): AsyncGenerator<ChatStep> {
  const answers = new Map<number, Answer>();
  const answerOf = (choice: number) => {
    let answer = answers.get(choice);
    if (answer === undefined) answers.set(choice, (answer = new Answer(choice, options)));
    return answer;
  };
  for await (const step of steps) {
    if (step.type === "text") yield* answerOf(step.choice).read(step);
    else if (step.type === "finish") {
      const answer = answerOf(step.choice);
      yield* answer.end();
      yield { ...step, reason: answer.reasonOf(step.reason) };
    } else if (step.type === "done") {
      const thinkingTokens = [...answers.values()].reduce((sum, answer) => sum + answer.thinkingTokens, 0);
      yield { ...step, usage: { ...step.usage, thinkingTokens } };
    } else if (step.type !== "prompt") yield step;
  }
}

/** One choice of an answer. */
class Answer {
  readonly #choice: number;
  readonly #parser: AnswerParser;
  /** Of text that the parser holds back. */
  #tokens: TokenChance[] = [];
  #ids: number[] = [];
  thinkingTokens = 0;

  constructor(choice: number, options: Omit<ParserOptions, "newId">) {
    this.#choice = choice;
    this.#parser = new AnswerParser({ ...options, newId });
  }

  read({ text, tokens, ids, timings }: TextStep): ChatStep[] {
    const thought = this.#parser.isThinking;
    const pieces = this.#parser.push(text);
    if (thought || this.#parser.isThinking) this.thinkingTokens += (ids ?? tokens ?? []).length;
    if (tokens !== undefined) this.#tokens.push(...tokens);
    if (ids !== undefined) this.#ids.push(...ids);
    // Tokens whose text shows nothing still have their place in the report.
    if (pieces.length === 0) return [];
    return pieces.map((piece) => ({
      ...piece,
      choice: this.#choice,
      ...(tokens !== undefined && { tokens: this.#takeTokens() }),
      ...(ids !== undefined && { ids: this.#takeIds() }),
      ...(timings !== undefined && { timings }),
    }));
  }

  end(): ChatStep[] {
    const pieces = this.#parser.end();
    const [report, reportIds] = [this.#tokens.length > 0, this.#ids.length > 0];
    if (pieces.length === 0 && (report || reportIds)) pieces.push(this.#emptyPiece());
    return pieces.map((piece) => ({
      ...piece,
      choice: this.#choice,
      ...(report && { tokens: this.#takeTokens() }),
      ...(reportIds && { ids: this.#takeIds() }),
    }));
  }

  /** A call that was cut is no call, whatever cut it. */
  reasonOf(reason: FinishReason): ChatFinishReason {
    if (this.#parser.calls === 0) return reason;
    return reason === "stop" && this.#parser.isWhole ? "tool_calls" : "length";
  }

  #emptyPiece(): AnswerPiece {
    const { calls } = this.#parser;
    return calls === 0 ? { type: "text", text: "" } : { type: "arguments", call: calls - 1, text: "" };
  }

  #takeTokens(): TokenChance[] {
    const tokens = this.#tokens;
    this.#tokens = [];
    return tokens;
  }

  #takeIds(): number[] {
    const ids = this.#ids;
    this.#ids = [];
    return ids;
  }
}

function newId(): string {
  return `call_${randomBytes(12).toString("hex")}`;
}
