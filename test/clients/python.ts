/** OpenAI's client for Python: one process for all tests, driven by lines of JSON. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

import { pythonWithOpenai } from "../support/python.ts";
import { MAX_TOKENS, WEATHER, type Address, type Client, type ClientSession, type ToolAnswer } from "./client.ts";

const program = fileURLToPath(new URL("../../../test/clients/python/client.py", import.meta.url));
const python = pythonWithOpenai();

class Process {
  readonly #child;
  readonly #lines;

  constructor(path: string) {
    this.#child = spawn(path, [program], { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** One command after the other. */
  async ask(command: object): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("the client has ended");
    const { result, error } = JSON.parse(value) as { result?: unknown; error?: string };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  close(): void {
    this.#child.stdin.end();
  }
}

let running: Process | undefined;
after(() => running?.close());

function open(address: Address, api: "chat" | "responses"): ClientSession {
  const client = (running ??= new Process(python.path));
  const limit = api === "chat" ? "max_completion_tokens" : "max_output_tokens";
  const common = { model: address.model, temperature: 0, [limit]: MAX_TOKENS };
  const ask = (members: object) => client.ask({ base_url: address.baseUrl, api, common, ...members });
  return {
    chat: (question) => ask({ do: "chat", question }) as Promise<string>,
    stream: (question) => ask({ do: "stream", question }) as Promise<string[]>,
    callTool: (question, result, { stream }) =>
      ask({ do: "call_tool", question, result, stream, weather: WEATHER }) as Promise<ToolAnswer>,
    structured: (question) => ask({ do: "structured", question }),
  };
}

function clientOf(name: string, api: "chat" | "responses"): Client {
  return { name, missing: python.missing, open: (address) => open(address, api) };
}

export const pythonChat = clientOf("Python's openai, chat completions", "chat");
export const pythonResponses = clientOf("Python's openai, responses", "responses");
