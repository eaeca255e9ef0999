// Removes what earlier builds left, so that a deleted source file cannot live on in dist/. Not under a running command.
import { rmSync } from "node:fs";

import { runningCommands } from "../bin/running.js";

const running = runningCommands();
if (running.length > 0) {
  const which = running.length === 1 ? `process ${running[0]}` : `processes ${running.join(", ")}`;
  console.error(`A pinference command runs from this folder's dist (${which}): stop it, then build.`);
  process.exit(1);
}
rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
