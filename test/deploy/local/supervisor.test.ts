import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { get, type IncomingMessage, request as httpRequest } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import supertest from "supertest";

import { CodedError } from "../../../src/domain/errors.ts";
import { parseItemHash } from "../../../src/domain/hash.ts";
import { hostLabel } from "../../../deploy/local/routing.ts";
import { isAlive, startPrograms } from "../../support/local-programs.ts";

async function open(url: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => get(url, { headers, agent: false }, resolve).once("error", reject));
}

async function json(url: string): Promise<Record<string, unknown>> {
  return (await fetch(url)).json() as Promise<Record<string, unknown>>;
}

async function eventually(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await isTrue()) return;
    await delay(20);
  }
  assert.fail(`never: ${what}`);
}

const absent = parseItemHash("ab".repeat(32));

test("both URL forms give the program the same path", async (t) => {
  const { node, publish, url, codeRef } = await startPrograms(t);
  const program = publish();
  const label = hostLabel(program) ?? "";
  const byPath = await fetch(url(program, "/v1/models?a=%2F"));
  assert.equal(((await byPath.json()) as { url: string }).url, "/v1/models?a=%2F");
  assert.equal(byPath.headers.get("aleph-program-itemhash"), program);
  assert.equal(byPath.headers.get("aleph-program-code-ref"), codeRef);
  assert.match(byPath.headers.get("server") ?? "", /^aleph-vm\/.+-local$/);

  for (const host of [`${label}.localhost`, `${label.toUpperCase()}.aleph.example:80`]) {
    const { body } = await supertest(node.url).get("/v1/models?a=%2F").set("host", host).expect(200);
    assert.equal(body.url, "/v1/models?a=%2F");
    assert.ok(body.headers.includes(host));
  }
  assert.equal((await json(url(program, ""))).url, "/");
});

test("the program finds its volumes at their mount points", async (t) => {
  const { publish, url } = await startPrograms(t);
  assert.deepEqual(await json(url(publish(), "/mounts")), { code: ["package.json", "src"], model: "weights" });
});

test("a stream arrives as it is sent", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  await json(url(program, "/pid"));
  const response = await open(url(program, "/stream"));
  const chunks: { text: string; at: number }[] = [];
  for await (const chunk of response) chunks.push({ text: String(chunk), at: performance.now() });
  assert.equal(chunks.map(({ text }) => text).join(""), "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: [DONE]\n\n");
  assert.ok(chunks.length >= 4, `${chunks.length} chunks`);
  const span = (chunks.at(-1)?.at ?? 0) - (chunks[0]?.at ?? 0);
  assert.ok(span > 250, `first to last chunk in ${span} ms`);
});

test("bodies and answers pass unchanged: methods, 404, cookies, chunked uploads, more than 1 MiB", async (t) => {
  const { node, publish, url } = await startPrograms(t);
  const program = publish();
  const path = `/vm/${program}`;
  const client = supertest(node.url);
  const notFound = await client.get(`${path}/not-found`).expect(404);
  assert.deepEqual(notFound.body, { error: { code: "model_not_found" } });
  assert.equal(notFound.headers["access-control-allow-origin"], "*");

  const headers = await client.get(`${path}/headers`).expect(200);
  assert.deepEqual(headers.headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(headers.headers["vary"], "Origin");
  assert.match(headers.headers["server"] ?? "", /-local$/);

  for (const method of ["OPTIONS", "POST", "PUT", "PATCH", "DELETE"]) {
    const echoed = (await (await fetch(url(program, "/echo"), { method })).json()) as Record<string, unknown>;
    assert.equal(echoed["method"], method);
    assert.equal(echoed["bytes"], 0);
  }
  await client.head(`${path}/echo`).expect(200);
  await client.get(`${path}/empty`).expect(204);

  const large = await client.post(`${path}/echo`).type("text/plain").send("x".repeat(3_000_000)).expect(200);
  assert.equal(large.body.bytes, 3_000_000);
  const chunked = httpRequest(url(program, "/echo"), { method: "DELETE", headers: { "transfer-encoding": "chunked" } });
  chunked.write("abc");
  setTimeout(() => chunked.end("def"), 30);
  const [response] = (await new Promise((resolve) => chunked.once("response", (...got) => resolve(got)))) as [
    IncomingMessage,
  ];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  assert.equal((JSON.parse(text) as { body: string }).body, "abcdef");
});

test("a request body reaches the program while it is still being sent", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  const upload = httpRequest(url(program, "/hang"), { method: "POST", headers: { "content-length": "10" } });
  upload.on("error", () => {});
  upload.write("12345");
  await delay(300);
  upload.destroy();
  await eventually(
    "the program sees the upload break off",
    async () => (await json(url(program, "/aborted"))).aborted === 1,
  );
});

test("a client that leaves ends the program's request at once", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  const response = await open(url(program, "/stream-then-hang"));
  response.destroy();
  await eventually("the program sees it", async () => (await json(url(program, "/aborted"))).aborted === 1);
});

