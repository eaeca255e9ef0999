import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { loadCatalogue } from "../../deploy/catalogue/catalogue.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const scratch = scratchDirectory();

/** The demo model under a catalogue of one's own, with what its publisher recommends. */
function ownCatalogue(more: object): string {
  const directory = join(scratch, "catalogue");
  mkdirSync(directory, { recursive: true });
  copyFileSync(demoModelPath, join(directory, "demo.gguf"));
  const { id, bytes, licence, contextLength, quantization, note } = loadCatalogue().entry("demo");
  const entry = { id, aliases: [], source: { file: "demo.gguf" }, bytes, licence, contextLength, quantization, note };
  writeFileSync(join(directory, "models.json"), JSON.stringify({ entries: [{ ...entry, memoryMiB: 1024, ...more }] }));
  return directory;
}

test("what the catalogue recommends is what the served model does, and its memory is what the program gets", async () => {
  const sampling = { temperature: 0, top_k: 7 };
  const env = { PINFERENCE_CATALOGUE: ownCatalogue({ sampling, systemPrompt: "Answer in French: «oui»." }) };
  const up = new UpProcess(join(scratch, "home"), ["aleph-tiny-chat"], { env });
  const { models } = await up.ready();
  const base = (models[0]?.baseUrl ?? "").replace(/\/v1$/, "");
  const post = async (path: string, body: object) => {
    const response = await fetch(`${base}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200);
    return (await response.json()) as {
      readonly prompt: string;
      readonly choices: readonly { readonly message: { readonly content: string } }[];
      readonly generation_settings: Readonly<Record<string, unknown>>;
    };
  };

  const props = (await (await fetch(`${base}/props`)).json()) as {
    readonly system_prompt: string;
    readonly default_generation_settings: { readonly params: Readonly<Record<string, unknown>> };
  };
  const { params } = props.default_generation_settings;
  assert.deepEqual([params["temperature"], params["top_k"], params["top_p"]], [0, 7, 0.95]);
  assert.equal(props.system_prompt, "Answer in French: «oui».");

  const messages = [{ role: "user", content: "Say this is a test" }];
  assert.match((await post("/apply-template", { messages })).prompt, /system\nAnswer in French: «oui»\./);
  const own = { messages: [{ role: "system", content: "Mine" }, ...messages] };
  assert.doesNotMatch((await post("/apply-template", own)).prompt, /French/);

  // At temperature 0 there is one answer; at 2, with every candidate kept, this model says ten different things.
  const answers = async (more: object) => {
    const texts: string[] = [];
    for (let n = 0; n < 10; n++) {
      const { choices } = await post("/v1/chat/completions", { messages: own.messages, max_tokens: 12, ...more });
      texts.push(choices[0]?.message.content ?? "");
    }
    return new Set(texts).size;
  };
  assert.equal(await answers({}), 1);
  assert.ok((await answers({ temperature: 2, top_k: 0, top_p: 1, min_p: 0 })) > 1);
  const native = await post("/completion", { prompt: "Hello", n_predict: 1, top_k: 3 });
  assert.deepEqual([native.generation_settings["temperature"], native.generation_settings["top_k"]], [0, 3]);

  const list = (await (
    await fetch(`${base.replace(/\/vm\/.*$/, "")}/api/v0/messages.json?msgTypes=PROGRAM`)
  ).json()) as {
    readonly messages: readonly { readonly content: { readonly resources: { readonly memory: number } } }[];
  };
  assert.equal(list.messages[0]?.content.resources.memory, 1024);
  assert.equal(await up.interrupt(), 130);
});
