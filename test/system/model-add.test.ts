import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, test } from "node:test";

import { eventOf, runCommand } from "../support/commands.ts";
import { DEMO_BYTES, DEMO_SHA256, demoModelPath } from "../support/demo-model.ts";
import { FileHub } from "../support/file-hub.ts";
import { scratchDirectory } from "../support/scratch.ts";

const scratch = scratchDirectory();
const catalogue = join(scratch, "catalogue");
const hub = await new FileHub(readFileSync(demoModelPath)).start();
const env = {
  PINFERENCE_CATALOGUE: catalogue,
  PINFERENCE_DATA_DIR: join(scratch, "home"),
  HF_ENDPOINT: hub.url,
};
const unknown = {
  id: "half-known",
  aliases: [],
  source: { hf: "owner/repository", file: "model.gguf" },
  bytes: DEMO_BYTES,
  licence: "MIT",
  contextLength: 2048,
  quantization: "Q8_0",
  memoryMiB: 768,
  note: "An entry without its hash.",
};

interface Entry {
  readonly id: string;
  readonly sha256?: string;
  readonly source: { readonly hf?: string; readonly revision?: string };
  readonly [member: string]: unknown;
}
const entries = () =>
  (JSON.parse(readFileSync(join(catalogue, "models.json"), "utf8")) as { entries: Entry[] }).entries;

beforeEach(() => {
  mkdirSync(join(catalogue, "demo"), { recursive: true });
  copyFileSync(demoModelPath, join(catalogue, "demo", "demo.gguf"));
  writeFileSync(join(catalogue, "models.json"), JSON.stringify({ entries: [unknown] }));
});

test("a hub's model is written with its hash, revision, size and what it takes, and can then be planned", async () => {
  const done = await runCommand(["model", "add", "hf:owner/repository/Tiny-Chat.Q8_0.gguf", "--id", "tiny-chat"], env);
  assert.equal(done.code, 0, JSON.stringify(done));
  const [, entry] = entries();
  assert.deepEqual(
    { ...entry, note: "" },
    {
      id: "tiny-chat",
      aliases: [],
      source: { hf: "owner/repository", file: "Tiny-Chat.Q8_0.gguf", revision: hub.commit },
      sha256: DEMO_SHA256,
      bytes: DEMO_BYTES,
      licence: "MIT",
      contextLength: 2048,
      parameters: 1_992_768,
      quantization: "Q8_0",
      memoryMiB: 512,
      note: "",
    },
  );
  const listed = await runCommand(["model", "list"], env);
  assert.equal(listed.events.length, 2);
  assert.equal(eventOf(done, "added").isDeployable, true);
});

test("a dry run shows the entry and writes nothing", async () => {
  const done = await runCommand(["model", "add", "hf:owner/repository/tiny.gguf", "--dry-run"], env);
  assert.equal(eventOf(done, "added").entry["id"], "tiny");
  assert.equal(entries().length, 1);
});

test("an entry without its hash gets the hub's", async () => {
  const done = await runCommand(["model", "add", "half-known"], env);
  assert.equal(done.code, 0, JSON.stringify(done));
  const [entry] = entries();
  assert.equal(entry!.sha256, DEMO_SHA256);
  assert.equal(entry!.source.revision, hub.commit);
  assert.equal(entry!["note"], unknown.note);
});

test("a name that is taken, a file that is no hub's, and a hub that has another file now are refused", async () => {
  const taken = await runCommand(["model", "add", "hf:owner/repository/model.gguf", "--id", "half-known"], env);
  assert.match(eventOf(taken, "error").message, /--id/);
  const local = await runCommand(["model", "add", demoModelPath], env);
  assert.match(eventOf(local, "error").message, /hf:owner/);
  const fixed = { ...unknown, sha256: "0".repeat(64) };
  writeFileSync(join(catalogue, "models.json"), JSON.stringify({ entries: [fixed] }));
  const other = await runCommand(["model", "add", "half-known"], env);
  assert.equal(eventOf(other, "error").code, "hash_mismatch");
  assert.deepEqual(entries(), [fixed]);
});

test("a hub that tells no hash leaves an entry that is not deployable, and says so", async () => {
  const { linkedEtag } = hub;
  hub.linkedEtag = undefined;
  try {
    const done = await runCommand(["model", "add", "hf:owner/repository/tiny.gguf"], env);
    assert.equal(eventOf(done, "added").isDeployable, false);
    assert.match(eventOf(done, "note").message, /sha256/);
  } finally {
    hub.linkedEtag = linkedEtag;
  }
});
