import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import supertest from "supertest";

import { parseSha256 } from "../../../src/domain/hash.ts";
import { readPageFiles } from "../../../src/server/page-files.ts";
import { FakeEngine } from "../../support/fake-engine.ts";
import { appOf } from "../../support/server.ts";

const MOST_GZIPPED_BYTES = 150_000;
const loading = () => new FakeEngine({ ready: new Promise(() => undefined) });

test("the page is what a request gets, unless it asks for JSON by name", async () => {
  const app = appOf(new FakeEngine());
  for (const accept of ["text/html", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", ""]) {
    const request = supertest(app).get("/");
    if (accept !== "") request.set("Accept", accept);
    const { text } = await request.expect(200).expect("Content-Type", /^text\/html/);
    assert.match(text, /<title>tiny · Pinference<\/title>/);
  }
  await supertest(app).get("/").set("Accept", "application/json, text/plain, */*").expect("Content-Type", /json/);
  const { body } = await supertest(app).get("/").set("Accept", "application/json").expect(200);
  assert.deepEqual(body, {
    model: "tiny",
    base_url: "v1/",
    links: { about: "about.json", models: "v1/models", health: "health" },
  });
});

test("the page's policy lets nothing run but its own files, and no string become markup", async () => {
  const { headers, text } = await supertest(appOf(new FakeEngine())).get("/").set("Accept", "text/html").expect(200);
  const policy = headers["content-security-policy"] ?? "";
  for (const part of ["default-src 'none'", "connect-src 'self'", "trusted-types 'none'", "frame-ancestors 'none'"]) {
    assert.ok(policy.includes(part), part);
  }
  assert.doesNotMatch(policy, /unsafe|https?:|data:|\*/);
  // The one inline script is the one that the policy names.
  const scripts = [...text.matchAll(/<script>(.*?)<\/script>/gs)];
  assert.equal(scripts.length, 1);
  const hash = createHash("sha256").update(scripts[0]![1]!).digest("base64");
  assert.ok(policy.includes(`'sha256-${hash}'`));
  assert.equal(headers["referrer-policy"], "no-referrer");
});

test("all links of the page are relative, and all its files are there and kept for good", async () => {
  const app = appOf(new FakeEngine());
  const { text } = await supertest(app).get("/").set("Accept", "text/html").expect(200);
  const links = [...text.matchAll(/(?:href|src|data-licences)="([^"]+)"/g)].map(([, link]) => link!);
  assert.ok(links.length >= 8);
  for (const link of links) {
    assert.doesNotMatch(link, /^(?:\/|[a-z]+:)/);
    const { headers } = await supertest(app)
      .get(`/vm/${"cafe".repeat(16)}/${link}`)
      .expect(200);
    if (!link.startsWith("assets/")) continue;
    assert.match(headers["cache-control"] ?? "", /immutable/);
    await supertest(app).head(`/${link}`).expect(200);
  }
});

test("a page that has not changed is not sent again", async () => {
  const app = appOf(new FakeEngine());
  const { headers } = await supertest(app).get("/").set("Accept", "text/html").expect(200);
  const again = { Accept: "text/html", "If-None-Match": headers["etag"] ?? "" };
  await supertest(app).get("/").set(again).expect(304);
  const other = await supertest(appOf(loading())).get("/").set(again).expect(200);
  assert.notEqual(other.headers["etag"], headers["etag"]);
});

test("files outside the page's folder are not to be had", async () => {
  const app = appOf(new FakeEngine());
  for (const name of ["../index.html", "..%2Findex.html", "%2e%2e%2fmain.js", "app.js", "constructor"]) {
    await supertest(app).get(`/assets/${name}`).expect(404);
  }
});

test("a model's name is text, whatever it is", async () => {
  const engine = new FakeEngine();
  const id = `"><img src=x onerror=alert(1)>$&</title>{{model}}`;
  Object.defineProperty(engine, "model", { value: { ...engine.model, id } });
  const { text } = await supertest(appOf(engine)).get("/").set("Accept", "text/html").expect(200);
  assert.doesNotMatch(text, /<img/);
  assert.match(text, /<title>&quot;&gt;&lt;img src=x onerror=alert\(1\)&gt;\$&amp;&lt;\/title&gt;/);
});

test("the whole page is at most 150 kB gzipped", () => {
  const { template, assets } = readPageFiles();
  const sizes = [Buffer.from(template), ...[...assets.values()].map(({ content }) => content)].map(
    (content) => gzipSync(content, { level: 6 }).length,
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(total <= MOST_GZIPPED_BYTES, `${total} bytes`);
  assert.ok(total > 20_000, `${total} bytes are too few to be the page`);
});

test("about.json tells what the program's variables say, without a key and while the model loads", async () => {
  const sha256 = (digit: string) => parseSha256(digit.repeat(64));
  const facts = { licence: "MIT", codeSha256: sha256("a"), modelSha256: [sha256("b"), sha256("c")] };
  const apiKeyHashes = [sha256("0")];
  const { body } = await supertest(appOf(new FakeEngine(), { facts, apiKeyHashes })).get("/about.json").expect(200);
  assert.equal(body.status, "ready");
  assert.equal(body.requires_key, true);
  assert.equal(body.model.licence, "MIT");
  assert.equal(body.model.context_length, 4096);
  assert.deepEqual(
    body.volumes.map((volume: { kind: string; sha256: string }) => [volume.kind, volume.sha256[0]]),
    [
      ["code", "a"],
      ["model", "b"],
      ["model", "c"],
    ],
  );
  const early = await supertest(appOf(loading())).get("/about.json").expect(200);
  assert.deepEqual([early.body.status, early.body.progress, early.body.model], ["loading", 0.42, null]);
  const failed = appOf(new FakeEngine({ ready: Promise.reject(new Error("no")) }));
  await new Promise(setImmediate);
  assert.equal((await supertest(failed).get("/about.json").expect(200)).body.status, "failed");
});

test("health tells how far the model is loaded", async () => {
  const { body } = await supertest(appOf(loading())).get("/health").expect(503);
  assert.deepEqual([body.error.code, body.error.progress], ["model_loading", 0.42]);
});
