/** Chat templates of our own, in the shapes of known models. */

const TURNS = (call: string, result: string) => `
{%- for message in messages -%}
  {%- if message.role == 'tool' -%}
    {{- '<|im_start|>user\\n' -}}${result}{{- '<|im_end|>\\n' -}}
  {%- else -%}
    {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
    ${call}
    {{- '<|im_end|>\\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`;

const TOOLS = (before: string, after: string) => `
{%- if tools -%}{{- '<|im_start|>system\\n${before}' -}}
{%- for tool in tools -%}{{- tool | tojson -}}{{- '\\n' -}}{%- endfor -%}
{{- '${after}<|im_end|>\\n' -}}{%- endif -%}`;

const EACH_CALL = (body: string, between = "") =>
  `{%- if message.tool_calls -%}{%- for call in message.tool_calls -%}
  {%- if not loop.first -%}{{- '${between}' -}}{%- endif -%}${body}{%- endfor -%}{%- endif -%}`;

const RESULT = "{{- message.content -}}";

export const TEMPLATES = {
  "llama 3":
    TOOLS('Answer with {"name": function name, "parameters": dictionary}. ', "<|python_tag|> runs code.") +
    TURNS(
      `{%- if message.tool_calls -%}
      {%- if message.tool_calls | length != 1 -%}{{- raise_exception('one call at a time') -}}{%- endif -%}
      {%- set call = message.tool_calls[0].function -%}
      {{- '{"name": "' + call.name + '", "parameters": ' -}}{{- call.arguments | tojson -}}{{- '}' -}}{%- endif -%}`,
      RESULT,
    ),
  "mistral, a list":
    TOOLS("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]") +
    TURNS(
      `{%- if message.tool_calls -%}{{- '[TOOL_CALLS] [' -}}${EACH_CALL(
        `{%- if call.id | length != 9 -%}{{- raise_exception('ids have nine characters') -}}{%- endif -%}
        {{- '{"name": "' + call.function.name + '", "arguments": ' -}}{{- call.function.arguments | tojson -}}
        {{- ', "id": "' + call.id + '"}' -}}`,
        ", ",
      )}{{- ']' -}}{%- endif -%}`,
      "{{- '[TOOL_RESULTS]' + message.content + '[/TOOL_RESULTS]' -}}",
    ),
  "mistral, names":
    TOOLS("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]") +
    TURNS(
      EACH_CALL("{{- '[TOOL_CALLS]' + call.function.name + '[ARGS]' -}}{{- call.function.arguments | tojson -}}"),
      RESULT,
    ),
  "mistral, names and ids":
    TOOLS("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]") +
    TURNS(
      EACH_CALL(
        "{{- '[TOOL_CALLS]' + call.function.name + '[CALL_ID]' + call.id + '[ARGS]' -}}{{- call.function.arguments | tojson -}}",
      ),
      RESULT,
    ),
  "deepseek, plain":
    TOOLS("## Tools ", "") +
    TURNS(
      `{%- if message.tool_calls -%}{{- '<｜tool▁calls▁begin｜>' -}}${EACH_CALL(
        `{{- '<｜tool▁call▁begin｜>' + call.function.name + '<｜tool▁sep｜>' -}}
         {{- call.function.arguments | tojson -}}{{- '<｜tool▁call▁end｜>' -}}`,
      )}{{- '<｜tool▁calls▁end｜>' -}}{%- endif -%}`,
      RESULT,
    ),
  "deepseek, fenced":
    TOOLS("## Tools ", "") +
    TURNS(
      `{%- if message.tool_calls -%}{{- '<｜tool▁calls▁begin｜>' -}}${EACH_CALL(
        `{{- '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + call.function.name + '\\n\`\`\`json\\n' -}}
         {{- call.function.arguments | tojson -}}{{- '\\n\`\`\`<｜tool▁call▁end｜>' -}}`,
        "\\n",
      )}{{- '<｜tool▁calls▁end｜>' -}}{%- endif -%}`,
      RESULT,
    ),
  "functionary 3.1":
    TOOLS("You have functions: ", "Call them by <function=name>{}</function>.") +
    TURNS(
      EACH_CALL(
        "{{- '<function=' + call.function.name + '>' -}}{{- call.function.arguments | tojson -}}{{- '</function>' -}}",
      ),
      RESULT,
    ),
  "qwen 3 coder":
    TOOLS(
      "Call by\\n<tool_call>\\n<function=name>\\n<parameter=name>\\nvalue\\n</parameter>\\n</function>\\n</tool_call>\\n",
      "",
    ) +
    TURNS(
      EACH_CALL(
        `{{- '\\n<tool_call>\\n<function=' + call.function.name + '>\\n' -}}
         {%- for name, value in call.function.arguments | items -%}
           {{- '<parameter=' + name + '>\\n' -}}
           {%- set value = value | tojson if value is mapping or (value is sequence and value is not string) else value | string -%}
           {{- value -}}{{- '\\n</parameter>\\n' -}}
         {%- endfor -%}
         {{- '</function>\\n</tool_call>' -}}`,
      ),
      RESULT,
    ),
  "seed-oss":
    TOOLS("Call by\\n<seed:tool_call>\\n<function=name>\\n<parameter=name>value</parameter>\\n</function>\\n", "") +
    TURNS(
      EACH_CALL(
        `{{- '\\n<seed:tool_call>\\n<function=' + call.function.name + '>\\n' -}}
         {%- for name, value in call.function.arguments | items -%}
           {{- '<parameter=' + name + '>' -}}{{- value if value is string else value | string -}}{{- '</parameter>\\n' -}}
         {%- endfor -%}
         {{- '</function>\\n</seed:tool_call>' -}}`,
      ),
      RESULT,
    ),
  "glm 4.5":
    TOOLS(
      "Call by\\n<tool_call>{function-name}\\n<arg_key>{arg-key-1}</arg_key>\\n<arg_value>{arg-value-1}</arg_value>\\n",
      "",
    ) +
    TURNS(
      EACH_CALL(
        `{{- '\\n<tool_call>' + call.function.name + '\\n' -}}
         {%- for name, value in call.function.arguments.items() -%}
           {{- '<arg_key>' + name + '</arg_key>\\n<arg_value>' -}}
           {{- value | tojson(ensure_ascii=False) if value is not string else value -}}{{- '</arg_value>\\n' -}}
         {%- endfor -%}
         {{- '</tool_call>' -}}`,
      ),
      RESULT,
    ),
  "command r7b":
    TOOLS("Write <|START_ACTION|> and a list of calls. ", "") +
    TURNS(
      `{%- if message.tool_calls -%}{{- '<|START_ACTION|>[\\n' -}}${EACH_CALL(
        `{{- '    {"tool_call_id": "' -}}{{- loop.index0 -}}{{- '", "tool_name": "' + call.function.name + '", "parameters": ' -}}
         {{- call.function.arguments | tojson -}}{{- '}' -}}`,
        ",\\n",
      )}{{- '\\n]<|END_ACTION|>' -}}{%- endif -%}`,
      RESULT,
    ),
} as const;

/** Knows nothing of tools. */
export const PLAIN = TURNS("", RESULT);

/** Has tools, in a syntax that is not known. */
export const UNKNOWN =
  TOOLS("Write <call name=x> ", "") + TURNS(EACH_CALL("{{- '<call name=' + call.function.name -}}"), RESULT);

/** Says a word of a known syntax, and writes another. */
export const FOREIGN =
  TOOLS("Write <tool_call> ", "") +
  TURNS(
    EACH_CALL(
      "{{- '|mm|<tool_call><invoke name=' + call.function.name + '>' -}}{{- call.function.arguments | tojson -}}",
    ),
    RESULT,
  );

/** Thinks, unless it is told not to. */
export const QWEN_3 = PLAIN.replace(
  "<|im_start|>assistant\\n' -}}{%- endif",
  "<|im_start|>assistant\\n' -}}{%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{%- endif",
);

/** Thinks within words of its own, as Seed-OSS, Magistral and Command A do. */
export const OTHER_TAGS = (
  [
    ["<seed:think>", "</seed:think>"],
    ["[THINK]", "[/THINK]"],
    ["<|START_THINKING|>", "<|END_THINKING|>"],
  ] as const
).map(([start, end]) => ({
  start,
  end,
  template: QWEN_3.replace("<think>", start).replace("</think>", end),
}));

/** Opens the block itself. */
export const R1 = PLAIN.replace(
  "<|im_start|>assistant\\n' -}}{%- endif",
  "<|im_start|>assistant\\n<think>\\n' -}}{{- '' if '</think>' else '' -}}{%- endif",
);
