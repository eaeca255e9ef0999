import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { readGgufHeader } from "../../../src/gguf/gguf-header.ts";
import { CodedError } from "../../../src/domain/errors.ts";
import { DEMO_BYTES, demoModelPath } from "../../support/demo-model.ts";
import { makeGguf, TINY_METADATA, u32, u64, type GgufParts } from "../../support/gguf-maker.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const directory = scratchDirectory();

function write(bytes: Buffer | string, name = "model.gguf"): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

function refusal(path: string): CodedError {
  try {
    readGgufHeader(path);
  } catch (error) {
    assert.ok(error instanceof CodedError, `not a CodedError: ${String(error)}`);
    return error;
  }
  return assert.fail("the file was accepted");
}

test("the demo model's header says what its README says", () => {
  const { chatTemplate, dataOffset, ...header } = readGgufHeader(demoModelPath);
  assert.match(chatTemplate ?? "", /<\|im_start\|>/);
  assert.equal(dataOffset % 32, 0);
  assert.deepEqual(header, {
    version: 3,
    architecture: "llama",
    name: "Aleph Tiny Chat",
    licence: "mit",
    quantization: "Q8_0",
    contextLength: 2048,
    embeddingLength: 192,
    blockCount: 5,
    headCount: 6,
    headCountKv: 2,
    isCausal: true,
    poolingType: undefined,
    ranking: undefined,
    kvHeadsOfAllLayers: 10,
    keyLength: 32,
    valueLength: 32,
    vocabularySize: 2048,
    parameterCount: 1_992_768,
    hasChatTemplate: true,
    tensorCount: 47,
    alignment: 32,
    requiredFileBytes: DEMO_BYTES,
    fileBytes: DEMO_BYTES,
    splitNo: undefined,
    splitCount: undefined,
  });
});

test("a file cut anywhere is refused as cut short, or as no GGUF file in its first bytes", () => {
  const whole = readFileSync(demoModelPath);
  const { dataOffset } = readGgufHeader(demoModelPath);
  const lengths = [8, 9, 16, 23, 24, 25, 100, dataOffset - 1, dataOffset, DEMO_BYTES - 1];
  for (let step = 1; step < 200; step++) lengths.push(Math.floor((dataOffset * step) / 200));
  const path = write(whole);
  for (const length of lengths.toSorted((a, b) => b - a)) {
    truncateSync(path, length);
    const { code, message } = refusal(path);
    assert.equal(code, "model_file_invalid");
    assert.match(message, /^model\.gguf is cut short: .* Download it again\.$/, `at ${length}`);
  }
  truncateSync(path, 7);
  assert.equal(refusal(path).message, "model.gguf is not a GGUF file (it has only 7 bytes).");
  truncateSync(path, 0);
  assert.equal(refusal(path).message, "model.gguf is empty. Download it again.");
});

test("a model whose data are cut says how many bytes are announced and there", () => {
  const path = write(readFileSync(demoModelPath));
  truncateSync(path, 1_000_000);
  assert.equal(
    refusal(path).message,
    "model.gguf is cut short: its header announces 2,187,008 bytes, the file has 1,000,000. Download it again.",
  );
});

test("what is no GGUF file is named by its beginning", () => {
  assert.equal(
    refusal(write("Hello world, these are notes", "notes.gguf")).message,
    'notes.gguf is not a GGUF file (it begins with "Hello wo").',
  );
  assert.match(refusal(write("<!DOCTYPE html><html>")).message, /it is a web page/);
  assert.match(refusal(write("version https://git-lfs.github.com/spec/v1\n")).message, /Git LFS pointer/);
  assert.match(refusal(write(Buffer.from("1b5b324a1b5b324a", "hex"))).message, /begins with "\?\[2J\?\[2J"\)/);
});

