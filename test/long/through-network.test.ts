/**
 * The contract's tests again, each request and answer through the supervisor's rules, the guest protocol and the guest's
 * translation, as in the network.
 */
import assert from "node:assert/strict";
import { run, test } from "node:test";
import { fileURLToPath } from "node:url";

const SUITES = [
  "anthropic-client",
  "answers",
  "background-responses",
  "chat-completions",
  "chat-controls",
  "completions",
  "embeddings",
  "messages",
  "native-completion",
  "openai-client",
  "responses",
  "slots",
  "special-tokens",
  "structured",
  "thinking",
  "tokens",
  "tools",
];

const NOT_FOUND = "a host replaces the body of a 404, so it leaves the guest as a 400 with the same body";

/** What the network makes different: each of these fails there. Nothing else does but what skips itself, with a reason. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  "the served aliases mean the model, any other name is not found": NOT_FOUND,
  "an unknown model is not found, and a prompt beyond the context is told in Anthropic's shape": NOT_FOUND,
  "every refusal below /v1/messages has Anthropic's shape, whoever makes it": NOT_FOUND,
  "input_tokens and apply-template refuse what the chat route refuses": NOT_FOUND,
  "what is no input is refused by name": NOT_FOUND,
  "a stored response is read, listed and deleted; one that is not stored is not found": NOT_FOUND,
  "a response follows an earlier one without its instructions": NOT_FOUND,
  "deleting a background response that runs ends its computation": NOT_FOUND,
  "OpenAI's client creates, streams, retrieves, lists, cancels and deletes": NOT_FOUND,
  "raises refusals with their type, before a stream too": NOT_FOUND,
};

test("what holds at the server holds through the network, but for what is listed", async () => {
  const files = SUITES.map((suite) => fileURLToPath(new URL(`../contract/${suite}.test.js`, import.meta.url)));
  process.env["PINFERENCE_TEST_THROUGH"] = "network";
  // By it, a runner knows that it is inside of a test of its own, and runs nothing.
  delete process.env["NODE_TEST_CONTEXT"];
  const failed: string[] = [];
  let passed = 0;
  const tests = run({ files, concurrency: 2 });
  tests.on("test:pass", ({ details }) => (passed += details.type === "suite" ? 0 : 1));
  tests.on("test:fail", ({ name, details }) => {
    const { failureType } = details.error as { readonly failureType?: string };
    if (failureType !== "subtestsFailed") failed.push(name);
  });
  for await (const event of tests) void event;
  assert.deepEqual(failed.toSorted(), Object.keys(DIFFERENCES).toSorted());
  assert.ok(passed > 250, `${passed} passed`);
});
