import type { Sha256 } from "./hash.ts";

/** What is known of the loaded model. All of it is public: it is what `/v1/models` shows. */
export interface ModelCard {
  /** The name that requests give, such as `qwen3-0.6b`. */
  readonly id: string;
  /** Further names that mean the same model. */
  readonly aliases: readonly string[];
  /** The model file's own time, in seconds since 1970. */
  readonly createdAt: number;
  /** Tokens one sequence can hold. */
  readonly contextLength: number;
  /** Tokens the model was trained for. */
  readonly trainedContextLength: number;
  readonly vocabularySize: number;
  /** llama.cpp's name of the tokenizer kind, such as `bpe`. */
  readonly vocabularyType: string;
  readonly embeddingLength: number;
  /** Count of weights. */
  readonly parameters: number;
  /** Size of the weights in bytes. */
  readonly bytes: number;
  /** Weight format, such as `Q8_0`. */
  readonly quantization: string;
  /** The model file's name, without its folder. */
  readonly fileName: string;
  /** The chat template's source. */
  readonly chatTemplate: string;
  /** Texts of the tokens that start and end a document; empty where the model has none. */
  readonly bosToken: string;
  readonly eosToken: string;
  /** Whether the model has fill-in-the-middle tokens, and so takes `infill` prompts. */
  readonly hasInfill: boolean;
  /** Whether the model has a head that scores documents, and so takes `rank`. */
  readonly canRank: boolean;
  /** Stable for the same model file, engine build and version. */
  readonly fingerprint: string;
}

/** What the publisher wrote into the program's variables, which are part of its item hash. */
export interface ProgramFacts {
  /** SPDX identifier, or the licence's name. */
  readonly licence?: string;
  /** Of the code volume's image. */
  readonly codeSha256?: Sha256;
  /** Of each model volume's image, in order. */
  readonly modelSha256?: readonly Sha256[];
}
