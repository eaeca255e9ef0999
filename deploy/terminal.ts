import { createInterface } from "node:readline";

import type { Terminal } from "./commands/parts.ts";

/** Standard input, line by line, and standard output. */
export function openTerminal(): Terminal {
  const isInteractive = process.stdin.isTTY && process.stdout.isTTY;
  const lines = createInterface({ input: process.stdin, ...(isInteractive && { output: process.stdout }) });
  const arrived: string[] = [];
  let waiting: ((line: string | undefined) => void) | undefined;
  let ended = false;
  const give = (line: string | undefined) => {
    const resolve = waiting;
    waiting = undefined;
    if (resolve === undefined) return false;
    resolve(line);
    return true;
  };
  lines.on("line", (line) => {
    if (!give(line)) arrived.push(line);
  });
  lines.on("close", () => {
    ended = true;
    give(undefined);
  });
  // While lines are read from a terminal, its Ctrl-C comes here and not as a signal.
  lines.on("SIGINT", () => process.emit("SIGINT"));
  return {
    isInteractive,
    async ask(prompt, signal) {
      signal.throwIfAborted();
      if (arrived.length > 0) return arrived.shift();
      if (ended) return undefined;
      if (isInteractive) {
        lines.setPrompt(prompt);
        lines.prompt();
      }
      return new Promise((resolve, reject) => {
        const leave = () => {
          waiting = undefined;
          reject(signal.reason as Error);
        };
        signal.addEventListener("abort", leave, { once: true });
        waiting = (line) => {
          signal.removeEventListener("abort", leave);
          resolve(line);
        };
      });
    },
    write: (text) => void process.stdout.write(text),
    onInterrupt(callback) {
      const usual = process.listeners("SIGINT");
      process.removeAllListeners("SIGINT");
      process.on("SIGINT", callback);
      return () => {
        process.removeListener("SIGINT", callback);
        for (const listener of usual) process.on("SIGINT", listener as () => void);
      };
    },
    close: () => lines.close(),
  };
}