test("what cannot be opened says why", (context) => {
  const missing = refusal(join(directory, "nowhere.gguf"));
  assert.equal(missing.code, "model_file_missing");
  assert.match(missing.message, /^there is no model file at .*nowhere\.gguf\.$/);

  mkdirSync(join(directory, "folder.gguf"));
  assert.match(refusal(join(directory, "folder.gguf")).message, /^folder\.gguf is a directory\./);

  if (process.platform !== "win32") assert.match(refusal("/dev/null").message, /^null is not a regular file\./);
  if (process.getuid?.() === 0) return context.diagnostic("unreadable files: root may read everything");
  chmodSync(write(makeGguf(), "secret.gguf"), 0);
  assert.match(refusal(join(directory, "secret.gguf")).message, /no permission/);
});

test("versions and byte orders that are not read are told apart", () => {
  assert.equal(readGgufHeader(write(makeGguf({ version: 2 }))).version, 2);
  assert.match(refusal(write(makeGguf({ version: 1 }))).message, /version 1 of the GGUF format/);
  assert.match(refusal(write(makeGguf({ version: 4 }))).message, /version 4 of the GGUF format/);
  assert.match(refusal(write(makeGguf({ version: 0x03000000 }))).message, /big-endian/);
});

const HUGE = 2n ** 63n;
const ONE = [["general.architecture", { text: "llama" }]] as const;
const hostile: readonly (readonly [title: string, parts: GgufParts, message: RegExp])[] = [
  ["a huge metadata count", { metadataCount: HUGE }, /announces more than 9,000.* metadata entries/],
  ["a huge tensor count", { tensorCount: HUGE }, /announces more than 9,000.* tensors/],
  ["more tensors than are there", { tensorCount: 3n }, /./],
  ["a huge text", { metadata: [["x", { type: 8, raw: u64(HUGE) }]] }, /a text in "x" announces more than/],
  ["a text past the end", { metadata: [["x", { type: 8, raw: u64(1_000_000n) }]] }, /cut short/],
  ["a huge key", { metadata: [["k".repeat(1025), { u32: 1 }]] }, /metadata key 1 has 1,025 bytes/],
  ["a huge array", { metadata: [["x", { type: 9, raw: Buffer.concat([u32(4), u64(HUGE)]) }]] }, /elements/],
  [
    "an array past the end",
    { metadata: [["x", { type: 9, raw: Buffer.concat([u32(4), u64(99_999n)]) }]] },
    /cut short/,
  ],
  ["texts past the end", { metadata: [["x", { type: 9, raw: Buffer.concat([u32(8), u64(99_999n)]) }]] }, /./],
  ["deep arrays", { metadata: [["x", { type: 9, raw: nested(6) }]] }, /nests arrays more than 4 deep/],
  ["an unknown value type", { metadata: [["x", { type: 13, raw: Buffer.alloc(8) }]] }, /unknown value type 13/],
  ["a repeated key", { metadata: [...ONE, ...ONE] }, /has the metadata key "general.architecture" twice/],
  ["no architecture", { metadata: [] }, /does not say which architecture/],
  ["an odd architecture", { metadata: [["general.architecture", { text: "\u001B[2J" }]] }, /architecture/],
  ["a wrong type", { metadata: [...ONE, ["llama.context_length", { text: "128" }]] }, /has the wrong type/],
  ["a broken number", { metadata: [...ONE, ["llama.block_count", { f32: 1.5 }]] }, /is 1\.5, not a whole number/],
  ["too many layers", { metadata: [...ONE, ["llama.block_count", { u32: 2000 }]] }, /not a whole number up to 1024/],
  ["an odd alignment", { metadata: [...ONE, ["general.alignment", { u32: 48 }]] }, /no power of two/],
  ["no alignment", { metadata: [...ONE, ["general.alignment", { u32: 0 }]] }, /no power of two/],
  ["a huge alignment", { metadata: [...ONE, ["general.alignment", { u32: 2 ** 31 }]] }, /up to 1048576/],
  ["a negative dimension", { tensors: [{ name: "w", dimensions: [-1n] }], dataBytes: 0 }, /negative or too large/],
  ["an overflow", { tensors: [{ name: "w", dimensions: [2n ** 32n, 2n ** 32n] }], dataBytes: 0 }, /too large/],
  ["a dimension of 0", { tensors: [{ name: "w", dimensions: [0n] }] }, /dimension of 0/],
  ["five dimensions", { tensors: [{ name: "w", dimensions: [1n, 1n, 1n, 1n, 1n] }] }, /has 5 dimensions/],
  ["an unknown type", { tensors: [{ name: "w", dimensions: [32n], type: 99 }] }, /unknown type 99/],
  ["a withdrawn type", { tensors: [{ name: "w", dimensions: [32n], type: 31 }] }, /unknown type 31/],
  ["half a block", { tensors: [{ name: "w", dimensions: [33n], type: 8 }] }, /not whole Q8_0 blocks of 32/],
  ["a misaligned tensor", { tensors: [{ name: "w", dimensions: [32n], offset: 8n }] }, /no multiple of 32/],
  ["a gap", { tensors: [{ name: "w", dimensions: [32n], offset: 64n }] }, /begins at 64 instead of 0/],
  [
    "a tensor far outside",
    { tensors: [{ name: "w", dimensions: [32n], offset: 2n ** 60n }], dataBytes: 0 },
    /begins at/,
  ],
  ["a repeated tensor", { tensors: [twin(), twin()] }, /tensor "w" is there twice/],
  ["a long tensor name", { tensors: [{ name: "w".repeat(64), dimensions: [1n] }] }, /name of tensor 1 has 64 bytes/],
  ["data that are missing", { dataBytes: 0 }, /cut short: its header announces/],
];

