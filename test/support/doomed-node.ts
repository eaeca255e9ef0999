/** A local node that prints its data directory and the process id of its program, and waits to be killed. */
import type { TestContext } from "node:test";

import { startPrograms } from "./local-programs.ts";

const { publish, url, dataDir } = await startPrograms({ after: () => {} } as unknown as TestContext);
const response = await fetch(url(publish(), "/pid"));
const { pid } = (await response.json()) as { pid: number };
process.stdout.write(`${dataDir}\n${pid}\n`);
