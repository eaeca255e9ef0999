/** What slots tell of running requests, and how they are emptied. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import supertest from "supertest";

import type { Engine } from "../../src/domain/engine.ts";
import { whenIdle } from "../support/api-fuzz.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, listen } from "../support/server.ts";
import { skipWithoutStreams } from "../support/through-network.ts";

type Members = Readonly<Record<string, unknown>>;
interface Slot {
  readonly id: number;
  readonly id_task: number;
  readonly is_processing: boolean;
  readonly n_prompt_tokens_cache: number;
  readonly params: Members;
  readonly next_token: readonly {
    has_next_token: boolean;
    has_new_line: boolean;
    n_remain: number;
    n_decoded: number;
  }[];
}

const say = { messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 };
const endless = { prompt: "Once", n_predict: 1500, ignore_eos: true, stop: ["secret stop"], stream: true };

describe("slots", () => {
  let engine: Engine;
  before(async () => {
    engine = await startDemoEngine({ slots: 2 });
  });
  after(() => engine.close());

  const post = (path: string, body: object) => supertest(appOf(engine)).post(path).send(body);
  const slots = async () => (await supertest(appOf(engine)).get("/slots").expect(200)).body as Slot[];
  const usage = async () =>
    (await post("/v1/chat/completions", say).expect(200)).body.usage as {
      prompt_tokens_details: { cached_tokens: number };
    };

  test(
    "a busy slot tells its task, what was asked for and how far it is, and no text; a free one does not",
    { skip: skipWithoutStreams },
    async (t) => {
      const { url } = await listen(t, appOf(engine));
      const controller = new AbortController();
      const asked = {
        ...endless,
        temperature: 0.7,
        top_k: 11,
        mirostat: 2,
        mirostat_tau: 3,
        seed: 42,
        n_probs: 1,
        id_slot: 1,
      };
      const response = await fetch(`${url}/completion`, {
        method: "POST",
        body: JSON.stringify(asked),
        signal: controller.signal,
      });
      const reader = response.body!.getReader();
      for (let pieces = 0; pieces < 5; pieces++) await reader.read();
      const [free, busy] = (await slots()) as [Slot, Slot];
      assert.deepEqual([free.is_processing, free.id_task, free.params, free.next_token], [false, -1, {}, []]);
      assert.ok(busy.is_processing && busy.id_task > 0);
      for (const name of [
        "temperature",
        "top_k",
        "mirostat",
        "mirostat_tau",
        "seed",
        "n_predict",
        "n_probs",
        "ignore_eos",
      ]) {
        assert.equal(busy.params[name], (asked as Members)[name], name);
      }
      const [next] = busy.next_token;
      assert.ok(next!.has_next_token && next!.n_decoded > 0);
      assert.equal(next!.n_decoded + next!.n_remain, 1500);
      assert.doesNotMatch(JSON.stringify(busy), /Once|secret/);
      controller.abort();
      await whenIdle(engine);
      assert.deepEqual((await slots())[1]!.params, {});
    },
  );

  test("an erased slot holds nothing, and the same request is evaluated anew to the same text", async () => {
    const text = async () =>
      (await post("/v1/chat/completions", say).expect(200)).body.choices[0].message.content as string;
    const fresh = await text();
    assert.ok((await usage()).prompt_tokens_details.cached_tokens > 0);
    for (const { id, n_prompt_tokens_cache: held } of await slots()) {
      const { body } = await post(`/slots/${id}?action=erase`, {}).expect(200);
      assert.deepEqual(body, { id_slot: id, n_erased: held });
    }
    assert.deepEqual(
      (await slots()).map((slot) => slot.n_prompt_tokens_cache),
      [0, 0],
    );
    assert.equal((await usage()).prompt_tokens_details.cached_tokens, 0);
    assert.equal(await text(), fresh);
    await post("/slots/0?action=erase", {}).expect(200);
    assert.equal(await text(), fresh);
  });

  test(
    "erasing a busy slot waits until it is free, and nobody else for that",
    { skip: skipWithoutStreams },
    async (t) => {
      const { url } = await listen(t, appOf(engine));
      const controller = new AbortController();
      const body = JSON.stringify({ ...endless, id_slot: 0 });
      const response = await fetch(`${url}/completion`, { method: "POST", body, signal: controller.signal });
      await response.body!.getReader().read();
      let isErased = false;
      const erase = async () => {
        const answer = await fetch(`${url}/slots/0?action=erase`, { method: "POST" });
        isErased = true;
        return (await answer.json()) as { n_erased: number };
      };
      const erasing = erase();
      await sleep(50);
      assert.equal(isErased, false);
      assert.equal(
        (await post("/v1/chat/completions", say).expect(200)).body.choices[0].message.content,
        "This is a test.",
      );
      controller.abort();
      assert.ok((await erasing).n_erased > 0);
    },
  );

  test("slots that are not there, other actions, saving and restoring are refused by name", async () => {
    for (const [path, status, code, param] of [
      ["/slots/2?action=erase", 400, "invalid_value", "id"],
      ["/slots/x?action=erase", 400, "invalid_value", "id"],
      ["/slots/0", 400, "invalid_value", "action"],
      ["/slots/0?action=dance", 400, "invalid_value", "action"],
      ["/slots/0?action=save", 501, "not_supported", null],
      ["/slots/0?action=restore", 501, "not_supported", null],
    ] as const) {
      const { error } = (await post(path, { filename: "x" }).expect(status)).body as { error: Members };
      assert.deepEqual([error["code"], error["param"]], [code, param], path);
    }
  });

  test(
    "a client that leaves while its grammar is compiled holds no slot, and the compilation is bounded",
    { skip: skipWithoutStreams },
    async (t) => {
      const { url } = await listen(t, appOf(engine));
      const words = Array.from(
        { length: 1500 },
        (_, index) => `rule${index} ::= "word${index}" [a-z]{1,20} (rule${(index + 1) % 1500})?`,
      );
      const grammar = ["root ::= rule0", ...words].join("\n");
      const controller = new AbortController();
      const begun = performance.now();
      const asked = fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        body: JSON.stringify({ ...say, max_tokens: 2000, grammar }),
        signal: controller.signal,
      });
      await sleep(5);
      controller.abort();
      await assert.rejects(asked);
      await whenIdle(engine);
      assert.equal((await fetch(`${url}/health`)).status, 200);
      // The abort is seen when the compilation is over, and what follows it is one batch at most.
      assert.ok(performance.now() - begun < 5_000, `${performance.now() - begun} ms`);
    },
  );
});
