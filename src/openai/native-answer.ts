import type { Ending, FinishReason, GenerationStep, Timings } from "../domain/generation.ts";
import type { Answer } from "./response.ts";
import { toTimings } from "./usage.ts";

/** What is known of an answer before its first token. */
export interface NativeHead {
  readonly model: string;
  readonly contextLength: number;
  /** For each result, in the order of the prompts and then of their choices. */
  readonly results: readonly { readonly prompt: string; readonly promptTokens: number }[];
  readonly isList: boolean;
  readonly settings: Readonly<Record<string, unknown>>;
}

interface State {
  text: string;
  pieces: number;
  reason: FinishReason;
  ending: Ending;
}

/** Collects steps into llama.cpp's objects. */
class NativeResults {
  readonly #head: NativeHead;
  readonly #states: readonly State[];

  constructor(head: NativeHead) {
    this.#head = head;
    this.#states = head.results.map(() => ({
      text: "",
      pieces: 0,
      reason: "stop",
      ending: { tokens: 0, stop: undefined },
    }));
  }

  note(step: GenerationStep): void {
    if (step.type === "text") {
      const state = this.#states[step.choice]!;
      state.text += step.text;
      state.pieces += 1;
    } else if (step.type === "finish") {
      const state = this.#states[step.choice]!;
      state.reason = step.reason;
      state.ending = step.ending ?? { tokens: state.pieces, stop: undefined };
    }
  }

  /** A piece of a stream. Its count is of pieces, each a token unless a character took several. */
  part(index: number, content: string): object {
    const tokensEvaluated = this.#head.results[index]!.promptTokens;
    const tokensPredicted = this.#states[index]!.pieces;
    return {
      index,
      content,
      tokens: [],
      stop: false,
      id_slot: -1,
      tokens_predicted: tokensPredicted,
      tokens_evaluated: tokensEvaluated,
    };
  }

  /** The last object of each result. `isWhole`: with the text, which a stream has sent already. */
  finals(timings: Timings, isWhole: boolean): object[] {
    return this.#states.map((state, index) => this.#final(state, index, timings, isWhole));
  }

  #final({ text, reason, ending }: State, index: number, timings: Timings, isWhole: boolean): object {
    const { prompt, promptTokens } = this.#head.results[index]!;
    const limited = reason === "length";
    const stopType = limited ? "limit" : ending.stop === undefined ? "eos" : "word";
    const tokens = promptTokens + ending.tokens;
    return {
      index,
      content: isWhole ? text : "",
      tokens: [],
      id_slot: -1,
      stop: true,
      model: this.#head.model,
      tokens_predicted: ending.tokens,
      tokens_evaluated: promptTokens,
      generation_settings: this.#head.settings,
      prompt,
      has_new_line: text.includes("\n"),
      truncated: limited && tokens >= this.#head.contextLength,
      stop_type: stopType,
      stopping_word: ending.stop ?? "",
      tokens_cached: tokens,
      timings: toTimings(timings),
      // The names of llama.cpp's first versions.
      slot_id: -1,
      stopped_eos: stopType === "eos",
      stopped_limit: limited,
      stopped_word: stopType === "word",
    };
  }
}

/** All steps → one object, or a list of them. */
export async function toNativeAnswer(head: NativeHead, steps: AsyncIterable<GenerationStep>): Promise<Answer> {
  const results = new NativeResults(head);
  for await (const step of steps) {
    results.note(step);
    if (step.type !== "done") continue;
    const objects = results.finals(step.timings, true);
    return { body: head.isList ? objects : objects[0], usage: step.usage, timings: step.timings };
  }
  return { body: head.isList ? [] : null, usage: undefined, timings: undefined };
}

/** Steps → the text of their events: pieces, then each result's last object. */
export function createNativeEncoder(head: NativeHead): (step: GenerationStep) => string {
  const results = new NativeResults(head);
  return (step) => {
    results.note(step);
    if (step.type === "text") return step.text === "" ? "" : toEvent(results.part(step.choice, step.text));
    return step.type === "done" ? results.finals(step.timings, false).map(toEvent).join("") : "";
  };
}

function toEvent(object: object): string {
  return `data: ${JSON.stringify(object)}\n\n`;
}
