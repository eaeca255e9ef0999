/** The checks of `npm run check:api -- URL --as-network` against a node that does as the network's nodes do. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { checkApi } from "../../scripts/check-api/run.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

test("through a compute node every rule of the API holds but five, which are named", async (t) => {
  const up = new UpProcess(join(scratchDirectory(), "home"), ["demo", "--as-network"], { longestMs: 280_000 });
  t.after(() => up.interrupt());
  const { baseUrl } = (await up.ready()).models[0]!;
  const { passed, failures, leftOut } = await checkApi(baseUrl, { asNetwork: true });
  assert.deepEqual(
    failures.map(({ check, failure }) => `${check.section}: ${check.rule}: ${String(failure).slice(0, 300)}`),
    [],
  );
  assert.ok(passed >= 345, `${passed} checks`);
  assert.deepEqual(
    leftOut.map(({ rule }) => rule),
    [
      "br is unpacked, other encodings are 415",
      "a body over the limit is 413, packed ones too",
      "a client that leaves frees its slots: streams, whole answers, each of n, several prompts",
      "status, models and tokens are answered while all slots are busy",
      "a prompt of 4 MB is refused within seconds, and others go on meanwhile",
    ],
  );
});
