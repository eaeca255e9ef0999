/** One message of a conversation, validated but in the client's own words. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  readonly name?: string;
  readonly toolCallId?: string;
  readonly toolCalls?: readonly ToolCall[];
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model or the client wrote it. */
  readonly arguments: string;
}

export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the arguments; without one, there are none. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Refuse parameters that cannot be enforced in full. Default false: what cannot be enforced is left to the model. */
  readonly strict?: boolean;
  /** The member of the request that holds the parameters, for refusals. */
  readonly param?: string;
}

/** A conversation, put into text by the model's template. Text in messages is never parsed for special tokens. */
export interface ChatPrompt {
  readonly kind: "chat";
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly ToolDefinition[];
  /** What comes after the messages: an assistant turn that opens (the default), nothing, or the last message's going on. */
  readonly ending?: "answer" | "nothing" | "continue";
  /** Further variables of the template, such as `enable_thinking`. The client's, but for names that the engine sets itself. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * Text as the model shall see it: control tokens in it are parsed. Numbers are token ids. The model's own first token
 * is added when it has one and the prompt starts with text.
 */
export interface TextPrompt {
  readonly kind: "text";
  readonly parts: TokenizedParts;
}

/**
 * A gap to fill, by the model's own fill-in-the-middle tokens. Text is never parsed for control tokens. What does not fit
 * the context is cut: of `extra` the beginning, of `prefix` the beginning, of `suffix` the end.
 */
export interface InfillPrompt {
  readonly kind: "infill";
  readonly prefix: string;
  readonly suffix: string;
  /** What the answer goes on with, after the prefix; empty for none. */
  readonly text: string;
  /** Other files of the repository; the most relevant comes last. */
  readonly extra: readonly InfillFile[];
}

export interface InfillFile {
  readonly name?: string;
  readonly text: string;
}

/** Texts and token ids, in order. */
export type TokenizedParts = readonly (string | number)[];

/** What to continue. */
export type Prompt = ChatPrompt | TextPrompt | InfillPrompt;

/** All values are given: the wire's defaults are filled in by openai/request.ts. Meanings are llama.cpp's. */
export interface SamplingOptions {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Candidates kept; 0 keeps all. */
  readonly topK: number;
  /** Probability mass kept; 1 keeps all. */
  readonly topP: number;
  /** Least share of the best candidate's probability; 0 keeps all. */
  readonly minP: number;
  /** 1 is off. */
  readonly repeatPenalty: number;
  /** Tokens of prompt and answer that the three penalties look at; 0 is off, -1 is the whole context. */
  readonly repeatLastN: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** How often XTC acts: it then drops all candidates above the threshold but the least likely of them. 0 is off. */
  readonly xtcProbability: number;
  /** Above 0.5 no two candidates can pass, so XTC is off. */
  readonly xtcThreshold: number;
  /** Against repeating longer sequences of the answer; undefined is off. */
  readonly dry: DryOptions | undefined;
  /** Locally typical mass kept; 1 keeps all. */
  readonly typicalP: number;
  /** Standard deviations below the best logit that candidates may lie; 0 and less keep all. */
  readonly topNSigma: number;
  /** How far the temperature moves with the distribution's entropy; 0 is off. */
  readonly dynatempRange: number;
  readonly dynatempExponent: number;
  /** Candidates that top-p, min-p, typical-p and XTC leave at least. */
  readonly minKeep: number;
  /** Replaces all samplers but bias and temperature; undefined is off. */
  readonly mirostat: MirostatSettings | undefined;
  /** Chooses at the end of the chain where `samplers` names it; undefined is off. */
  readonly adaptiveP: AdaptivePSettings | undefined;
  /** The chain's order; what is not named does not act, what is named twice acts twice. */
  readonly samplers: readonly SamplerName[];
  /** Added to the logits of tokens, before everything else. */
  readonly logitBias: readonly LogitBias[];
  /** No end token is ever chosen, whatever `logitBias` says. */
  readonly ignoreEos: boolean;
  /** Same seed, same parameters, same prompt: same text. Up to 64 bits; undefined draws one at random. */
  readonly seed: bigint | undefined;
}

export type SamplerName =
  "penalties" | "dry" | "top_n_sigma" | "top_k" | "typ_p" | "top_p" | "min_p" | "xtc" | "temperature" | "adaptive_p";

/** llama.cpp's order. */
export const DEFAULT_SAMPLERS: readonly SamplerName[] = [
  "penalties",
  "dry",
  "top_n_sigma",
  "top_k",
  "typ_p",
  "top_p",
  "min_p",
  "xtc",
  "temperature",
];

export interface MirostatSettings {
  readonly version: 1 | 2;
  /** Target surprise in bits. */
  readonly tau: number;
  /** Learning rate. */
  readonly eta: number;
}

export interface AdaptivePSettings {
  /** The probability that chosen tokens shall have in the mean. */
  readonly target: number;
  /** Weight of the past in that mean. */
  readonly decay: number;
}

export interface DryOptions {
  /** The penalty is multiplier × base ^ (length of the repetition − allowed length). */
  readonly multiplier: number;
  readonly base: number;
  readonly allowedLength: number;
  /** Tokens of the answer that are searched for repetitions; -1 is all of it. */
  readonly lastN: number;
  /** Texts that no repetition reaches across. */
  readonly sequenceBreakers: readonly string[];
}

/** A token by its number, or all tokens of a text. `-Infinity` is never. */
export type LogitBias =
  { readonly token: number; readonly bias: number } | { readonly text: string; readonly bias: number };

export interface GenerateRequest {
  readonly prompt: Prompt;
  /** Answers to the one prompt, at least 1. */
  readonly choices: number;
  /** Tokens of each answer; undefined runs until the context is full, 0 evaluates the prompt only. */
  readonly maxTokens: number | undefined;
  /** Texts that end an answer; none is empty. */
  readonly stop: readonly string[];
  /** GBNF with a rule `root` that each answer follows; undefined leaves it free. */
  readonly grammar: string | undefined;
  /** A grammar for the part of an answer that begins with a trigger; before that, the answer is free. Not with `grammar`. */
  readonly lazyGrammar?: LazyGrammar;
  readonly sampling: SamplingOptions;
  /** Report each token's probability with that many of the likeliest beside it; undefined reports none. */
  readonly topLogprobs: number | undefined;
  /** Report probabilities as the samplers leave them, instead of the model's own. Default false. */
  readonly postSampling?: boolean;
  /** Report the prompt's tokens too, with that many of the likeliest beside each: one `prompt` step. */
  readonly promptLogprobs?: number;
  /** Control tokens that the answer's text shall show instead of hiding them, such as `[TOOL_CALLS]`. */
  readonly visibleTokens?: readonly string[];
  /** Report the ids of tokens with their text. Default false. */
  readonly reportIds?: boolean;
  /** Report how far the prompt is evaluated. Default false. */
  readonly reportProgress?: boolean;
  /** Report times with each piece of text. Default false. */
  readonly reportTimings?: boolean;
  /** Reuse what slots hold of the prompt. Default true. */
  readonly reuse?: boolean;
  /** How tokens that repeat are guessed ahead, and the guesses checked: faster, and the same text. */
  readonly draft?: DraftLimits;
  /** The slot that is wanted, where it is free. */
  readonly slot?: number;
  /** End an answer at the first line end after this time; undefined or 0 is no limit. */
  readonly timeLimitMs?: number;
  /** End an answer before a line that is indented less; undefined or 0 is no limit. */
  readonly leastIndent?: number;
}

/** Tokens of one guess. Between the limits, what was measured decides. */
export interface DraftLimits {
  /** Where there is a guess at all; default 0. */
  readonly least?: number;
  /** 0 guesses nothing; default 32, which is also the most. */
  readonly most?: number;
}

/** A grammar that sleeps until the answer holds one of the triggers; it then reads the answer from the trigger on. */
export interface LazyGrammar {
  readonly triggers: readonly string[];
  /** GBNF with a rule `root`, which begins with a trigger. */
  readonly grammar: string;
}

/** A token and the logarithm of the probability that the model itself gave it, before any sampler. */
export interface LikelyToken {
  readonly id: number;
  /** Whole characters; bytes that are none are escaped. */
  readonly text: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
}

export interface TokenChance extends LikelyToken {
  /** The likeliest tokens in its place, in falling order. */
  readonly top: readonly LikelyToken[];
}

/** A token of the prompt; nothing comes before the first, so it has no probability. */
export type PromptToken = TokenChance | Omit<TokenChance, "logprob" | "top">;

/** How much of a prompt is evaluated. Counts are tokens. */
export interface Progress {
  readonly total: number;
  readonly cached: number;
  /** `cached` included. */
  readonly processed: number;
  /** Since the evaluation began. */
  readonly timeMs: number;
}

export type FinishReason = "stop" | "length";

/** What there is to say of one choice's end, for those who want to know more than the reason. */
export interface Ending {
  /** Tokens sampled for this choice, end tokens left out. */
  readonly tokens: number;
  /** The stop sequence that was met; undefined at an end token or a limit. */
  readonly stop: string | undefined;
  /** The slot that computed it. */
  readonly slot?: number;
}

export interface Usage {
  /** The prompt's tokens, counted once for all choices. */
  readonly promptTokens: number;
  /** Prompt tokens that were not evaluated again; always below `promptTokens`. */
  readonly cachedTokens: number;
  /** Sampled tokens of all choices, end tokens left out. */
  readonly completionTokens: number;
}

/** Where the time went, in milliseconds. Counts are tokens. */
export interface Timings {
  /** From acceptance to a slot. */
  readonly queuedMs: number;
  readonly cachedTokens: number;
  readonly promptTokens: number;
  readonly promptMs: number;
  readonly predictedTokens: number;
  readonly predictedMs: number;
  /** Tokens that were guessed ahead, and those of them that were right. None where nothing can be guessed. */
  readonly draftedTokens?: number;
  readonly acceptedTokens?: number;
}

/** Where the steps of several prompts are merged: which of them, from 0. */
interface OfPrompt {
  readonly prompt?: number;
}

/**
 * What an engine yields. The order is: one `started`; then for each choice any number of `text` and one `finish`,
 * choices interleaved; then one `done`. Text is valid Unicode, never a part of a stop sequence.
 */
export type GenerationStep =
  | (OfPrompt & { readonly type: "started"; readonly slot?: number })
  /** The prompt's own tokens, where they were asked for: before any text. The first has no probability. */
  | (OfPrompt & { readonly type: "prompt"; readonly tokens: readonly PromptToken[] })
  /** Where it was asked for: the first with `processed` = `cached`, the last with `processed` = `total`. */
  | (OfPrompt & { readonly type: "progress"; readonly progress: Progress })
  | {
      readonly type: "text";
      readonly choice: number;
      readonly text: string;
      /** The tokens whose text ends here, where they were asked for. */
      readonly tokens?: readonly TokenChance[];
      /** Ids of the tokens whose text ends here, where they were asked for. */
      readonly ids?: readonly number[];
      /** Times so far, where they were asked for. */
      readonly timings?: Timings;
    }
  | { readonly type: "finish"; readonly choice: number; readonly reason: FinishReason; readonly ending?: Ending }
  | { readonly type: "done"; readonly usage: Usage; readonly timings: Timings };
