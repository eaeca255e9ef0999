import type { ModelDefaults } from "../domain/model-defaults.ts";
import type { ModelCard } from "../domain/model.ts";
import { parseNativeRequest } from "./native-request.ts";

/** llama.cpp's GET /props. */
export function toProps(card: ModelCard, slots: number, defaults: ModelDefaults) {
  // What a request gets that names nothing.
  const params = parseNativeRequest({ prompt: "" }, defaults).settings;
  return {
    default_generation_settings: { params, n_ctx: card.contextLength },
    system_prompt: defaults.systemPrompt ?? "",
    total_slots: slots,
    model_alias: card.id,
    model_path: card.fileName,
    chat_template: card.chatTemplate,
    chat_template_caps: toTemplateCaps(card),
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

/** By the variables that the template reads: what a conversation holds beyond that, it does not show to the model. */
function toTemplateCaps(card: ModelCard) {
  const template = card.chatTemplate;
  const reads = (name: string) => new RegExp(`\\b${name}\\b`).test(template);
  return {
    supports_system_role: reads("system") || reads("role"),
    supports_tools: supportsTools(card),
    supports_tool_calls: reads("tool_calls"),
    supports_parallel_tool_calls: reads("tool_calls") && /for \w+ in [\w.[\]'"]*tool_calls/.test(template),
    supports_preserve_reasoning: reads("reasoning_content"),
    supports_string_content: true,
    supports_typed_content: /\bcontent is (?:not string|iterable|sequence)\b/.test(template),
  };
}
