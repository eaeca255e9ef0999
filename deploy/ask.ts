import { createInterface } from "node:readline/promises";

/** Asks the person at the terminal; undefined where there is none. Anything but a yes is a no. */
export async function askYesOrNo(question: string, signal: AbortSignal): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`  ${question} [y/N] `, { signal })).trim());
  } finally {
    terminal.close();
  }
}
