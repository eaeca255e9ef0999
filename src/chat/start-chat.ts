import type { ChatGeneration, ChatTask } from "../domain/chat.ts";
import type { Engine } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import { checkGrammar } from "../grammar/gbnf-check.ts";
import { answerGrammar, type CallForm } from "./answer-grammar.ts";
import { toChatSteps } from "./chat-steps.ts";
import { toPrompt } from "./prompt.ts";
import { tagsOf, thinkingPlace } from "./thinking.ts";
import { callableTools } from "./tools.ts";

/**
 * Runs a chat: tools become a part of the prompt and a grammar, the answer's text becomes text, thinking and calls.
 * Errors: as `Engine.generate`; `invalid_json_schema` for tools whose arguments cannot be held.
 */
export async function startChat(engine: Engine, task: ChatTask, signal: AbortSignal): Promise<ChatGeneration> {
  const { prompt, syntax } = toPrompt(engine, task);
  const { tools, toolChoice, generate } = task;
  const calls: CallForm | undefined =
    tools.length === 0
      ? undefined
      : {
          syntax,
          tools: callableTools(tools, toolChoice, syntax),
          isForced: toolChoice.mode === "required" || toolChoice.mode === "function",
          isSingle: toolChoice.mode === "function" || !task.parallelCalls,
        };
  // Thinking is left in free text only: beside a form, or calls alone, it has no place in the answer.
  const isInline = task.thinking === "none" && generate.grammar === undefined && calls?.isForced !== true;
  const thinking = isInline ? "none" : thinkingPlace(engine, prompt);
  const tags = tagsOf(engine.model.chatTemplate);
  const canCall = calls !== undefined && calls.tools.length > 0;
  const visibleTokens = [
    ...(canCall ? syntax.controlTokens : []),
    ...(thinking === "none" ? [] : [tags.start, tags.end]),
  ];
  const { promptTokens, steps } = await engine.generate(
    {
      ...generate,
      prompt,
      grammar: checked(answerGrammar({ thinking, tags, calls, text: generate.grammar }), calls),
      ...(visibleTokens.length > 0 && { visibleTokens }),
      ...(thinking !== "none" && { reportIds: true }),
    },
    signal,
  );
  const callable = new Map(calls?.tools.map(({ name, arguments: { forms } }) => [name, forms]));
  const parser = { thinking, tags, syntax: canCall ? syntax : undefined, tools: callable };
  return { promptTokens, steps: toChatSteps(steps, parser) };
}

/** All tools together may be too much where each is not. Errors: `invalid_json_schema`. */
function checked(grammar: string | undefined, calls: CallForm | undefined): string | undefined {
  if (grammar === undefined || calls === undefined) return grammar;
  try {
    checkGrammar(grammar);
  } catch (cause) {
    throw new CodedError(
      "invalid_json_schema",
      "Invalid value for 'tools': expected fewer tools, or smaller parameters; all together are too large.",
      { param: "tools", cause },
    );
  }
  return grammar;
}
