/** Refusals are sentences of ours, whatever value stands in whatever place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";

import { schemaOf } from "../../../src/openai/body.ts";
import { BODIES } from "../../../src/openai/openapi.ts";
import { toRefusal } from "../../../src/openai/refusal.ts";
import { GOOD } from "../../support/fuzz-requests.ts";
import { define, ODD } from "../../support/fuzz-values.ts";

/** What the schema library says by itself. */
const NOT_OURS =
  /Invalid input|expected expected|\bundefined\b|Unrecognized|Too (?:big|small)|Invalid (?:string|option)\b/;

type Container = Record<string, unknown>;

/** Every path into a body. */
function pathsInto(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...pathsInto(inner, [...path, key])]);
}

/** The body with another value at a path; undefined leaves the member out. */
function changed(body: object, path: readonly string[], value: unknown): object {
  const copy = structuredClone(body);
  const container = path.slice(0, -1).reduce((inner, key) => inner[key] as Container, copy as Container);
  const key = path.at(-1)!;
  if (value !== undefined) define(container, key, value);
  else if (Array.isArray(container)) container.splice(Number(key), 1);
  else delete container[key];
  return copy;
}

for (const [name, fields] of Object.entries(BODIES)) {
  test(`every refusal of a ${name} says in words of ours what is expected`, () => {
    const schema = z.object(schemaOf(fields));
    let refused = 0;
    for (const good of GOOD[name]!) {
      const paths = [...Object.keys(fields).map((field) => [field]), ...pathsInto(good)];
      for (const path of paths) {
        for (const value of [...ODD, undefined]) {
          const body = changed(good, path, value);
          const { error } = schema.safeParse(body);
          if (error === undefined) continue;
          refused += 1;
          const { message } = toRefusal(body, error.issues[0]!);
          assert.doesNotMatch(message, NOT_OURS, `${path.join(".")} = ${JSON.stringify(value)}`);
        }
      }
    }
    assert.ok(refused > 10);
  });
}
