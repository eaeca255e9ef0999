#!/usr/bin/env node
// The command itself is deploy/cli.ts; this file only finds its compiled form.
import { existsSync } from "node:fs";

import { markRunning } from "./running.js";

const cli = new URL("../dist/deploy/cli.js", import.meta.url);
if (!existsSync(cli)) {
  console.error("pinference is not built yet. Run: npm run build");
  process.exit(1);
}
markRunning();
await import(cli.href);
