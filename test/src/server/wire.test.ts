/** What only raw sockets see. */
import assert from "node:assert/strict";
import { connect, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";

import { closeServer, listen } from "../../../src/server/listen.ts";
import { FakeEngine, saying } from "../../support/fake-engine.ts";
import { appOf } from "../../support/server.ts";

async function portOf(t: TestContext): Promise<number> {
  const app = appOf(new FakeEngine({ script: saying("Hel", "lo") }));
  const server = await listen(app, { host: "127.0.0.1", port: 0 }, "https://page.example");
  t.after(() => closeServer(server, 0));
  return (server.address() as AddressInfo).port;
}

/** Everything the server says until it closes the connection. */
function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.setEncoding("utf8").setTimeout(3000, () => socket.destroy(new Error(`still open after ${answer}`)));
    socket.on("data", (chunk: string) => (answer += chunk));
    socket.on("close", () => resolve(answer)).on("error", reject);
  });
}

const body = JSON.stringify({ messages: [{ role: "user", content: "Hi" }], stream: true });
const post = (version: string, headers = "", path = "/v1/chat/completions") =>
  `POST ${path} HTTP/${version}\r\nHost: a\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;

test("a stream ends with its connection where the client asked for that, and stays open where not", async (t) => {
  const port = await portOf(t);
  for (const request of [post("1.1", "Connection: close\r\n"), post("1.0")]) {
    const answer = await exchange(port, request);
    assert.match(answer, /data: \[DONE\]/);
    assert.match(answer, /^connection: close\r$/im);
  }
  await assert.rejects(exchange(port, post("1.1")), /connection: keep-alive[^]*data: \[DONE\]/i);
});

test("a whole URL as the target means its path", async (t) => {
  const answer = await exchange(
    await portOf(t),
    post("1.1", "Connection: close\r\n", "http://any.example/v1/chat/completions?x=1"),
  );
  assert.match(answer, /^HTTP\/1.1 200/);
});

test("an expectation that nobody knows is ignored", async (t) => {
  const answer = await exchange(await portOf(t), post("1.1", "Expect: more\r\nConnection: close\r\n"));
  assert.match(answer, /^HTTP\/1.1 200/);
});

test("what is no HTTP request gets the error object, a request id and the CORS header", async (t) => {
  const port = await portOf(t);
  for (const [request, status, code] of [
    ["nonsense\r\n\r\n", 400, null],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, null],
    [post("1.1", "Transfer-Encoding: chunked\r\n"), 400, null],
    [`GET /health HTTP/1.1\r\nHost: a\r\nX-Long: ${"a".repeat(17_000)}\r\n\r\n`, 431, "request_too_large"],
  ] as const) {
    const answer = await exchange(port, request);
    const [head = "", text = ""] = answer.split("\r\n\r\n");
    assert.match(head, new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(head, /\r\nX-Request-Id: req_\w+\r\nAccess-Control-Allow-Origin: https:\/\/page\.example\r\n/);
    const { error } = JSON.parse(text) as { error: Record<string, unknown> };
    assert.deepEqual(
      { ...error, message: typeof error["message"] },
      { message: "string", type: "invalid_request_error", param: null, code },
    );
  }
});