test("a slow client slows the program down instead of filling memory", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  const bytes = 64 * 1024 * 1024;
  const response = await open(url(program, `/big?bytes=${bytes}`));
  response.pause();
  await delay(400);
  const { writtenBytes } = await json(url(program, "/aborted"));
  assert.ok(
    (writtenBytes as number) < bytes / 2,
    `${writtenBytes as number} bytes written to a client that reads nothing`,
  );
  let read = 0;
  for await (const chunk of response) read += (chunk as Buffer).length;
  assert.equal(read, bytes);
});

test("requests that arrive together share one start", async (t) => {
  const programs = await startPrograms(t);
  const startsFile = join(programs.dataDir, "starts");
  const program = programs.publish({ variables: { PINFERENCE_TEST_STARTS: startsFile } });
  const answers = await Promise.all(Array.from({ length: 8 }, () => json(programs.url(program, "/pid"))));
  assert.equal(new Set(answers.map(({ pid }) => pid)).size, 1);
  assert.equal(readFileSync(startsFile, "utf8").trim().split("\n").length, 1);
});

test("a program killed before its answer gives 502, and the next request a fresh one", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  const { pid } = await json(url(program, "/pid"));
  const answer = fetch(url(program, "/hang"), { method: "POST", body: "{}" });
  await delay(100);
  process.kill(pid as number, "SIGKILL");
  const response = await answer;
  assert.equal(response.status, 502);
  assert.deepEqual(await response.json(), {
    error: {
      message:
        "The program ended the request without an answer: it was ended by SIGKILL. The next request starts it again.",
      type: "server_error",
      param: null,
      code: "program_failed",
    },
  });
  const next = await json(url(program, "/pid"));
  assert.notEqual(next.pid, pid);
});

test("a program killed in a stream ends it with an error event, and the next request meets a fresh one", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  const response = await open(url(program, "/stream-then-hang"));
  let text = "";
  let pid = 0;
  for await (const chunk of response) {
    text += String(chunk);
    if (pid !== 0) continue;
    pid = Number(/data: (\d+)/.exec(text)?.[1]);
    process.kill(pid, "SIGKILL");
  }
  const last = text.trim().split("\n\n").at(-1) ?? "";
  const { error } = JSON.parse(last.replace(/^data: /, "")) as { error: { code: string; message: string } };
  assert.equal(error.code, "program_failed");
  assert.match(error.message, /SIGKILL/);
  assert.notEqual((await json(url(program, "/pid"))).pid, pid);
});

test("another answer that breaks off looks broken, not complete", async (t) => {
  const { publish, url } = await startPrograms(t);
  const program = publish();
  const { pid } = await json(url(program, "/pid"));
  const response = await open(url(program, "/text-then-hang"));
  process.kill(pid as number, "SIGKILL");
  await assert.rejects(async () => {
    for await (const _ of response);
  }, /aborted/);
});

test("a program that crashes at each start is an error each time, with its last lines, and leaves nothing", async (t) => {
  const programs = await startPrograms(t);
  const startsFile = join(programs.dataDir, "starts");
  const program = programs.publish({
    variables: { PINFERENCE_TEST_CRASH: "at-start", PINFERENCE_TEST_STARTS: startsFile },
  });
  for (let at = 1; at <= 3; at += 1) {
    const response = await fetch(programs.url(program, "/pid"));
    const { error } = (await response.json()) as { error: { message: string; code: string } };
    assert.equal(response.status, 500);
    assert.equal(error.code, "program_failed");
    assert.match(error.message, /ended with status 3 .*the model file is damaged/s);
    assert.equal(readFileSync(startsFile, "utf8").trim().split("\n").length, at);
  }
  for (const pid of readFileSync(startsFile, "utf8").trim().split("\n")) assert.equal(isAlive(Number(pid)), false);
});

test("an idle program is stopped, a busy one is not, and the next request starts it again", async (t) => {
  const { node, publish, url } = await startPrograms(t, { idleMs: 200 });
  const program = publish();
  const { pid } = await json(url(program, "/pid"));
  assert.deepEqual(await json(url(program, "/slow?ms=500")), { slept: true });
  assert.equal(isAlive(pid as number), true);
  await eventually("the idle program ends", () => !isAlive(pid as number));
  assert.equal((await node.programs())[0]?.state, "cold");
  assert.notEqual((await json(url(program, "/pid"))).pid, pid);
});

