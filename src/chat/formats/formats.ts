import { ID, INDEX, type CallSyntax } from "../call-syntax.ts";

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

/** Qwen3-Coder, and Qwen from 3.5 on. */
const QWEN_XML: CallSyntax = {
  section: ["", ""],
  call: ["<tool_call>\n<function=", ">\n", "</function>\n</tool_call>"],
  between: " ",
  arguments: { before: "<parameter=", between: ">\n", end: "\n</parameter>", after: "\n" },
  controlTokens: ["<tool_call>", "</tool_call>"],
};

const SEED_OSS: CallSyntax = {
  section: ["", ""],
  call: ["<seed:tool_call>\n<function=", ">\n", "</function>\n</seed:tool_call>"],
  between: " ",
  arguments: { before: "<parameter=", between: ">", end: "</parameter>", after: "\n" },
  controlTokens: ["<seed:tool_call>", "</seed:tool_call>"],
};

/** GLM from 4.5 on; from 4.7 on without the line breaks. */
const GLM: CallSyntax = {
  section: ["", ""],
  call: ["<tool_call>", " ", "</tool_call>"],
  between: " ",
  arguments: { before: "<arg_key>", between: "</arg_key> <arg_value>", end: "</arg_value>", after: " " },
  controlTokens: ["<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
};

/** Command R7B and Command A: one list of calls, numbered through the conversation. */
const COMMAND: CallSyntax = {
  section: ["<|START_ACTION|>[ ", " ]<|END_ACTION|>"],
  call: [`{ "tool_call_id": "${INDEX}", "tool_name": "`, '", "parameters": ', " }"],
  between: ", ",
  controlTokens: ["<|START_ACTION|>", "<|END_ACTION|>"],
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
  if (has("<|START_ACTION|>", '"tool_call_id"')) return COMMAND;
  if (has("<tool_call>", "<arg_key>")) return GLM;
  if (has("<seed:tool_call>", "<parameter=")) return SEED_OSS;
  if (has("<tool_call>", "<parameter=")) return QWEN_XML;
  // Arguments as XML in a form that is not known here.
  if (has("<parameter=") || has("<arg_key>")) return undefined;
  if (has("<tool_call>")) return HERMES;
  if (has("<function=")) return FUNCTION_TAG;
  if (has("<|python_tag|>") || has("<|start_header_id|>", '"parameters"')) return LLAMA_3;
  return undefined;
}
