import type { SlotStatus, SlotTask } from "../domain/engine.ts";

/** llama.cpp's GET /slots. Nothing in it is text of a client: no prompt, no answer, no stop string, no grammar. */
export function toSlots(slots: readonly SlotStatus[], contextLength: number) {
  return slots.map(({ id, busy, cachedTokens, task }) => ({
    id,
    id_task: task?.id ?? -1,
    n_ctx: contextLength,
    speculative: true,
    is_processing: busy,
    n_prompt_tokens_cache: cachedTokens,
    params: task === undefined ? {} : toParams(task),
    next_token: task === undefined ? [] : [toNextToken(task, contextLength)],
  }));
}

/** What a running request asked for, under llama.cpp's names. */
function toParams({ request }: SlotTask) {
  const { sampling, maxTokens = -1, ...task } = request;
  const { dry, mirostat, adaptiveP } = sampling;
  return {
    // JSON has no integers of 64 bits.
    seed: sampling.seed === undefined ? -1 : Number(sampling.seed),
    temperature: sampling.temperature,
    dynatemp_range: sampling.dynatempRange,
    dynatemp_exponent: sampling.dynatempExponent,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP,
    top_n_sigma: sampling.topNSigma,
    typical_p: sampling.typicalP,
    xtc_probability: sampling.xtcProbability,
    xtc_threshold: sampling.xtcThreshold,
    repeat_last_n: sampling.repeatLastN,
    repeat_penalty: sampling.repeatPenalty,
    presence_penalty: sampling.presencePenalty,
    frequency_penalty: sampling.frequencyPenalty,
    dry_multiplier: dry?.multiplier ?? 0,
    ...(dry && { dry_base: dry.base, dry_allowed_length: dry.allowedLength, dry_penalty_last_n: dry.lastN }),
    mirostat: mirostat?.version ?? 0,
    ...(mirostat && { mirostat_tau: mirostat.tau, mirostat_eta: mirostat.eta }),
    adaptive_target: adaptiveP?.target ?? -1,
    ...(adaptiveP && { adaptive_decay: adaptiveP.decay }),
    min_keep: sampling.minKeep,
    samplers: sampling.samplers,
    ignore_eos: sampling.ignoreEos,
    max_tokens: maxTokens,
    n_predict: maxTokens,
    n_cmpl: task.choices,
    n_indent: task.leastIndent ?? 0,
    t_max_predict_ms: task.timeLimitMs ?? 0,
    n_probs: task.topLogprobs ?? 0,
    post_sampling_probs: task.postSampling ?? false,
    timings_per_token: task.reportTimings ?? false,
    cache_prompt: task.reuse ?? true,
    id_slot: task.slot ?? -1,
    lora: [],
  };
}

function toNextToken({ request, promptTokens, tokens, hasNewLine }: SlotTask, contextLength: number) {
  const left = (request.maxTokens ?? contextLength - promptTokens) - tokens;
  return {
    has_next_token: left > 0,
    has_new_line: hasNewLine,
    n_remain: Math.max(0, left),
    n_decoded: tokens,
  };
}
