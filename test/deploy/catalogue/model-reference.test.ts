import assert from "node:assert/strict";
import { test } from "node:test";

import { parseModelReference } from "../../../deploy/catalogue/model-reference.ts";

const isFile = (path: string) => path === "existing";
const hub = { kind: "hub", owner: "o", repository: "r", file: "f.gguf", revision: undefined };

for (const [text, expected] of [
  ["qwen3-0.6b", { kind: "catalogue", id: "qwen3-0.6b" }],
  ["OpenHermes-2.5", { kind: "catalogue", id: "openhermes-2.5" }],
  ["existing", { kind: "file", path: "existing" }],
  ["model.gguf", { kind: "file", path: "model.gguf" }],
  ["model.GGUF", { kind: "file", path: "model.GGUF" }],
  ["./model", { kind: "file", path: "./model" }],
  ["models/one", { kind: "file", path: "models/one" }],
  [String.raw`C:\models\one.gguf`, { kind: "file", path: String.raw`C:\models\one.gguf` }],
  ["hf:o/r/f.gguf", hub],
  ["HF:o/r/f.gguf", hub],
  ["hf:o/r/sub/f.gguf", { ...hub, file: "sub/f.gguf" }],
  ["hf:o/r/f.gguf@v1.0", { ...hub, revision: "v1.0" }],
  ["hf:o/r/f-00001-of-00001.gguf", { ...hub, file: "f-00001-of-00001.gguf" }],
] as const) {
  test(`"${text}" is understood`, () => {
    assert.deepEqual(parseModelReference(text, isFile), expected);
  });
}

for (const [text, message] of [
  ["", /^no model is named\. Write a catalogue id/],
  ["a\u001Bb", /holds control characters/],
  ["hf:", /the owner is missing\. Write hf:owner\/repository\/file\.gguf\./],
  ["hf:o", /the repository is missing/],
  ["hf:o/r", /the repository is o\/r, but the file is missing/],
  ["hf:o/r/", /the file is missing/],
  ["hf:../r/f.gguf", /"\.\." cannot be the owner/],
  ["hf:o/../f.gguf", /"\.\." cannot be the repository/],
  ["hf:o/r/../../f.gguf", /cannot be a file of a repository/],
  ["hf:o/r//f.gguf", /cannot be a file of a repository/],
  [String.raw`hf:o/r/a\f.gguf`, /cannot be a file of a repository/],
  ["hf:o/r/model.safetensors", /only \.gguf files can be run/],
  ["hf:o/r/f.gguf@", /behind the @ stands no revision/],
  ["hf:o/r/f.gguf@../x", /behind the @ stands no revision/],
  ["hf:o/r/f-00001-of-00003.gguf", /one of 3 shards/],
  ["https://huggingface.co/o/r/blob/main/f.gguf?download=true", /^write hf:o\/r\/f\.gguf instead of its address\.$/],
  ["https://huggingface.co/o/r/resolve/v2/s/f.gguf", /^write hf:o\/r\/s\/f\.gguf@v2 instead of its address\.$/],
  ["https://example.org/f.gguf", /models are not taken from addresses/],
  ["ollama:llama3", /models are not taken from "ollama:"/],
] as const) {
  test(`"${text}" is refused with what to write instead`, () => {
    assert.throws(() => parseModelReference(text, isFile), { code: "usage", message });
  });
}
