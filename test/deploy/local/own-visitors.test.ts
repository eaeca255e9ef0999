import assert from "node:assert/strict";
import { test } from "node:test";
import supertest from "supertest";
import { WebSocket } from "ws";

import { foreignVisitor, isLoopback } from "../../../deploy/local/own-visitors.ts";
import { hostLabel } from "../../../deploy/local/routing.ts";
import { startPrograms } from "../../support/local-programs.ts";

test("loopback is what no name server has a say in", () => {
  for (const name of ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"]) assert.ok(isLoopback(name), name);
  for (const name of ["", "0.0.0.0", "10.0.0.1", "::", "localhost.evil.example", "127.0.0.1.nip.io", "notlocalhost"]) {
    assert.ok(!isLoopback(name), name);
  }
});

test("names and pages of others are foreign, whatever they dress up as", () => {
  const visitor = (host: string | undefined, origin?: string) =>
    foreignVisitor("/api/v0/messages", {
      ...(host !== undefined && { host }),
      ...(origin !== undefined && { origin }),
    });
  for (const host of [undefined, "localhost:4020", "127.0.0.1:4020", "[::1]:4020", "LOCALHOST", "localhost.:1"]) {
    assert.equal(visitor(host), undefined, host);
  }
  for (const host of [
    "evil.example:4020",
    "127.0.0.1.evil.example",
    "10.0.0.1:4020",
    "a b",
    "127.0.0.1@evil.example",
    "hello.evil.example",
  ]) {
    assert.equal(visitor(host), `host ${host}`);
  }
  for (const origin of ["http://localhost:5173", "http://127.0.0.1:4020", "http://[::1]:1", "http://x.localhost"]) {
    assert.equal(visitor("localhost:4020", origin), undefined, origin);
  }
  for (const origin of ["https://evil.example", "null", "", "file://", "http://localhost.evil.example"]) {
    assert.equal(visitor("localhost:4020", origin), `a page of ${origin}`);
  }
});

test("a web page reaches programs that it knows the hash of, and nothing of the node", async (t) => {
  for (const asNetwork of [false, true]) {
    const { node, publish } = await startPrograms(t, { asNetwork });
    const program = publish();
    const client = supertest(node.url);
    for (const [name, value] of [
      ["host", "evil.example:4020"],
      ["origin", "https://evil.example"],
    ] as const) {
      assert.doesNotMatch((await client.get("/").set(name, value)).text, new RegExp(program));
      for (const path of ["/api/v0/messages.json", "/ipfs/Qm", "/about/executions/list"]) {
        const { text } = await client.get(path).set(name, value).expect(403);
        assert.match(text, /not for .*evil\.example.*Use localhost/);
      }
      // What a page may send without asking first.
      await client.post("/api/v0/messages").set(name, value).type("text/plain").send("{}").expect(403);
      await client.get(`/vm/${program}/pid`).set(name, value).expect(200);
    }
    await client
      .get("/pid")
      .set("host", `${hostLabel(program)}.evil.example`)
      .expect(200);
    const socket = new WebSocket(`${node.url.replace("http", "ws")}/api/ws0/messages`, {
      origin: "https://evil.example",
    });
    const refused = await new Promise((resolve) => {
      socket.once("unexpected-response", (_request, { statusCode }) => resolve(statusCode));
      socket.once("open", () => resolve("open"));
    });
    assert.equal(refused, 403);
    socket.on("error", () => {}).terminate();
  }
});

test("a node that was opened to others does not look at names", async (t) => {
  const { node } = await startPrograms(t, { host: "0.0.0.0" });
  await supertest(node.url).get("/api/v0/messages.json").set("host", "box.lan").expect(200);
});
