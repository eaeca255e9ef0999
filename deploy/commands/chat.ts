import { CodedError } from "../../src/domain/errors.ts";
import type { Endpoint, Message } from "../client/endpoint.ts";
import { command, type CommandContext } from "./command.ts";
import type { Terminal } from "./parts.ts";

const HELP = "  /new begins anew, /system TEXT sets the system prompt, /exit or Ctrl-D ends; Ctrl-C stops an answer\n";

export const ENDPOINT_OPTIONS = {
  "api-key": { type: "string", value: "KEY", help: "where the program wants one (default PINFERENCE_API_KEY)" },
} as const;

export const chat = command({
  name: "chat",
  summary: "Talk to a deployed model in the terminal",
  positionals: { name: "URL", help: "of the program: https://<gateway>/vm/<item hash>/" },
  options: {
    ...ENDPOINT_OPTIONS,
    system: { type: "string", value: "TEXT", help: "the system prompt" },
    "max-tokens": { type: "integer", value: "N", help: "tokens of an answer", min: 1, max: 1_000_000 },
  },
  examples: [
    "pinference chat http://127.0.0.1:4020/vm/<item hash>/",
    "echo 'Say this is a test' | pinference chat http://127.0.0.1:4020/vm/<item hash>/",
  ],
  async run(options, urls, context) {
    const endpoint = await openOnly(urls, options["api-key"], context);
    const terminal = context.parts.openTerminal();
    // A program that reads wants events and nothing else.
    const write = context.out.json ? () => undefined : (text: string) => terminal.write(text);
    try {
      if (terminal.isInteractive) {
        const how = endpoint.isBuffered ? "this host holds answers back, so they are read as they grow" : "streaming";
        write(`  ${endpoint.model} (${how})\n${HELP}`);
      }
      await converse(endpoint, terminal, write, options.system, options["max-tokens"], context);
    } finally {
      terminal.close();
    }
  },
});

/** Errors: `usage`, those of `Parts.endpoint`. */
export async function openOnly(
  urls: readonly string[],
  apiKey: string | undefined,
  { env, parts }: CommandContext,
): Promise<Endpoint> {
  const [url, ...others] = urls;
  if (url === undefined || others.length > 0) throw new CodedError("usage", "give the address of one program");
  return parts.endpoint(url, apiKey ?? (env["PINFERENCE_API_KEY"] || undefined));
}

async function converse(
  endpoint: Endpoint,
  terminal: Terminal,
  write: (text: string) => void,
  system: string | undefined,
  maxTokens: number | undefined,
  { signal, out }: CommandContext,
): Promise<void> {
  const beginning = (text: string | undefined): Message[] =>
    text === undefined || text === "" ? [] : [{ role: "system", content: text }];
  let messages = beginning(system);
  for (;;) {
    const line = await terminal.ask("> ", signal);
    if (line === undefined || line.trim() === "/exit") return;
    if (line.trim() === "") continue;
    if (line.trim() === "/new") messages = messages.filter(({ role }) => role === "system");
    else if (line.startsWith("/system")) messages = beginning(line.slice("/system".length).trim());
    else if (/^\/\w+$/.test(line.trim())) write(HELP);
    else {
      messages.push({ role: "user", content: line });
      const text = await answer(endpoint, messages, { terminal, write, maxTokens, signal, out });
      messages.push({ role: "assistant", content: text });
    }
  }
}

interface AnswerTools {
  readonly terminal: Terminal;
  readonly write: (text: string) => void;
  readonly maxTokens: number | undefined;
  readonly signal: AbortSignal;
  readonly out: CommandContext["out"];
}

/** Shows an answer as it comes and returns its text, whole or as far as it came. */
async function answer(
  endpoint: Endpoint,
  messages: readonly Message[],
  { terminal, write, maxTokens, signal, out }: AnswerTools,
): Promise<string> {
  const startedAt = performance.now();
  const stop = new AbortController();
  const listenAgain = terminal.isInteractive ? terminal.onInterrupt(() => stop.abort()) : undefined;
  const texts = { text: "", thinking: "" };
  let tokens: number | undefined;
  const onWait = (reason: string) => out.emit({ event: "note", message: `waiting: ${reason}` });
  try {
    const either = AbortSignal.any([signal, stop.signal]);
    const pieces = endpoint.answer(messages, { maxTokens, signal: either, onWait });
    for (;;) {
      const { done, value } = await pieces.next();
      if (done === true) {
        tokens = value.completionTokens;
        if (value.isCut) write(" […]");
        break;
      }
      texts[value.kind] += value.text;
      write(value.text);
    }
  } catch (error) {
    if (!stop.signal.aborted || signal.aborted) throw error;
    write(" [stopped]");
  } finally {
    listenAgain?.();
  }
  write("\n");
  out.emit({ event: "answer", ...texts, tokens, ms: performance.now() - startedAt });
  return texts.text;
}
