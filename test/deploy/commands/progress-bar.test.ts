import assert from "node:assert/strict";
import { test } from "node:test";

import {
  createProgressBar,
  progressModeFor,
  renderProgress,
  renderProgressLine,
} from "../../../deploy/commands/progress-bar.ts";

const MB = 1_000_000;
const half = { doneBytes: 305 * MB, totalBytes: 610 * MB, bytesPerSecond: 5 * MB, secondsLeft: 61 };

for (const [columns, progress, expected] of [
  [99, half, "qwen  [############............]   50%  305.0 MB of 610.0 MB  5.0 MB/s  1 min left"],
  [60, half, "qwen   50%  305.0 MB of 610.0 MB  5.0 MB/s  1 min left"],
  [40, half, "qwen   50%  1 min left"],
  [12, half, "qwen   50%"],
  [5, half, " 50%"],
  [2, half, " 5"],
  [0, half, ""],
  [99, { doneBytes: 0, totalBytes: 2 * MB }, "qwen  [........................]    0%  0 B of 2.0 MB"],
  [99, { doneBytes: 0, totalBytes: 0 }, "qwen  [########################]  100%  0 B of 0 B"],
  [30, { doneBytes: 999, totalBytes: 1000 }, "qwen   99%  999 B of 1.0 kB"],
  [20, { ...half, secondsLeft: 3.2 }, "qwen   50%  4 s left"],
  [30, { ...half, secondsLeft: 7300 }, "qwen   50%  2 h 2 min left"],
  [30, { ...half, secondsLeft: Infinity }, "qwen   50%"],
] as const) {
  test(`in ${columns} columns: "${expected}"`, () => {
    const line = renderProgress("qwen", progress, columns);
    assert.equal(line, expected);
    assert.ok(line.length <= columns);
  });
}

test("a log line has no bar", () => {
  assert.equal(
    renderProgressLine("qwen", { ...half, bytesPerSecond: 300_000, totalBytes: 3000 * MB }),
    "qwen: 10%, 305.0 MB of 3.0 GB, 300.0 kB/s, 1 min left",
  );
});

for (const [title, stream, environment, json, expected] of [
  ["a terminal", { isTTY: true }, {}, false, "line"],
  ["a pipe", {}, {}, false, "log"],
  ["a terminal in CI", { isTTY: true }, { CI: "true" }, false, "log"],
  ["CI=false", { isTTY: true }, { CI: "false" }, false, "line"],
  ["a dumb terminal", { isTTY: true }, { TERM: "dumb" }, false, "log"],
  ["--json", { isTTY: true }, {}, true, "silent"],
] as const) {
  test(`${title}: ${expected}`, () => {
    assert.equal(progressModeFor({ write() {}, ...stream }, environment, json), expected);
  });
}

function written(mode: "line" | "log" | "silent", updates: number, stepMs: number): string[] {
  const texts: string[] = [];
  let nowMs = 0;
  const stream = { write: (text: string) => texts.push(text), columns: 40 };
  const bar = createProgressBar("qwen", stream, mode, () => nowMs);
  for (let done = 1; done <= updates; done++) {
    bar.update({ doneBytes: done, totalBytes: updates });
    nowMs += stepMs;
  }
  bar.finish();
  bar.finish();
  return texts;
}

test("a terminal is redrawn at most ten times a second, and ends with the last state", () => {
  const texts = written("line", 1000, 1);
  assert.equal(texts.length, 12);
  assert.equal(texts.at(-2), "\rqwen  100%  1.0 kB of 1.0 kB\u001B[K");
  assert.equal(texts.at(-1), "\n");
});

test("a log gets a line each ten seconds and the last one", () => {
  const texts = written("log", 30, 1000);
  assert.deepEqual(
    texts.map((text) => /(\d+)%/.exec(text)?.[1]),
    ["3", "36", "70", "100"],
  );
});

test("--json gets nothing", () => {
  assert.deepEqual(written("silent", 10, 1000), []);
});
