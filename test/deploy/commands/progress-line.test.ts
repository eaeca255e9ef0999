import assert from "node:assert/strict";
import { test } from "node:test";

import { createProgressLine } from "../../../deploy/commands/progress-line.ts";

function lineAt(mode: "line" | "log" | "silent") {
  const clock = { now: 0 };
  let written = "";
  const stream = { write: (text: string) => (written += text), columns: 100 };
  const line = createProgressLine(stream, mode, () => clock.now);
  const draw = (atMs: number, doneBytes: number, stage = "building code volume") => {
    clock.now = atMs;
    line.draw({ event: "progress", stage, doneBytes, totalBytes: 10 * 1024 * 1024 });
  };
  return { line, draw, written: () => written };
}

test("a short stage shows nothing, on a terminal or in a log", () => {
  for (const mode of ["line", "log", "silent"] as const) {
    const { line, draw, written } = lineAt(mode);
    draw(0, 1);
    draw(200, 2);
    line.clear();
    assert.equal(written(), "");
  }
});

test("a long stage is drawn on one line and erased when it is over", () => {
  const { line, draw, written } = lineAt("line");
  draw(0, 0);
  draw(1000, 5 * 1024 * 1024);
  assert.match(written(), /^\r {2}building code volume {2}\[#+\.+\] {3}50%/);
  assert.doesNotMatch(written(), /\n/);
  line.clear();
  assert.ok(written().endsWith("\r\u001B[K"));
});

test("the next stage begins its own patience", () => {
  const { draw, written } = lineAt("line");
  draw(0, 0);
  draw(1000, 1);
  draw(1100, 0, "pinning code volume");
  assert.doesNotMatch(written(), /pinning/);
  draw(1500, 1, "pinning code volume");
  assert.match(written(), /pinning/);
});
