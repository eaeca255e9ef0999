/** The app over the real engine, for a few seconds of everything that clients do wrong. scripts/fuzz-api.ts goes on longer. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { startEngine } from "../../src/engine/load.ts";
import { fuzz, FUZZ_CONTEXT_LENGTH } from "../support/api-fuzz.ts";
import { demoModelPath } from "../support/demo-model.ts";
import { UNKNOWN_BODIES } from "../support/fuzz-requests.ts";
import { appOf, listen } from "../support/server.ts";

test("whatever clients send or give up, there is an answer, never a fault, and no slot stays busy", async (t) => {
  const engine = startEngine({
    modelPath: demoModelPath,
    modelId: "demo",
    aliases: [],
    contextLength: FUZZ_CONTEXT_LENGTH,
    slots: 3,
    queueLength: 8,
    threads: 1,
  });
  t.after(() => engine.close());
  await engine.ready;
  assert.deepEqual(UNKNOWN_BODIES, [], "every kind of body has a good example to start from");
  const faults: unknown[] = [];
  const log = (event: string, data: unknown) => void (event === "fault" && faults.push(data));
  const { url } = await listen(t, appOf(engine, { log }));
  const statuses = await fuzz({ engine, url, seed: 1, durationMs: 6000, clients: 12 });
  assert.deepEqual(faults, []);
  assert.ok((statuses.get(200) ?? 0) > 20 && (statuses.get(400) ?? 0) > 20, JSON.stringify([...statuses]));
});
