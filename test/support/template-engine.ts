import { readFileSync, writeFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Engine } from "../../src/domain/engine.ts";
import { startEngine } from "../../src/engine/load.ts";
import { demoModelPath } from "./demo-model.ts";

const KEY = "tokenizer.chat_template";
/** Of tensor data in a GGUF file. */
const ALIGNMENT = 32;

/** The demo model with another chat template, ready. `close` removes the file too. */
export async function startWithTemplate(template: string): Promise<{ engine: Engine; close(): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), "template-"));
  const modelPath = join(directory, "model.gguf");
  writeFileSync(modelPath, withTemplate(readFileSync(demoModelPath), template));
  const engine = startEngine({
    modelPath,
    modelId: "demo",
    aliases: [],
    contextLength: undefined,
    slots: 2,
    queueLength: 8,
    threads: 1,
  });
  await engine.ready;
  return {
    engine,
    close: async () => {
      await engine.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The new template is padded by a comment, so that what follows keeps its alignment. */
function withTemplate(file: Buffer, template: string): Buffer {
  // After the key: the value's type (4 bytes), its length (8 bytes), its bytes.
  const lengthAt = file.indexOf(KEY) + KEY.length + 4;
  const start = lengthAt + 8;
  const end = start + Number(file.readBigUInt64LE(lengthAt));
  const frame = "{##}";
  const padding = (end - start - Buffer.byteLength(template) - frame.length) % ALIGNMENT;
  const fill = " ".repeat((padding + ALIGNMENT) % ALIGNMENT);
  const text = Buffer.from(`{#${fill}#}${template}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([file.subarray(0, lengthAt), length, text, file.subarray(end)]);
}
