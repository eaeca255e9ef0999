import type { Progress } from "../domain/generation.ts";

/** llama.cpp's `prompt_progress`. */
export function toProgress({ total, cached, processed, timeMs }: Progress) {
  return { total, cache: cached, processed, time_ms: Math.round(timeMs) };
}
