import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test, before, after } from "node:test";

import { toBaseUrl } from "../../deploy/client/endpoint.ts";
import { eventOf, runCommand } from "../support/commands.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { UpProcess } from "../support/up-process.ts";

const scratch = scratchDirectory();

for (const mode of ["streaming", "as the network"] as const) {
  describe(`a program on a node that answers ${mode}`, () => {
    let up: UpProcess;
    let url = "";
    before(async () => {
      up = new UpProcess(join(scratch, "home"), ["demo", ...(mode === "streaming" ? [] : ["--as-network"])]);
      url = (await up.ready()).models[0]!.baseUrl;
    });
    after(() => up.interrupt());

    test("chat answers line after line, and remembers what was said", async () => {
      const input = "My name is Ada.\nWhat is my name?\n/new\nSay this is a test\n";
      const done = await runCommand(["chat", url], {}, { input });
      assert.equal(done.code, 0, done.stderr);
      const answers = done.events.flatMap((event) => (event.event === "answer" ? [event] : []));
      assert.equal(answers.length, 3);
      assert.match(answers[1]!.text, /Ada/);
      assert.equal(answers[2]!.text, "This is a test.");
      assert.ok(answers.every(({ tokens }) => (tokens ?? 0) > 0));
    });

    test("bench tells first token and rates for each number of clients", async () => {
      const done = await runCommand(["bench", url, "--clients", "1,2", "--tokens", "16", "--rounds", "1"], {});
      assert.equal(done.code, 0, done.stderr);
      const lines = done.events.flatMap((event) => (event.event === "bench" ? [event] : []));
      assert.deepEqual(
        lines.map(({ clients, requests, failed }) => [clients, requests, failed]),
        [
          [1, 1, 0],
          [2, 2, 0],
        ],
      );
      assert.ok(lines.every(({ firstTokenMs, totalTokensPerSecond }) => firstTokenMs > 0 && totalTokensPerSecond > 0));
    });
  });
}

test("the page's address and the base URL mean the same program", () => {
  for (const text of ["http://h:1/vm/abc", "http://h:1/vm/abc/", "http://h:1/vm/abc/v1", "http://h:1/vm/abc/v1/"]) {
    assert.equal(toBaseUrl(text), "http://h:1/vm/abc/v1");
  }
  assert.throws(() => toBaseUrl("vm/abc"), { code: "usage" });
});

test("a program that does not answer, and no program at all, are said so", async () => {
  const nobody = await runCommand(["chat", "http://127.0.0.1:1/vm/x/"], {});
  assert.match(eventOf(nobody, "error").message, /does not answer: it cannot be reached/);
  assert.equal((await runCommand(["chat"], {})).code, 2);
  assert.equal((await runCommand(["bench", "http://127.0.0.1:1/", "--clients", "0"], {})).code, 2);
});

test("a program that starts is waited for", async (t) => {
  let asked = 0;
  const server = createServer((request, response) => {
    asked += 1;
    response.setHeader("content-type", "application/json");
    if (asked <= 2) response.writeHead(503, { "retry-after": "0" }).end('{"error":{"message":"Loading model"}}');
    else if (request.url?.endsWith("/models")) response.end('{"object":"list","data":[{"id":"late"}]}');
    else
      response
        .writeHead(400)
        .end('{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":null}}');
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const done = await runCommand(["chat", url], {}, { input: "Hi\n" });
  assert.match(eventOf(done, "error").message, /No\./);
  assert.equal(asked, 4);
});
