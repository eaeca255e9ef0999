/** The checks of `npm run check:api` against the real app and the demo model. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { checkApi } from "../../scripts/check-api/run.ts";
import { createOpenApi } from "../../src/openai/openapi.ts";
import { startDemoEngine } from "../support/demo-engine.ts";
import { appOf, listen } from "../support/server.ts";

const servesMessages = "/v1/messages" in (createOpenApi()["paths"] as object);

test("the server keeps every rule of the API", async (t) => {
  const engine = await startDemoEngine({ queueLength: 64 });
  t.after(() => engine.close());
  const { url } = await listen(t, appOf(engine, { bodyLimitBytes: 16 * 1024 * 1024 }));
  const { passed, failures } = await checkApi(url);
  // Routes that this build does not have are not promised by its document either.
  const promised = failures.filter(
    ({ check }) => servesMessages || !/messages|wrong method|openapi/.test(`${check.section} ${check.rule}`),
  );
  assert.deepEqual(
    promised.map(
      ({ check, failure }) =>
        `${check.section}: ${check.rule}: ${failure instanceof Error ? failure.message.slice(0, 300) : "?"}`,
    ),
    [],
  );
  assert.ok(passed >= 300, `${passed} checks`);
});
