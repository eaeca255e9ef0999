import assert from "node:assert/strict";

import type { Client, Members, Reply } from "./client.ts";

/** One rule of the API. */
export interface Check {
  readonly section: string;
  readonly rule: string;
  /** Why a server that is reached through a compute node of the network can't keep it, where it can't. */
  readonly lost?: string;
  run(context: CheckContext): Promise<void>;
}

export interface CheckContext {
  readonly client: Client;
  /** The served model. */
  readonly model: Model;
}

export interface Model {
  readonly id: string;
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly embeddingLength: number;
}

/** What a section file exports: its checks in order. */
export function section(name: string) {
  const checks: Check[] = [];
  const check = (rule: string, run: Check["run"]) => void checks.push({ section: name, rule, run });
  /** A rule that does not hold through a compute node, and why. */
  const checkDirect = (lost: string, rule: string, run: Check["run"]) =>
    void checks.push({ section: name, rule, lost, run });
  return { checks, check, checkDirect };
}

export function errorOf(reply: Reply): Members {
  const { error } = (reply.json ?? {}) as { error?: Members };
  assert.ok(error !== undefined, `no error object: ${reply.status} ${reply.text.slice(0, 200)}`);
  return error;
}

/** A refusal in OpenAI's shape. */
export async function refuses(
  client: Client,
  path: string,
  body: unknown,
  expected: { readonly status?: number; readonly code?: string | readonly string[]; readonly param?: string | null },
): Promise<Members> {
  const reply = await client.post(path, body);
  const { status = 400, code, param } = expected;
  const shown = `${JSON.stringify(body)?.slice(0, 200)} → ${reply.status} ${reply.text.slice(0, 300)}`;
  assert.equal(reply.status, status, shown);
  const error = errorOf(reply);
  for (const member of ["message", "type", "param", "code"])
    assert.ok(member in error, `${member} is missing: ${shown}`);
  if (code !== undefined) assert.ok([code].flat().includes(error["code"] as string), shown);
  if (param !== undefined) assert.equal(error["param"], param, shown);
  assert.match(String(error["message"]), /^.{10,}/, shown);
  assert.doesNotMatch(String(error["message"]), /\bat .*:\d+:\d+|node_modules|\.ts\b|undefined|\[object/, shown);
  return error;
}

/** Rows of value, code and param: each must be refused. */
export function refusesEach(
  path: string,
  base: Members,
  rows: readonly (readonly [Members, string | readonly string[], string | null])[],
): Check["run"] {
  return async ({ client }) => {
    for (const [members, code, param] of rows) await refuses(client, path, { ...base, ...members }, { code, param });
  };
}

export function hasMembers(object: unknown, names: string): void {
  for (const name of names.split(" ")) {
    assert.ok(Object.hasOwn(object as object, name), `${name} is missing in ${JSON.stringify(object).slice(0, 300)}`);
  }
}

export const user = (content: unknown) => ({ role: "user", content });
export const chatml = (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
