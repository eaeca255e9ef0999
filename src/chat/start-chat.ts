import type { ChatGeneration, ChatStep, ChatTask } from "../domain/chat.ts";
import type { Engine } from "../domain/engine.ts";
import type { ChatPrompt, GenerationStep } from "../domain/generation.ts";

/**
 * Runs a chat: tools become a part of the prompt and a grammar, the answer's text becomes text, thinking and calls.
 * Errors: as `Engine.generate`.
 */
export async function startChat(engine: Engine, task: ChatTask, signal: AbortSignal): Promise<ChatGeneration> {
  const { promptTokens, steps } = await engine.generate({ prompt: toPrompt(task), ...task.generate }, signal);
  return { promptTokens, steps: toChatSteps(steps) };
}

/** The conversation as the engine reads it: what `startChat` would evaluate. */
export function toPrompt({ messages, tools, ending, variables }: ChatTask): ChatPrompt {
  return { kind: "chat", messages, ending, variables, ...(tools.length > 0 && { tools }) };
}

async function* toChatSteps(steps: AsyncIterable<GenerationStep>): AsyncGenerator<ChatStep> {
  for await (const step of steps) {
    if (step.type === "done") yield { ...step, usage: { ...step.usage, thinkingTokens: 0 } };
    else if (step.type !== "prompt") yield step;
  }
}
