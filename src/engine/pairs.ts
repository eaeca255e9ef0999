import type { RankingFacts } from "../gguf/gguf-header.ts";
import type { NativeModel, Token } from "./native.ts";
import type { Vocabulary } from "./vocabulary.ts";

const PLACE = /(\{query\}|\{document\})/;

/** A query and a document as one text for a ranking head. Source: llama.cpp, tools/server, format_prompt_rerank. */
export class Pairs {
  readonly #model: NativeModel;
  readonly #vocabulary: Vocabulary;
  readonly #facts: RankingFacts;

  constructor(model: NativeModel, vocabulary: Vocabulary, facts: RankingFacts) {
    this.#model = model;
    this.#vocabulary = vocabulary;
    this.#facts = facts;
  }

  build(query: string, document: string): Token[] {
    const { template } = this.#facts;
    return template === undefined ? this.#inRow(query, document) : this.#fill(template, query, document);
  }

  #inRow(query: string, document: string): Token[] {
    const model = this.#model;
    const separator = model.sepToken();
    const end = model.tokenEos() >= 0 ? model.tokenEos() : separator;
    const one = (token: Token, isWanted: boolean) => (isWanted && token >= 0 ? [token] : []);
    return [
      ...one(model.tokenBos(), model.shouldPrependBosToken()),
      ...this.#vocabulary.tokenizeContent(query),
      ...one(end, model.shouldAppendEosToken()),
      ...one(separator, this.#facts.addsSeparator),
      ...this.#vocabulary.tokenizeContent(document),
      ...one(end, model.shouldAppendEosToken()),
    ];
  }

  /** As a whole, unless a text holds what would become a control token. */
  #fill(template: string, query: string, document: string): Token[] {
    const parts = template.split(PLACE).map((part, index) => ({
      text: part === "{query}" ? query : part === "{document}" ? document : part,
      fromClient: index % 2 === 1,
    }));
    const isHarmless = [query, document].every((text) => this.#vocabulary.findStructure(text).length === 0);
    if (isHarmless) return [...this.#vocabulary.tokenizeTemplate(parts.map(({ text }) => text).join(""))];
    return parts.flatMap(({ text, fromClient }) =>
      text === ""
        ? []
        : [...(fromClient ? this.#vocabulary.tokenizeContent(text) : this.#vocabulary.tokenizeTemplate(text))],
    );
  }
}
