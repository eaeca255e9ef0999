import assert from "node:assert/strict";
import { test } from "node:test";

import { planImage, type PlanContent, type PlanEntry } from "../../../deploy/image/plan.ts";

function entry(
  path: string,
  content: PlanContent = { kind: "bytes", content: Buffer.alloc(0) },
  mode = 0o644,
): PlanEntry {
  return { path, mode, content };
}

test("entries come sorted by the bytes of their names, directories before what they hold, parents added", () => {
  const { entries } = planImage(["b", "a-b", "a/z", "ä", "Z", "a.b", "\u{1f600}", "\uffee"].map((path) => entry(path)));
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["Z", "a", "a/z", "a-b", "a.b", "b", "ä", "\uffee", "\u{1f600}"],
  );
  assert.equal(entries[1]?.content.kind, "directory");
  assert.equal(entries[1]?.mode, 0o755);
});

test("the order in which entries are given does not matter", () => {
  const paths = ["x/y/z", "x/a", "b", "x/y/a"];
  assert.deepEqual(
    planImage(paths.map((path) => entry(path))),
    planImage(paths.toReversed().map((path) => entry(path))),
  );
});

test("a planned directory keeps its own mode", () => {
  const { entries } = planImage([entry("tmp/x"), entry("tmp", { kind: "directory" }, 0o1777)]);
  assert.equal(entries[0]?.mode, 0o1777);
});

test("what cannot be in an image is refused, and the message names the path", () => {
  const refused: [string, PlanEntry[]][] = [
    ["", [entry("")]],
    ["/etc/passwd", [entry("/etc/passwd")]],
    ["a/../b", [entry("a/../b")]],
    ["./a", [entry("./a")]],
    ["a//b", [entry("a//b")]],
    ["a/", [entry("a/")]],
    ["twice", [entry("twice"), entry("twice")]],
    ["a/b", [entry("a"), entry("a/b")]],
    ["ä", [entry("ä".repeat(129))]],
    ["nul", [entry("nul\0")]],
    ["lone", [entry("lone\ud800")]],
    ["mode", [entry("mode", undefined, 0o10000)]],
    ["link", [entry("link", { kind: "symlink", target: "" })]],
    ["link", [entry("link", { kind: "symlink", target: "x".repeat(4096) })]],
    ["size", [entry("size", { kind: "file", sourcePath: "/x", bytes: -1 })]],
  ];
  for (const [path, entries] of refused) {
    assert.throws(
      () => planImage(entries),
      (error: { code?: string; message?: string }) =>
        error.code === "image_plan_invalid" && (error.message ?? "").includes(path),
      path,
    );
  }
});

test("a name of 256 bytes is accepted", () => {
  assert.equal(planImage([entry("ä".repeat(128))]).entries.length, 1);
});
