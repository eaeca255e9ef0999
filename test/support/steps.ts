import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";

import type { Engine } from "../../src/domain/engine.ts";
import type { GenerateRequest, GenerationStep, TokenChance } from "../../src/domain/generation.ts";

/** Nobody leaves. */
const never = new AbortController().signal;
setMaxListeners(0, never);

export async function collect(engine: Engine, request: GenerateRequest, signal = never): Promise<GenerationStep[]> {
  const steps: GenerationStep[] = [];
  for await (const step of (await engine.generate(request, signal)).steps) steps.push(step);
  return steps;
}

export function textOf(steps: readonly GenerationStep[], choice = 0): string {
  return steps.map((step) => (step.type === "text" && step.choice === choice ? step.text : "")).join("");
}

export function tokensOf(steps: readonly GenerationStep[], choice = 0): TokenChance[] {
  return steps.flatMap((step) => (step.type === "text" && step.choice === choice ? (step.tokens ?? []) : []));
}

export function finishOf(steps: readonly GenerationStep[], choice = 0): string | undefined {
  return steps.flatMap((step) => (step.type === "finish" && step.choice === choice ? [step.reason] : []))[0];
}

export function doneOf(steps: readonly GenerationStep[]): GenerationStep & { readonly type: "done" } {
  const done = steps.at(-1);
  return done?.type === "done" ? done : assert.fail("not done");
}
