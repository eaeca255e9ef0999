import assert from "node:assert/strict";
import { test } from "node:test";

import { AnswerParser, type AnswerPiece, type ParserOptions } from "../../../src/chat/answer-parser.ts";
import { HERMES, syntaxOf } from "../../../src/chat/formats/formats.ts";
import { tagsOf } from "../../../src/chat/thinking.ts";
import { assertSortedBy, joined } from "./sorted.ts";
import { OTHER_TAGS } from "./templates.ts";

const tools = new Map(["f", "get_x", "get"].map((name) => [name, undefined]));

function parse(pieces: readonly string[], options: Partial<ParserOptions> = {}): AnswerPiece[] {
  let count = 0;
  const newId = () => `call_${++count}`;
  const parser = new AnswerParser({ thinking: "none", syntax: HERMES, tools, newId, ...options });
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
}

/** Whatever the pieces in which a text arrives, it is sorted alike. */
function assertSorted(text: string, expected: string[], options: Partial<ParserOptions> = {}): void {
  assertSortedBy((pieces) => parse(pieces, options), text, expected);
}

test("text before calls, calls in a row, and their arguments as they were written", () => {
  assertSorted(
    'Sure.\n<tool_call>\n{"name": "f", "arguments": {"a": "}\\"{", "b": [{}]}}\n</tool_call>\n<tool_call>{"name":"get_x","arguments":{}}</tool_call>',
    ["text: Sure.", "call f", 'arguments: {"a": "}\\"{", "b": [{}]}', "call get_x", "arguments: {}"],
  );
});

test("what only looks like a call stays text", () => {
  for (const text of [
    "a <tool_cal> b <",
    "<tool_call> is a word",
    '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
    '{"name": "f", "arguments": {}}',
    "  white space stays  \n",
  ]) {
    assertSorted(text, [`text: ${text}`]);
  }
});

test("thinking is told by the tags of the model's own template", () => {
  for (const { start, end, template } of OTHER_TAGS) {
    const tags = tagsOf(template);
    assert.deepEqual(tags, { start, end });
    const call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>';
    const text = `${start}\nI < ${start.slice(0, 4)} think\n${end}\n\nYes.${call}`;
    const expected = [`thinking: I < ${start.slice(0, 4)} think`, "text: Yes.", "call f", "arguments: {}"];
    assertSorted(text, expected, { thinking: "possible", tags });
    assertSorted(text.slice(start.length), expected, { thinking: "open", tags });
    assertSorted(`<think>no</think>`, ["text: <think>no</think>"], { thinking: "possible", tags });
  }
  assert.deepEqual(tagsOf("{{ messages }}"), { start: "<think>", end: "</think>" });
});

test("without tools a call's text is text", () => {
  const text = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>';
  assertSorted(text, [`text: ${text}`], { syntax: undefined });
});

test("a call that is cut leaves nothing of its beginning in the text", () => {
  const whole = 'Well <tool_call>\n{"name": "f", "arguments": {"a": 1}}';
  for (let end = whole.indexOf("<tool_call>") + "<tool_call>".length; end < whole.indexOf(' {"a"'); end++) {
    assert.deepEqual(joined(parse([whole.slice(0, end)])), ["text: Well"]);
  }
  assert.deepEqual(joined(parse([whole.slice(0, -5)])), ["text: Well", "call f", 'arguments: {"a"']);
});

test("names that begin alike are told apart", () => {
  assertSorted('<tool_call>{"name": "get", "arguments": {}}</tool_call>', ["call get", "arguments: {}"]);
  assertSorted('<tool_call>{"name": "get_x", "arguments": {}}</tool_call>', ["call get_x", "arguments: {}"]);
});

test("the syntaxes of other models", () => {
  const table: [template: string, text: string][] = [
    ["[TOOL_CALLS]", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "get", "arguments": {}}]'],
    ["[TOOL_CALLS][ARGS]", '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]get[ARGS]{}'],
    [
      "[TOOL_CALLS][CALL_ID][ARGS]",
      '[TOOL_CALLS]f[CALL_ID]aB3456789[ARGS]{"a": 1}[TOOL_CALLS]get[CALL_ID]123456789[ARGS]{}',
    ],
    ["<function=x>", '<function=f>{"a": 1}</function><function=get>{}</function>'],
    [
      '<|START_ACTION|>"tool_call_id"',
      '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}},\n    {"tool_call_id": "12", "tool_name": "get", "parameters": {}}\n]<|END_ACTION|>',
    ],
    [
      "<｜tool▁calls▁begin｜>",
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ],
    [
      "<｜tool▁calls▁begin｜>```json",
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"a": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    ],
  ];
  for (const [template, text] of table) {
    const syntax = syntaxOf(template);
    assert.ok(syntax !== undefined);
    assertSorted(text, ["call f", 'arguments: {"a": 1}', "call get", "arguments: {}"], { syntax });
  }
  const llama = { syntax: syntaxOf("<|python_tag|>") };
  assertSorted('{"name": "f", "parameters": {"a": 1}}', ["call f", 'arguments: {"a": 1}'], llama);
  assertSorted('{"name": "Ada", "age": 3}', ['text: {"name": "Ada", "age": 3}'], llama);
  assertSorted('So: {"name": "f", "parameters": {}}', ['text: So: {"name": "f", "parameters": {}}'], llama);
});

test("thinking comes first, without the lines around it, and calls in it are thoughts", () => {
  const call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>';
  const open = { thinking: "open" } as const;
  const possible = { thinking: "possible" } as const;
  assertSorted(
    `a\n\nb ${call}\n</think>\n\nHi ${call}`,
    [`thinking: a\n\nb ${call}`, "text: Hi", "call f", "arguments: {}"],
    open,
  );
  assertSorted(`<think>\nwhy\n</think>\n\nso <think>`, ["thinking: why", "text: so <think>"], possible);
  assertSorted("\n<think>\n\n</think>\n\nso", ["text: so"], possible);
  assertSorted("<thin air", ["text: <thin air"], possible);
  assertSorted(" so", ["text:  so"], possible);
  assertSorted("never closed </thin", ["thinking: never closed </thin"], open);
  assertSorted("<think>why</think>so", ["text: <think>why</think>so"]);
});
