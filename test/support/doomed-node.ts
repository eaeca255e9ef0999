/** A local node that prints the process id of its program and waits to be killed. */
import type { TestContext } from "node:test";

import { startPrograms } from "./local-programs.ts";

const { publish, url } = await startPrograms({ after: () => {} } as unknown as TestContext);
const response = await fetch(url(publish(), "/pid"));
const { pid } = (await response.json()) as { pid: number };
process.stdout.write(`${pid}\n`);
