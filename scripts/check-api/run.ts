import { chat } from "./chat.ts";
import type { Check, Model } from "./checks.ts";
import { Client, type Members } from "./client.ts";
import { messages } from "./messages.ts";
import { lists } from "./lists.ts";
import { native } from "./native.ts";
import { responses } from "./responses.ts";
import { routing } from "./routing.ts";
import { runtime } from "./runtime.ts";
import { sampling } from "./sampling.ts";
import { structure } from "./structure.ts";
import { text } from "./text.ts";
import { tools } from "./tools.ts";

const CHECKS: readonly Check[] = [
  ...routing,
  ...chat,
  ...structure,
  ...tools,
  ...text,
  ...sampling,
  ...lists,
  ...native,
  ...responses,
  ...messages,
  ...runtime,
];

export interface CheckOptions {
  /** Through a compute node of the network, or a local node that does as they do. */
  readonly asNetwork?: boolean;
  /** Only checks whose section or rule contains this. */
  readonly only?: string;
  readonly report?: (check: Check, failure: unknown) => void;
}

export interface Score {
  readonly passed: number;
  readonly failures: readonly { readonly check: Check; readonly failure: unknown }[];
  /** Rules that a compute node does not let hold, each with its reason in `lost`. */
  readonly leftOut: readonly Check[];
}

/** One check after the other against a server that is ready. */
export async function checkApi(
  base: string,
  { asNetwork = false, only = "", report }: CheckOptions = {},
): Promise<Score> {
  const client = new Client(base, asNetwork);
  const model = await readModel(client);
  const named = CHECKS.filter(({ section, rule }) => `${section} ${rule}`.includes(only));
  const leftOut = named.filter(({ lost }) => asNetwork && lost !== undefined);
  const wanted = named.filter((check) => !leftOut.includes(check));
  const failures: { check: Check; failure: unknown }[] = [];
  for (const check of wanted) {
    let failure: unknown;
    try {
      await check.run({ client, model });
    } catch (error) {
      failure = error;
      failures.push({ check, failure });
    }
    report?.(check, failure);
  }
  return { passed: wanted.length - failures.length, failures, leftOut };
}

async function readModel(client: Client): Promise<Model> {
  const { json, text: answer } = await client.get("/v1/models");
  const [first] = (json as { data?: (Members & { meta: Record<string, number> })[] } | undefined)?.data ?? [];
  if (first === undefined) throw new Error(`no model is served at ${client.base}: ${answer.slice(0, 200)}`);
  const { n_ctx: contextLength = 4096, n_vocab: vocabularySize = 0, n_embd: embeddingLength = 0 } = first.meta;
  return { id: String(first["id"]), contextLength, vocabularySize, embeddingLength };
}
