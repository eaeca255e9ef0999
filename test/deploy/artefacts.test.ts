import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { keyOf, openArtefactIndex } from "../../deploy/artefacts.ts";
import { parseFileHash, parseItemHash, parseSha256 } from "../../src/domain/hash.ts";

let directory = "";
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "pinference-artefacts-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const sha = "cafe".repeat(16);
const image = { sha256: parseSha256(sha), bytes: 5, fileHash: parseFileHash(sha), itemHash: parseItemHash(sha) };
const noDamage = (message: string) => assert.fail(message);

test("what was recorded is found by the next opener, and no part file stays", async () => {
  const first = await openArtefactIndex(directory, noDamage);
  assert.equal(first.image("code:1"), undefined);
  await first.recordImage("code:1", image);
  await first.recordProgram("program:1", image.itemHash);
  const second = await openArtefactIndex(directory, noDamage);
  assert.deepEqual(second.image("code:1"), image);
  assert.equal(second.program("program:1"), image.itemHash);
  assert.deepEqual(readdirSync(directory), ["artefacts.json"]);
});

test("a damaged index, or one of another version, is told and made anew", async () => {
  const path = join(directory, "artefacts.json");
  const damaged = [
    "",
    "{",
    "null",
    "[]",
    '{"version":1}',
    '{"version":99,"images":{},"programs":{}}',
    '{"version":1,"images":{"code:1":{}},"programs":{}}',
    '{"version":1,"images":{"code:1":null},"programs":{}}',
    '{"version":1,"images":{},"programs":{"program:1":"../../etc"}}',
  ];
  for (const text of damaged) {
    writeFileSync(path, text);
    const notes: string[] = [];
    const index = await openArtefactIndex(directory, (message) => void notes.push(message));
    assert.match(notes.join(), /artefacts\.json cannot be read and is made anew/, text);
    await index.recordImage("code:1", image);
    assert.equal((JSON.parse(readFileSync(path, "utf8")) as { version: number }).version, 1);
  }
});

test("keys depend on content, not on the order of members", () => {
  assert.equal(
    keyOf("program", { a: 1, b: { c: [1, 2], d: "x" } }),
    keyOf("program", { b: { d: "x", c: [1, 2] }, a: 1 }),
  );
  assert.notEqual(keyOf("program", { a: [1, 2] }), keyOf("program", { a: [2, 1] }));
  assert.notEqual(keyOf("program", { a: 1 }), keyOf("image", { a: 1 }));
});
