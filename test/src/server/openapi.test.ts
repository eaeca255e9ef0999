import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import supertest from "supertest";

import { FakeEngine } from "../../support/fake-engine.ts";
import { appOf } from "../../support/server.ts";

interface Document {
  readonly openapi: string;
  readonly info: { readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>> & { readonly "x-aliases"?: string[] }>>;
  readonly components: { readonly schemas: Readonly<Record<string, { properties: Record<string, unknown> }>> };
}
interface Routed {
  readonly router: { readonly stack: readonly { readonly route?: { readonly path: string | string[] } }[] };
}

async function openApi(): Promise<Document> {
  const { body } = await supertest(appOf(new FakeEngine())).get("/openapi.json").expect(200);
  return body as Document;
}

test("the document describes every route that is served, and serves every route that it describes", async () => {
  const app = appOf(new FakeEngine());
  const { paths } = await openApi();
  const described = Object.entries(paths).flatMap(([path, item]) => [path, ...(item["x-aliases"] ?? [])]);
  const served = (app as unknown as Routed).router.stack.flatMap(({ route }) => route?.path ?? []);
  const spelled = served.map((path) => path.replace(/[*:](id|name)/, "{$1}"));
  assert.deepEqual([...new Set(spelled)].sort(), described.sort());
  for (const [path, item] of Object.entries(paths)) {
    const { headers } = await supertest(app)
      .patch(path.replace(/\{\w+\}/, "tiny"))
      .expect(405);
    const methods = headers["allow"]!.split(", ").filter((method) => !["HEAD", "OPTIONS"].includes(method));
    const told = ["get", "post", "delete"].filter((method) => method in item).map((method) => method.toUpperCase());
    assert.deepEqual(told, methods, path);
  }
});

test("bodies are described by the tables that validate them", async () => {
  const { openapi, info, components } = await openApi();
  assert.match(openapi, /^3\.1\./);
  const root = new URL("../../../../", import.meta.url);
  const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };
  assert.equal(info.version, version);
  const { properties } = components.schemas["ChatRequest"]!;
  assert.deepEqual(properties["temperature"], {
    type: "number",
    minimum: 0,
    maximum: 2,
    default: 0.8,
    description: "0 is greedy",
    "x-use": "honoured",
  });
  assert.ok("prompt" in components.schemas["CompletionRequest"]!.properties);
});
