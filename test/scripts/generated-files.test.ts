import assert from "node:assert/strict";
import { basename } from "node:path";
import { test } from "node:test";

import { generatedFiles } from "../../scripts/generated-files.ts";

test("the committed generated files are those that the source makes", async () => {
  for (const { path, committed, generated } of await generatedFiles()) {
    assert.ok(committed === generated, `${basename(path)} is out of date: npm run regenerate`);
  }
});
