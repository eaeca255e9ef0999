import type { ModelCard } from "../domain/model.ts";

/** OpenAI's members, then the ones that Anthropic's and llama.cpp's clients look for. */
export function toModel(card: ModelCard) {
  return {
    id: card.id,
    object: "model",
    created: card.createdAt,
    owned_by: "pinference",
    type: "model",
    display_name: card.id,
    created_at: new Date(card.createdAt * 1000).toISOString(),
    aliases: card.aliases,
    meta: {
      vocab_type: card.vocabularyType,
      n_vocab: card.vocabularySize,
      n_ctx: card.contextLength,
      n_ctx_train: card.trainedContextLength,
      n_embd: card.embeddingLength,
      n_params: card.parameters,
      size: card.bytes,
      ftype: card.quantization,
    },
  };
}

export function toModelList(card: ModelCard) {
  const models = [toListed(card)];
  return { object: "list", data: [toModel(card)], has_more: false, first_id: card.id, last_id: card.id, models };
}

/** As Ollama lists models, which some clients of llama.cpp's server read. */
function toListed({ id, createdAt, bytes, parameters, quantization }: ModelCard) {
  return {
    name: id,
    model: id,
    modified_at: new Date(createdAt * 1000).toISOString(),
    size: bytes,
    type: "model",
    capabilities: ["completion", "embedding"],
    details: { format: "gguf", parameter_size: String(parameters), quantization_level: quantization },
  };
}

export function isNameOf(card: ModelCard, name: string): boolean {
  return name === card.id || card.aliases.includes(name);
}
