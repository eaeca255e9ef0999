import type { SlotStatus } from "../domain/engine.ts";
import type { ModelCard } from "../domain/model.ts";
import { chatBody } from "./fields.ts";

/** llama.cpp's GET /props. */
export function toProps(card: ModelCard, slots: number) {
  return {
    default_generation_settings: { params: defaultParams(), n_ctx: card.contextLength },
    total_slots: slots,
    model_alias: card.id,
    model_path: card.fileName,
    chat_template: card.chatTemplate,
    chat_template_caps: { supports_tools: supportsTools(card) },
    bos_token: card.bosToken,
    eos_token: card.eosToken,
    build_info: card.fingerprint,
    modalities: { vision: false, audio: false },
    is_sleeping: false,
  };
}

export function supportsTools({ chatTemplate }: ModelCard): boolean {
  return /\btools\b/.test(chatTemplate);
}

/** What a request gets that names nothing. */
function defaultParams(): Record<string, unknown> {
  const { messages: _messages, ...params } = chatBody.parse({ messages: [{ role: "user", content: "" }] });
  return params;
}

/** llama.cpp's GET /slots, without the texts of other clients. */
export function toSlots(slots: readonly SlotStatus[], contextLength: number) {
  return slots.map(({ id, busy, cachedTokens }) => ({
    id,
    id_task: -1,
    n_ctx: contextLength,
    speculative: false,
    is_processing: busy,
    n_prompt_tokens_cache: cachedTokens,
    params: {},
    next_token: [],
  }));
}
