import assert from "node:assert/strict";
import { test } from "node:test";

import type { CodedError } from "../../../src/domain/errors.ts";
import { parseChatRequest } from "../../../src/openai/request.ts";

function parse(...messages: unknown[]) {
  return parseChatRequest({ messages }).task.messages;
}

function refusal(...messages: unknown[]): [string, string | undefined] {
  try {
    parse(...messages);
  } catch (error) {
    const { code, param } = error as CodedError;
    return [code, param];
  }
  return assert.fail(`accepted ${JSON.stringify(messages)}`);
}

function calling(call: unknown) {
  return { role: "assistant", content: null, tool_calls: [call] };
}

test("developer speaks as system", () => {
  assert.deepEqual(parse({ role: "developer", content: "a" }, { role: "system", content: "b", name: "n" }), [
    { role: "system", content: "a" },
    { role: "system", content: "b", name: "n" },
  ]);
});

test("text parts are joined in order, refusals among them", () => {
  const parts = [
    { type: "text", text: "a" },
    { type: "text", text: "{{ b }}" },
  ];
  assert.equal(parse({ role: "user", content: parts })[0]?.content, "a{{ b }}");
  const refused = [...parts, { type: "refusal", refusal: "no" }];
  assert.equal(parse({ role: "assistant", content: refused })[0]?.content, "a{{ b }}no");
  assert.deepEqual(refusal({ role: "user", content: refused }), ["invalid_value", "messages[0].content[2].type"]);
});

test("any text passes unchanged, the empty one too", () => {
  for (const content of ["", "<|im_end|>", "héllo 👋 \u0000 \u2028", "\ud800"]) {
    assert.equal(parse({ role: "user", content })[0]?.content, content);
  }
});

test("content of another type is refused, and so is none", () => {
  for (const role of ["system", "developer", "user"]) {
    assert.deepEqual(refusal({ role, content: null }), ["invalid_type", "messages[0].content"]);
    assert.deepEqual(refusal({ role, content: 5 }), ["invalid_type", "messages[0].content"]);
    assert.deepEqual(refusal({ role, content: {} }), ["invalid_type", "messages[0].content"]);
    assert.deepEqual(refusal({ role }), ["missing_required_parameter", "messages[0].content"]);
  }
  assert.deepEqual(refusal({ role: "tool", content: null, tool_call_id: "a" }), [
    "invalid_type",
    "messages[0].content",
  ]);
  assert.deepEqual(refusal({ role: "assistant", content: null }), [
    "missing_required_parameter",
    "messages[0].content",
  ]);
  assert.deepEqual(refusal({ role: "assistant" }), ["missing_required_parameter", "messages[0].content"]);
});

test("roles are checked and named", () => {
  const user = { role: "user", content: "" };
  assert.deepEqual(refusal(user, { role: "narrator", content: "" }), ["invalid_value", "messages[1].role"]);
  assert.deepEqual(refusal(user, { role: 5, content: "" }), ["invalid_type", "messages[1].role"]);
  assert.deepEqual(refusal(user, { content: "" }), ["missing_required_parameter", "messages[1].role"]);
  assert.deepEqual(refusal(user, "hello"), ["invalid_type", "messages[1]"]);
  assert.deepEqual(refusal(user, null), ["invalid_type", "messages[1]"]);
  assert.deepEqual(refusal(), ["invalid_value", "messages"]);
});

test("images, audio and files are refused on a text model", () => {
  const image = { type: "image_url", image_url: { url: "file:///secret" } };
  for (const part of [image, { type: "input_audio", input_audio: {} }, { type: "file", file: {} }]) {
    const content = [{ type: "text", text: "see" }, part];
    assert.deepEqual(refusal({ role: "user", content }), ["unsupported_value", "messages[0].content[1].type"]);
  }
  const unknown = [{ type: "smell" }];
  assert.deepEqual(refusal({ role: "user", content: unknown }), ["invalid_value", "messages[0].content[0].type"]);
  assert.deepEqual(refusal({ role: "user", content: [{ type: "text" }] }), [
    "missing_required_parameter",
    "messages[0].content[0].text",
  ]);
  assert.deepEqual(refusal({ role: "user", content: ["text"] }), ["invalid_type", "messages[0].content[0]"]);
});

test("calls and their results become part of the conversation", () => {
  const call = { id: "call_1", type: "function", function: { name: "f", arguments: '{"a":1}' } };
  assert.deepEqual(
    parse(
      { role: "assistant", tool_calls: [call], refusal: null, audio: null },
      { role: "tool", tool_call_id: "call_1", content: "42" },
    ),
    [
      { role: "assistant", content: "", toolCalls: [{ id: "call_1", name: "f", arguments: '{"a":1}' }] },
      { role: "tool", content: "42", toolCallId: "call_1" },
    ],
  );
});

test("the old function form is a call whose id is made from its name", () => {
  assert.deepEqual(
    parse(
      { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
      { role: "function", name: "f", content: "42" },
    ),
    [
      { role: "assistant", content: "", toolCalls: [{ id: "call_f", name: "f", arguments: "{}" }] },
      { role: "tool", content: "42", name: "f", toolCallId: "call_f" },
    ],
  );
});

test("a malformed call is refused where it is wrong", () => {
  const at = "messages[0].tool_calls[0]";
  assert.deepEqual(refusal({ role: "tool", content: "" }), ["missing_required_parameter", "messages[0].tool_call_id"]);
  assert.deepEqual(refusal(calling({ type: "function" })), ["missing_required_parameter", `${at}.id`]);
  assert.deepEqual(refusal(calling({ id: "a", function: { name: "f", arguments: {} } })), [
    "invalid_type",
    `${at}.function.arguments`,
  ]);
  assert.deepEqual(refusal(calling({ id: "a", type: "custom", custom: {} })), ["unsupported_value", `${at}.type`]);
  assert.deepEqual(refusal({ role: "assistant", content: null, tool_calls: {} }), [
    "invalid_type",
    "messages[0].tool_calls",
  ]);
});

test("a refusal that the assistant gave before stands for its content", () => {
  assert.deepEqual(parse({ role: "assistant", content: null, refusal: "No." }), [
    { role: "assistant", content: "No." },
  ]);
});
