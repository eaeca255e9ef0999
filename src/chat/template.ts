import type { Engine } from "../domain/engine.ts";
import type { ChatMessage, ChatPrompt, ToolDefinition } from "../domain/generation.ts";
import { matchCall, triggerOf, type CallSyntax } from "./call-syntax.ts";
import { syntaxOf } from "./formats/formats.ts";

const known = new WeakMap<Engine, CallSyntax | undefined>();

/**
 * The syntax in which the model's template writes calls; undefined where it has none, or one that is not known here, or
 * leaves out tools, calls or results.
 */
export function nativeSyntax(engine: Engine): CallSyntax | undefined {
  if (!known.has(engine)) known.set(engine, findSyntax(engine));
  return known.get(engine);
}

function findSyntax(engine: Engine): CallSyntax | undefined {
  const syntax = syntaxOf(engine.model.chatTemplate);
  return syntax !== undefined && writesTools(engine, syntax) ? syntax : undefined;
}

const TOOL: ToolDefinition = {
  name: "probe_name",
  description: "probe-description",
  parameters: { type: "object", properties: { probe_argument: { type: "string" } } },
};
const USER: ChatMessage = { role: "user", content: "probe-user" };
const CALL: ChatMessage = {
  role: "assistant",
  content: "",
  toolCalls: [{ id: "probecall", name: TOOL.name, arguments: '{"probe_argument":"probe-value"}' }],
};
const RESULT: ChatMessage = { role: "tool", content: "probe-result", toolCallId: "probecall", name: TOOL.name };

function writesTools(engine: Engine, syntax: CallSyntax): boolean {
  const write = (messages: readonly ChatMessage[], tools: readonly ToolDefinition[]) => {
    const prompt: ChatPrompt = { kind: "chat", messages, tools };
    try {
      return engine.render(prompt);
    } catch {
      return "";
    }
  };
  const definitions = write([USER], [TOOL]);
  const turns = write([USER, CALL, RESULT], []) || write([USER, CALL, RESULT], [TOOL]);
  return (
    [TOOL.name, "probe-description", "probe_argument"].every((text) => definitions.includes(text)) &&
    ["probe-value", "probe-result"].every((text) => turns.includes(text)) &&
    holdsCall(syntax, turns)
  );
}

/** Words of a syntax stand in templates of others too. */
function holdsCall(syntax: CallSyntax, text: string): boolean {
  const trigger = triggerOf(syntax);
  for (let at = text.indexOf(trigger); at >= 0; at = text.indexOf(trigger, at + 1)) {
    const match = matchCall(syntax, true, text, at);
    if (match.state === "yes" && match.name === TOOL.name) return true;
  }
  return false;
}
