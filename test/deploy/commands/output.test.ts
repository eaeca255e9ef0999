import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";

import { humanOutput, jsonOutput } from "../../../deploy/commands/output.ts";
import { formatBytes, formatDuration } from "../../../deploy/commands/format.ts";
import { renderEvent } from "../../../deploy/commands/render.ts";
import { parseItemHash, parseSha256 } from "../../../src/domain/hash.ts";

const itemHash = parseItemHash("cafe".repeat(16));
const ESCAPE = "\x1b";

test("a stage is one aligned line: name, outcome, size, the bytes' own hash, time", () => {
  const sha256 = parseSha256("ab".repeat(32));
  const built = {
    event: "stage",
    stage: "code volume",
    outcome: "built",
    bytes: 9_600_000,
    sha256,
    itemHash,
    ms: 1400,
  };
  assert.equal(
    renderEvent({ ...built, event: "stage" }, false),
    "  code volume     built         9.6 MB  abababab…  1.4 s\n",
  );
  assert.equal(
    renderEvent({ event: "stage", stage: "program", outcome: "published", itemHash, model: "tiny" }, false),
    "  program         published             cafecafe…  tiny\n",
  );
  assert.equal(
    renderEvent({ event: "stage", stage: "local node", outcome: "started", detail: "http://127.0.0.1:4020" }, false),
    "  local node      started    http://127.0.0.1:4020\n",
  );
});

test("Ctrl-C is offered only by what stays", () => {
  const ready = { event: "ready", models: [], index: "http://127.0.0.1:4020/", ms: 1 } as const;
  assert.match(renderEvent({ ...ready, stays: true }, false), /All models: http.*\n {2}Ctrl-C ends it\.\n$/);
  assert.doesNotMatch(renderEvent({ ...ready, stays: false }, false), /Ctrl-C/);
});

test("colour is used only when asked for", () => {
  const event = { event: "stage", stage: "key", outcome: "cached" } as const;
  assert.ok(renderEvent(event, true).includes(ESCAPE));
  assert.ok(!renderEvent(event, false).includes(ESCAPE));
});

test("people find errors and notes on stderr, results on stdout", () => {
  const [stdout, stderr] = [new PassThrough({ encoding: "utf8" }), new PassThrough({ encoding: "utf8" })];
  const out = humanOutput({ stdout, stderr, color: false, progressLine: undefined });
  out.emit({ event: "stage", stage: "key", outcome: "throwaway" });
  out.emit({ event: "note", message: "by the way" });
  out.emit({ event: "error", code: "usage", message: "no", exitCode: 2 });
  assert.match(String(stdout.read()), /key/);
  assert.equal(String(stderr.read()), "  note: by the way\nerror: no\n");
});

test("programs read one JSON object per line, progress at most once a second", () => {
  const stdout = new PassThrough({ encoding: "utf8" });
  let now = 5000;
  const out = jsonOutput(stdout, () => now);
  const progress = { event: "progress", stage: "building code volume", doneBytes: 1, totalBytes: 2 } as const;
  out.progress(progress);
  out.progress({ ...progress, doneBytes: 2 });
  now += 1000;
  out.progress(progress);
  out.emit({ event: "stage", stage: "code volume", outcome: "cached", itemHash });
  const lines = String(stdout.read()).trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line) as unknown),
    [progress, progress, { event: "stage", stage: "code volume", outcome: "cached", itemHash }],
  );
});

test("sizes and times are short, and never 1000 of a unit", () => {
  assert.deepEqual([0, 999, 1000, 999_949, 999_950, 2_200_000, 4_294_967_296].map(formatBytes), [
    "0 B",
    "999 B",
    "1.0 kB",
    "999.9 kB",
    "1.0 MB",
    "2.2 MB",
    "4.3 GB",
  ]);
  assert.deepEqual([0.4, 999.4, 999.6, 1400, 59_949, 59_950, 125_000].map(formatDuration), [
    "0 ms",
    "999 ms",
    "1.0 s",
    "1.4 s",
    "59.9 s",
    "1 min 0 s",
    "2 min 5 s",
  ]);
});
