import assert from "node:assert/strict";
import { test } from "node:test";

import { StopMatcher } from "../../../src/engine/stop.ts";

/** Feeds a text in pieces; returns all that was sent, and whether it was stopped. */
function feed(stops: readonly string[], pieces: Iterable<string>): { sent: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  let sent = "";
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    sent += text;
    if (stopped) return { sent, stopped };
  }
  return { sent: sent + matcher.flush(), stopped: false };
}

test("a stop sequence is found however the text is cut, and nothing of it is sent", () => {
  const text = "one END two";
  for (let a = 0; a <= text.length; a++) {
    for (let b = a; b <= text.length; b++) {
      const result = feed(["END"], [text.slice(0, a), text.slice(a, b), text.slice(b)]);
      assert.deepEqual(result, { sent: "one ", stopped: true });
    }
  }
});

test("a beginning that comes to nothing is sent after all", () => {
  assert.deepEqual(feed(["END"], "EN EEN ENd EN".split("")), { sent: "EN EEN ENd EN", stopped: false });
});

test("the earliest of several stop sequences wins", () => {
  assert.deepEqual(feed(["three", "two"], ["one two three"]), { sent: "one ", stopped: true });
});

test("overlapping beginnings: aab in aaab", () => {
  assert.deepEqual(feed(["aab"], "aaab".split("")), { sent: "a", stopped: true });
});

test("without stop sequences nothing is held back", () => {
  assert.deepEqual(new StopMatcher([]).push("text"), { text: "text", stopped: false });
});
