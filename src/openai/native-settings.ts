import type { GenerateRequest, LogitBias } from "../domain/generation.ts";
import type { CHOICE_FIELDS, REPORT_FIELDS } from "./fields.ts";
import type { BodyOf, SharedBody } from "./request.ts";

/** What of a native body shapes the text, with the wire's defaults filled in. */
export type NativeSettings = SharedBody & BodyOf<typeof CHOICE_FIELDS> & BodyOf<typeof REPORT_FIELDS>;

/** llama.cpp's `generation_settings`: every parameter by its name, defaults filled in. */
export function toNativeSettings(
  fields: NativeSettings,
  { maxTokens = -1, stop, grammar, sampling, ...task }: Omit<GenerateRequest, "prompt">,
): Record<string, unknown> {
  return {
    seed: fields.seed ?? -1,
    temperature: fields.temperature,
    dynatemp_range: fields.dynatemp_range,
    dynatemp_exponent: fields.dynatemp_exponent,
    top_k: fields.top_k,
    top_p: fields.top_p,
    min_p: fields.min_p,
    top_n_sigma: fields.top_n_sigma,
    xtc_probability: fields.xtc_probability,
    xtc_threshold: fields.xtc_threshold,
    typical_p: fields.typical_p,
    repeat_last_n: fields.repeat_last_n,
    repeat_penalty: fields.repeat_penalty,
    presence_penalty: fields.presence_penalty,
    frequency_penalty: fields.frequency_penalty,
    dry_multiplier: fields.dry_multiplier,
    dry_base: sampling.dry?.base ?? fields.dry_base,
    dry_allowed_length: fields.dry_allowed_length,
    dry_penalty_last_n: fields.dry_penalty_last_n,
    dry_sequence_breakers: fields.dry_sequence_breakers,
    mirostat: fields.mirostat,
    mirostat_tau: fields.mirostat_tau,
    mirostat_eta: fields.mirostat_eta,
    adaptive_target: fields.adaptive_target,
    adaptive_decay: fields.adaptive_decay,
    min_keep: fields.min_keep,
    samplers: sampling.samplers,
    logit_bias: fields.logit_bias.map(toBias),
    ignore_eos: fields.ignore_eos,
    stop,
    max_tokens: maxTokens,
    n_predict: maxTokens,
    n_keep: fields.n_keep ?? 0,
    n_discard: fields.n_discard ?? 0,
    n_cache_reuse: fields.n_cache_reuse ?? 0,
    n_cmpl: task.choices,
    n_indent: task.leastIndent ?? 0,
    t_max_predict_ms: task.timeLimitMs ?? 0,
    n_probs: fields.n_probs,
    post_sampling_probs: fields.post_sampling_probs,
    return_tokens: fields.return_tokens,
    return_progress: task.reportProgress ?? false,
    timings_per_token: task.reportTimings ?? false,
    cache_prompt: task.reuse ?? true,
    id_slot: task.slot ?? -1,
    sse_ping_interval: fields.sse_ping_interval ?? 15,
    response_fields: fields.response_fields,
    stream: fields.stream,
    // The one that the answer follows, also where it came from a schema.
    grammar: grammar ?? "",
    lora: [],
  };
}

/** JSON has no infinity: "never" is false, as requests spell it. */
function toBias(given: LogitBias) {
  const bias = Number.isFinite(given.bias) ? given.bias : false;
  return "token" in given ? { token: given.token, bias } : { token: given.text, bias };
}
