import assert from "node:assert/strict";

import { PATH, say, choicesOf, messageOf } from "./chat-answers.ts";
import type { Members } from "./client.ts";
import { refuses, section } from "./checks.ts";

const { checks, check } = section("4 chat completions");
export const structure = checks;

check("json_object gives an object", async ({ client }) => {
  for (const seed of [1, 2, 3]) {
    const answer = await client.ask(PATH, {
      ...say,
      response_format: { type: "json_object" },
      temperature: 1,
      seed,
      max_tokens: 300,
    });
    if (choicesOf(answer)[0]!.finish_reason === "stop") assert.match(messageOf(answer).content!.trim(), /^\{/);
  }
});
const person = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 12 },
    age: { type: "integer", minimum: 0, maximum: 150 },
    tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
  },
  required: ["name", "age", "tags"],
  additionalProperties: false,
};
check("json_schema is held at every temperature, for each choice, in both spellings", async ({ client }) => {
  for (const form of [
    { response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema: person } } },
    { json_schema: person },
  ]) {
    for (const temperature of [0, 1, 2]) {
      const answer = await client.ask(PATH, { ...say, ...form, temperature, seed: 5, n: 2, max_tokens: 300 });
      for (const { finish_reason: reason, message } of choicesOf(answer)) {
        if (reason !== "stop") continue;
        const { name, age, tags } = JSON.parse(message.content!) as { name: string; age: number; tags: string[] };
        assert.ok(name.length <= 12 && Number.isInteger(age) && age <= 150 && tags.length <= 2);
      }
    }
  }
});
check("schemas at the top may be arrays and scalars, recursive, with patterns and formats", async ({ client }) => {
  const schemas: Members[] = [
    { type: "array", items: { type: "boolean" }, minItems: 1, maxItems: 3 },
    { enum: ["red", 3, null] },
    { const: { a: [1] } },
    { type: ["string", "null"], maxLength: 5 },
    {
      $ref: "#/$defs/t",
      $defs: {
        t: {
          type: "object",
          properties: { n: { anyOf: [{ $ref: "#/$defs/t" }, { type: "null" }] } },
          required: ["n"],
          additionalProperties: false,
        },
      },
    },
    { type: "string", pattern: "^[a-z]{2}-\\d{3}$" },
    { type: "string", format: "date" },
    { type: "string", format: "uuid" },
    {
      allOf: [
        { type: "object", properties: { a: { const: 1 } }, required: ["a"] },
        { type: "object", properties: { b: { const: 2 } }, required: ["b"] },
      ],
    },
    { type: "array", prefixItems: [{ const: 1 }, { const: "x" }], items: false, minItems: 2 },
    { type: "integer", exclusiveMinimum: 3, maximum: 5 },
  ];
  for (const schema of schemas) {
    const answer = await client.ask(PATH, { ...say, json_schema: schema, temperature: 1, seed: 4, max_tokens: 300 });
    if (choicesOf(answer)[0]!.finish_reason === "stop") JSON.parse(messageOf(answer).content!);
  }
});
check("schemas that cannot be are refused at their place", async ({ client }) => {
  const format = (schema: unknown, more: Members = {}) => ({
    ...say,
    response_format: { type: "json_schema", json_schema: { name: "x", schema, ...more } },
  });
  for (const schema of [{ type: "nothing" }, { $ref: "#/$defs/none" }, 3, "x"]) {
    const error = await refuses(client, PATH, format(schema), {});
    assert.match(String(error["param"]), /^response_format\.json_schema\.schema/);
  }
  await refuses(client, PATH, format({ not: {} }, { strict: true }), {});
  await refuses(
    client,
    PATH,
    { ...say, response_format: { type: "json_schema", json_schema: { schema: {} } } },
    { param: "response_format.json_schema.name" },
  );
  await refuses(client, PATH, { ...say, response_format: { type: "xml" } }, { param: "response_format.type" });
  await refuses(client, PATH, { ...say, response_format: { type: "json_object" }, grammar: 'root ::= "a"' }, {});
});
check("a hostile grammar or schema is refused or answered, and the server lives", async ({ client }) => {
  const deep: Members = Array.from({ length: 60 }).reduce<Members>((inner) => ({ type: "array", items: inner }), {
    type: "null",
  });
  for (const form of [
    { grammar: 'root ::= root "a" | "b"' },
    { grammar: `root ::= "a"{1,1000000}` },
    { json_schema: deep },
    { json_schema: { type: "string", minLength: 1e9 } },
    { json_schema: { type: "string", pattern: "(a+)+(b{1,900}){1,900}" } },
  ]) {
    const { status } = await client.post(PATH, { ...say, ...form, max_tokens: 3 });
    assert.ok(status === 200 || status === 400, String(status));
  }
  assert.equal((await client.get("/health")).status, 200);
});
