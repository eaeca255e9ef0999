import { ID, type CallSyntax } from "../call-syntax.ts";

/** Hermes, Qwen and many others; also the form for models whose own is not known here. */
export const HERMES: CallSyntax = {
  section: ["", ""],
  call: ['<tool_call> { "name": "', '", "arguments": ', " } </tool_call>"],
  between: " ",
  controlTokens: ["<tool_call>", "</tool_call>"],
};

/** Llama 3.1 and 3.2: the answer is the call. Their template takes one call in a turn. */
const LLAMA_3: CallSyntax = {
  section: ["", ""],
  call: ['{ "name": "', '", "parameters": ', " }"],
  between: "",
  onlyAtStart: true,
  single: true,
  controlTokens: [],
};

/** Mistral up to Nemo: one list of calls. */
const MISTRAL_LIST: CallSyntax = {
  section: ["[TOOL_CALLS] [", " ]"],
  call: ['{ "name": "', '", "arguments": ', " }"],
  between: ", ",
  controlTokens: ["[TOOL_CALLS]"],
};

/** Mistral from Small 3.2 on. */
const MISTRAL_NAMED: CallSyntax = {
  section: ["", ""],
  call: ["[TOOL_CALLS]", "[ARGS]", ""],
  between: "",
  controlTokens: ["[TOOL_CALLS]", "[ARGS]"],
};

const MISTRAL_WITH_ID: CallSyntax = {
  ...MISTRAL_NAMED,
  call: ["[TOOL_CALLS]", `[CALL_ID]${ID}[ARGS]`, ""],
  controlTokens: ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"],
};

const DEEPSEEK_TOKENS = ["calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep"].map(
  (name) => `<｜tool▁${name}｜>`,
);

/** DeepSeek V3 and R1: arguments in a fence. */
const DEEPSEEK_FENCED: CallSyntax = {
  section: ["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"],
  call: ["<｜tool▁call▁begin｜>function<｜tool▁sep｜>", " ```json ", " ``` <｜tool▁call▁end｜>"],
  between: " ",
  controlTokens: DEEPSEEK_TOKENS,
};

/** DeepSeek V3.1. */
const DEEPSEEK_PLAIN: CallSyntax = {
  section: ["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"],
  call: ["<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"],
  between: "",
  controlTokens: DEEPSEEK_TOKENS,
};

/** Functionary 3.1 on Llama 3.1. */
const FUNCTION_TAG: CallSyntax = {
  section: ["", ""],
  call: ["<function=", ">", "</function>"],
  between: "",
  controlTokens: [],
};

/**
 * The syntax that a chat template with tools teaches; undefined for one that is not known here.
 * Sources: the templates in the models' own files.
 */
export function syntaxOf(template: string): CallSyntax | undefined {
  const has = (...texts: string[]) => texts.every((text) => template.includes(text));
  if (has("[TOOL_CALLS]")) {
    if (has("[CALL_ID]", "[ARGS]")) return MISTRAL_WITH_ID;
    return has("[ARGS]") ? MISTRAL_NAMED : MISTRAL_LIST;
  }
  if (has("<｜tool▁calls▁begin｜>")) return has("```json") ? DEEPSEEK_FENCED : DEEPSEEK_PLAIN;
  // Qwen3-Coder and GLM write arguments as XML.
  if (has("<parameter=") || has("<arg_key>")) return undefined;
  if (has("<tool_call>")) return HERMES;
  if (has("<function=")) return FUNCTION_TAG;
  if (has("<|python_tag|>") || has("<|start_header_id|>", '"parameters"')) return LLAMA_3;
  return undefined;
}