test("errors say what to do", async (t) => {
  const { node, publish, modelRef, loseFile } = await startPrograms(t, {
    checkStrict: ({ content }) => {
      if ((content["metadata"] as { name: string }).name === "lax") {
        throw new CodedError("message_invalid", "code.use_latest is not spelled out");
      }
    },
  });
  const client = supertest(node.url);
  const malformed = await client.get("/vm/nonsense/v1").expect(400);
  assert.equal(malformed.body.error.message, "Invalid message reference: nonsense");
  const unknown = await client.get(`/vm/${absent}/v1/models`).expect(404);
  assert.match(unknown.body.error.message, /no PROGRAM message .* Open \/ on this node for the list/);
  assert.equal(unknown.body.error.code, "not_found");
  const elsewhere = await client.get("/v1/models").expect(404);
  assert.match(elsewhere.body.error.message, /Programs are served at \/vm\/<item hash>\//);
  await client.get("/").set("host", "re-bound.example").expect(404);
  const lax = await client.get(`/vm/${publish({ metadata: { name: "lax" } })}/`).expect(500);
  assert.match(lax.body.error.message, /A CRN would refuse .*code\.use_latest is not spelled out/);
  const zip = await client.get(`/vm/${publish({ code: { encoding: "zip" } })}/`).expect(500);
  assert.match(zip.body.error.message, /only squashfs/);
  const escape = await client.get(`/vm/${publish({ code: { entrypoint: "../../x.js" } })}/`).expect(500);
  assert.match(escape.body.error.message, /not a path inside the code volume/);
  const through = publish({ volumes: [{ mount: "/opt/code/src", ref: modelRef }] });
  assert.match((await client.get(`/vm/${through}/`).expect(500)).body.error.message, /is taken by \/opt\/code/);
  loseFile(modelRef);
  const lost = await client.get(`/vm/${publish()}/`).expect(500);
  assert.match(lost.body.error.message, /the file of its ref .* is missing/);
});

test("only the operator's programs are started, whoever may publish", async (t) => {
  const programs = await startPrograms(t, { owners: ["0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"] });
  const startsFile = join(programs.dataDir, "starts");
  const variables = { PINFERENCE_TEST_STARTS: startsFile };
  const stranger = programs.publish({ variables, sender: "0x0000000000000000000000000000000000000002" });
  const { body } = await supertest(programs.node.url).get(`/vm/${stranger}/pid`).expect(403);
  assert.equal(body.error.code, "forbidden");
  assert.match(body.error.message, /was signed by 0x0{39}2, and this node runs its operator's programs only/);
  assert.throws(() => readFileSync(startsFile), "nothing was started");
  await supertest(programs.node.url).get(`/vm/${programs.publish()}/pid`).expect(200);
});

test("the node's own page marks the programs of strangers, and does not lead to them", async (t) => {
  const { node, publish } = await startPrograms(t);
  const foreign = publish({ sender: "0x0000000000000000000000000000000000000002", metadata: { name: "theirs" } });
  const page = await supertest(node.url).get("/").set("accept", "text/html").expect(200);
  assert.match(page.text, /<h2>theirs<\/h2>\s+<span class="state foreign">a stranger's/);
  assert.ok(!page.text.includes(`href="/vm/${foreign}/"`));
  const [program] = (await supertest(node.url).get("/").expect(200)).body.programs;
  assert.deepEqual([program.item_hash, program.foreign], [foreign, true]);
});

test("the node's own page lists programs, as HTML for browsers and JSON for tools", async (t) => {
  const { node, publish, url } = await startPrograms(t);
  const program = publish({ metadata: { name: "<b>qwen3</b>" } });
  const client = supertest(node.url);
  const [cold] = (await client.get("/").expect(200)).body.programs;
  assert.deepEqual(cold, {
    item_hash: program,
    name: "<b>qwen3</b>",
    status: "cold",
    url: `${node.url}/vm/${program}`,
    host_url: `http://${hostLabel(program)}.localhost:${new URL(node.url).port}`,
  });
  await json(url(program, "/pid"));
  const page = await client.get("/").set("accept", "text/html,application/xml;q=0.9,*/*;q=0.8").expect(200);
  assert.match(page.headers["content-type"] ?? "", /^text\/html/);
  assert.match(page.text, /&lt;b&gt;qwen3.*\s+<span class="state running">running</);
  assert.ok(page.text.includes(`<code>${node.url}/vm/${program}/v1</code>`));
  assert.ok(page.text.includes(`curl ${node.url}/vm/${program}/v1/chat/completions`));
  assert.doesNotMatch(page.text, /<script|src=|<b>|href="http/);
  publish({ metadata: { name: "newer" } });
  const longer = (await client.get("/").set("accept", "text/html")).text;
  assert.ok(longer.indexOf("newer") < longer.indexOf("qwen3"), "the latest comes first");
  assert.match(longer, /newer<\/a><\/h2>\s+<span class="state cold">starts with its first request</);
  const executions = await client.get("/about/executions/list").expect(200);
  assert.deepEqual(Object.keys(executions.body), [program]);
  assert.match((await client.get("/status/config").expect(200)).body.version, /-local$/);
  await client.get("/status/check/version?reference=1.0.0").expect(200);
  await client.get("/status/check/version?reference=99.0.0").expect(403);
  await client.get("/about/nothing").expect(404);
});