function nested(depth: number): Buffer {
  return depth === 0 ? Buffer.concat([u32(4), u64(0n)]) : Buffer.concat([u32(9), u64(1n), nested(depth - 1)]);
}
function twin() {
  return { name: "w", dimensions: [8n] };
}

for (const [title, parts, message] of hostile) {
  test(`a header with ${title} is refused`, () => {
    const error = refusal(write(makeGguf(parts)));
    assert.equal(error.code, "model_file_invalid");
    assert.match(error.message, message);
  });
}

test("limits on what is kept do not refuse what is only long", () => {
  const header = readGgufHeader(
    write(
      makeGguf({
        metadata: [
          ...TINY_METADATA,
          ["tokenizer.huggingface.json", { text: "j".repeat(3_000_000) }],
          ["tokenizer.chat_template", { text: "t".repeat(600_000) }],
          ["tokenizer.ggml.scores", { u32s: Array.from({ length: 5000 }, () => 1) }],
          ["nested", { type: 9, raw: nested(2) }],
        ],
      }),
    ),
  );
  assert.equal(header.hasChatTemplate, true);
  assert.equal(header.chatTemplate, undefined);
});

test("heads that vary by layer are added up; a missing type is taken from the weights", () => {
  const header = readGgufHeader(
    write(
      makeGguf({
        metadata: [
          ...TINY_METADATA.filter(([key]) => !key.includes("head_count_kv")),
          ["llama.attention.head_count_kv", { u32s: [1, 4] }],
          ["llama.attention.key_length", { u64: 16n }],
        ],
      }),
    ),
  );
  assert.equal(header.headCountKv, 4);
  assert.equal(header.kvHeadsOfAllLayers, 5);
  assert.equal(header.keyLength, 16);
  assert.equal(header.valueLength, 8);
  assert.equal(header.quantization, "F32");
  assert.equal(header.parameterCount, 128);
});

test("a later shard needs no architecture", () => {
  const header = readGgufHeader(
    write(
      makeGguf({
        metadata: [
          ["split.no", { u32: 1 }],
          ["split.count", { u32: 3 }],
        ],
      }),
    ),
  );
  assert.deepEqual([header.splitNo, header.splitCount, header.architecture], [1, 3, undefined]);
});

