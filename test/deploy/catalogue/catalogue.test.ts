import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { loadCatalogue, parseCatalogue } from "../../../deploy/catalogue/catalogue.ts";
import { readGgufHeader } from "../../../src/gguf/gguf-header.ts";
import { proposeResources } from "../../../deploy/catalogue/resources.ts";
import type { CodedError } from "../../../src/domain/errors.ts";
import { demoModelPath } from "../../support/demo-model.ts";

const catalogue = loadCatalogue();

test("the demo entry describes the file that ships with the project", () => {
  const demo = catalogue.entry("aleph-tiny-chat");
  assert.equal(demo.source.kind, "shipped");
  assert.equal(demo.source.kind === "shipped" && demo.source.path, demoModelPath);
  assert.equal(demo.sha256, createHash("sha256").update(readFileSync(demoModelPath)).digest("hex"));
  const header = readGgufHeader(demoModelPath);
  assert.equal(demo.bytes, header.fileBytes);
  assert.equal(demo.contextLength, header.contextLength);
  assert.equal(demo.parameters, header.parameterCount);
  assert.equal(demo.quantization, header.quantization);
  assert.equal(demo.memoryMiB, proposeResources(header).memoryMiB);
});

test("the demo's endpoint answers to openhermes-2.5, the catalogue's openhermes-2.5 is the real one", () => {
  assert.deepEqual(catalogue.entry("aleph-tiny-chat").servedAliases, ["openhermes-2.5"]);
  const openHermes = catalogue.entry("openhermes-2.5");
  assert.equal(openHermes.source.kind === "hub" && openHermes.source.repository, "OpenHermes-2.5-Mistral-7B-GGUF");
});

test("an alias and capitals find the entry", () => {
  assert.equal(catalogue.entry("demo").id, "aleph-tiny-chat");
  assert.equal(catalogue.entry("Qwen3-0.6B").id, "qwen3-0.6b");
});

for (const [typed, meant] of [
  ["qwen3-0.6", "qwen3-0.6b"],
  ["openhermes-2", "openhermes-2.5"],
  ["alephtinychat", "aleph-tiny-chat"],
  ["smollm2-instruct", "smollm2-1.7b-instruct"],
  ["qwen3-0.6b-q8_0", "qwen3-0.6b"],
] as const) {
  test(`"${typed}" suggests "${meant}"`, () => {
    assert.throws(
      () => catalogue.entry(typed),
      (error: CodedError) => error.code === "catalogue_unknown" && error.message.includes(`Did you mean "${meant}"?`),
    );
  });
}

test("a name far from all lists the catalogue", () => {
  assert.throws(() => catalogue.entry("gpt-4"), {
    code: "catalogue_unknown",
    message:
      /^the catalogue has no model "gpt-4"\. It has: aleph-tiny-chat, .*openhermes-2\.5\. Any other model can be named/,
  });
});

const entry = {
  id: "a",
  aliases: [],
  source: { hf: "o/r", file: "a.gguf" },
  bytes: 1,
  licence: "MIT",
  contextLength: 1,
  quantization: "F32",
  memoryMiB: 256,
  note: "n",
};

for (const [title, change, message] of [
  ["an id with capitals", { id: "A" }, /lower case/],
  ["a path that climbs", { source: { file: "../secret.gguf" } }, /entries\[0\]\.source/],
  ["a source of another kind", { source: { url: "x" } }, /entries\[0\]\.source/],
  ["half a hash", { sha256: "abc" }, /64 hexadecimal digits/],
  ["an unknown member", { sha265: "x" }, /sha265/],
  ["an unknown sampling default", { sampling: { temprature: 1 } }, /"temprature" is no sampling default/],
  ["a sampling default out of its range", { sampling: { top_p: 7 } }, /"top_p" is a number from 0 to 1/],
  ["an empty system prompt", { systemPrompt: " " }, /systemPrompt/],
  ["a system prompt that no variable holds", { systemPrompt: "x".repeat(4097) }, /systemPrompt/],
] as const) {
  test(`a catalogue with ${title} is refused`, () => {
    assert.throws(() => parseCatalogue({ entries: [{ ...entry, ...change }] }, "."), {
      code: "config_invalid",
      message,
    });
  });
}

test("a name given twice is refused", () => {
  const twice = { entries: [entry, { ...entry, id: "b", aliases: ["a"] }] };
  assert.throws(() => parseCatalogue(twice, "."), { code: "config_invalid", message: /the name "a" is there twice/ });
});

test("an entry tells what its publisher recommends, and nothing where it recommends nothing", () => {
  const sampling = { temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0 };
  const { entries } = parseCatalogue({ entries: [{ ...entry, sampling, systemPrompt: "Be brief." }] }, ".");
  assert.deepEqual(entries[0]?.defaults, { sampling, systemPrompt: "Be brief." });
  assert.deepEqual(parseCatalogue({ entries: [entry] }, ".").entries[0]?.defaults, { sampling: {} });
});
