import type { Ending, FinishReason, GenerationStep, Timings, TokenChance } from "../domain/generation.ts";
import { toProbabilities } from "./native-logprobs.ts";
import { toProgress } from "./progress.ts";
import { pickFields } from "./response-fields.ts";
import type { Answer } from "./response.ts";
import { toTimings } from "./usage.ts";

/** What is known of an answer before its first token. */
export interface NativeHead {
  readonly model: string;
  readonly contextLength: number;
  readonly prompts: readonly { readonly text: string; readonly tokens: number }[];
  /** Answers to each prompt. */
  readonly choices: number;
  readonly isList: boolean;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly postSampling: boolean;
  /** Whether token ids are sent with whole answers; streams always have them. */
  readonly returnTokens: boolean;
  /** Members of the last object that are wanted; none is all. */
  readonly responseFields: readonly string[];
}

interface State {
  text: string;
  readonly ids: number[];
  readonly chances: TokenChance[];
  pieces: number;
  slot: number;
  reason: FinishReason;
  ending: Ending;
}

type TextStep = Extract<GenerationStep, { type: "text" }>;

/** Collects steps into llama.cpp's objects. Results are numbered prompt by prompt. */
class NativeResults {
  readonly #head: NativeHead;
  readonly #states: readonly State[];

  constructor(head: NativeHead) {
    this.#head = head;
    this.#states = Array.from({ length: head.prompts.length * head.choices }, () => ({
      text: "",
      ids: [],
      chances: [],
      pieces: 0,
      slot: -1,
      reason: "stop",
      ending: { tokens: 0, stop: undefined },
    }));
  }

  note(step: GenerationStep): void {
    if (step.type === "started") {
      const first = this.#states[this.#firstOf(step)]!;
      first.slot = step.slot ?? -1;
    } else if (step.type === "text") {
      const state = this.#states[step.choice]!;
      state.text += step.text;
      for (const id of step.ids ?? []) state.ids.push(id);
      for (const token of step.tokens ?? []) state.chances.push(token);
      if (step.text !== "") state.pieces += 1;
    } else if (step.type === "finish") {
      const state = this.#states[step.choice]!;
      state.reason = step.reason;
      state.ending = step.ending ?? { tokens: state.pieces, stop: undefined };
      state.slot = step.ending?.slot ?? state.slot;
    }
  }

  /** A piece of a stream. */
  part(step: TextStep): object {
    return {
      ...this.#partOf(step.choice, step.text, step.ids ?? []),
      ...(step.tokens !== undefined && {
        completion_probabilities: toProbabilities(step.tokens, this.#head.postSampling),
      }),
      ...(step.timings !== undefined && { timings: toTimings(step.timings) }),
    };
  }

  /** A sign of life while the prompt is evaluated. */
  progress(step: Extract<GenerationStep, { type: "progress" }>): object {
    return { ...this.#partOf(this.#firstOf(step), "", []), prompt_progress: toProgress(step.progress) };
  }

  #partOf(index: number, content: string, tokens: readonly number[]): object {
    const { ids, pieces, slot } = this.#states[index]!;
    return {
      index,
      content,
      tokens,
      stop: false,
      id_slot: slot,
      tokens_predicted: Math.max(ids.length, pieces),
      tokens_evaluated: this.#promptOf(index).tokens,
    };
  }

  /** The last object of each result. `isWhole`: with the text, which a stream has sent already. */
  finals(timings: Timings, isWhole: boolean): object[] {
    return this.#states.map((state, index) =>
      pickFields(this.#final(state, index, timings, isWhole), this.#head.responseFields),
    );
  }

  #final({ text, ids, chances, slot, reason, ending }: State, index: number, timings: Timings, isWhole: boolean) {
    const prompt = this.#promptOf(index);
    const limited = reason === "length";
    const stopType = limited ? "limit" : ending.stop === undefined ? "eos" : "word";
    const tokens = prompt.tokens + ending.tokens;
    return {
      index,
      content: isWhole ? text : "",
      tokens: isWhole && this.#head.returnTokens ? ids : [],
      id_slot: slot,
      stop: true,
      model: this.#head.model,
      tokens_predicted: ending.tokens,
      tokens_evaluated: prompt.tokens,
      generation_settings: this.#head.settings,
      prompt: prompt.text,
      has_new_line: text.includes("\n"),
      truncated: limited && tokens >= this.#head.contextLength,
      stop_type: stopType,
      stopping_word: ending.stop ?? "",
      tokens_cached: tokens,
      timings: toTimings(timings),
      ...(isWhole &&
        chances.length > 0 && {
          completion_probabilities: toProbabilities(chances, this.#head.postSampling),
        }),
      // The names of llama.cpp's first versions.
      slot_id: slot,
      stopped_eos: stopType === "eos",
      stopped_limit: limited,
      stopped_word: stopType === "word",
    };
  }

  #firstOf({ prompt = 0 }: { readonly prompt?: number }): number {
    return prompt * this.#head.choices;
  }

  #promptOf(index: number): NativeHead["prompts"][number] {
    return this.#head.prompts[Math.floor(index / this.#head.choices)]!;
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
    if (step.type === "text") return saysNothing(step) ? "" : toEvent(results.part(step));
    if (step.type === "progress") return toEvent(results.progress(step));
    return step.type === "done" ? results.finals(step.timings, false).map(toEvent).join("") : "";
  };
}

function saysNothing({ text, ids = [], tokens = [] }: TextStep): boolean {
  return text === "" && ids.length === 0 && tokens.length === 0;
}

function toEvent(object: object): string {
  return `data: ${JSON.stringify(object)}\n\n`;
}
