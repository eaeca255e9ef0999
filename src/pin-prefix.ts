/**
 * Evaluates a system prompt and writes the state for a model's volume, as a process of its own: the arithmetic is chosen
 * once in a process. Reads a request as JSON from standard input, writes the header as JSON to standard output.
 */
import { json } from "node:stream/consumers";

import { computePrefix, type PrefixRequest } from "./engine/compute-prefix.ts";
import { describeError } from "./log.ts";

try {
  process.stdout.write(`${JSON.stringify(await computePrefix((await json(process.stdin)) as PrefixRequest))}\n`);
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}
