/** Writes what is made from the source: docs/openapi.json and README.md's table of request fields. */
import { writeFileSync } from "node:fs";

import { generatedFiles } from "./generated-files.ts";

for (const { path, committed, generated } of await generatedFiles()) {
  if (committed === generated) continue;
  writeFileSync(path, generated);
  console.log(`wrote ${path}`);
}