test("labels for people cannot steer a terminal", () => {
  const metadata = [...ONE, ["general.name", { text: `\u001B]0;owned\u0007${"n".repeat(300)}` }] as const];
  const { name } = readGgufHeader(write(makeGguf({ metadata })));
  assert.match(name ?? "", /^\?\]0;owned\?n+…$/);
  assert.equal(name?.length, 201);
});

test("vocabularies of 152k and 262k tokens are read in time", (context) => {
  for (const [tokens, merges] of [
    [151_936, 151_387],
    [262_144, 514_906],
  ] as const) {
    const path = write(
      makeGguf({
        metadata: [
          ...TINY_METADATA.filter(([key]) => key !== "tokenizer.ggml.tokens"),
          ["tokenizer.ggml.tokens", { texts: Array.from({ length: tokens }, (_, index) => `token ${index}`) }],
          ["tokenizer.ggml.token_type", { u32s: Array.from({ length: tokens }, () => 1) }],
          ["tokenizer.ggml.merges", { texts: Array.from({ length: merges }, (_, index) => `mer ge${index}`) }],
        ],
      }),
    );
    const began = performance.now();
    assert.equal(readGgufHeader(path).vocabularySize, tokens);
    const tookMs = performance.now() - began;
    context.diagnostic(`${tokens} tokens: ${tookMs.toFixed(0)} ms`);
    // Ten times what it takes, for a busy machine.
    assert.ok(tookMs < 1000, `${tookMs} ms`);
  }
});

test("thousands of mutated headers are refused or read, never anything else", () => {
  const { dataOffset } = readGgufHeader(demoModelPath);
  const seeds = [readFileSync(demoModelPath).subarray(0, dataOffset), makeGguf()];
  const random = pseudoRandom(20_260_101);
  const began = performance.now();
  const memoryBefore = process.memoryUsage().rss;
  let accepted = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(seeds[round % seeds.length] ?? Buffer.alloc(0));
    for (let change = random(6); change >= 0; change--) mutate(bytes, random);
    const path = write(bytes);
    // The demo's data are not written: a file with a hole in their place is as good.
    truncateSync(path, random(4) === 0 ? random(bytes.length) : DEMO_BYTES);
    try {
      readGgufHeader(path);
      accepted++;
    } catch (error) {
      assert.ok(error instanceof CodedError, `round ${round}: ${String((error as Error).stack)}`);
      assert.equal(error.code, "model_file_invalid");
    }
  }
  assert.ok(accepted > 0);
  assert.ok(performance.now() - began < 60_000);
  assert.ok(process.memoryUsage().rss - memoryBefore < 300 * 1024 * 1024);
});

/** Mostly into the first bytes, where counts and lengths are dense. */
function mutate(bytes: Buffer, random: (below: number) => number): void {
  const at = random(random(2) === 0 ? Math.min(bytes.length, 700) : bytes.length);
  const interesting = [0, 1, 0x7f, 0x80, 0xff, 9, 8, random(256)];
  const kind = random(3);
  if (kind === 0) bytes[at] = interesting[random(interesting.length)] ?? 0;
  else if (kind === 1) bytes.fill(random(2) === 0 ? 0xff : 0, at, Math.min(at + 8, bytes.length));
  else bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
}

/** The same numbers in every run. Source: Numerical Recipes, quick linear congruential generator. */
function pseudoRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("a name that is not UTF-8 is shown, not passed on", () => {
  const raw = Buffer.concat([u64(3n), Buffer.from([0xff, 0xfe, 0x41])]);
  const header = readGgufHeader(write(makeGguf({ metadata: [...ONE, ["general.name", { type: 8, raw }]] })));
  assert.equal(header.name, "\uFFFD\uFFFDA");
});
