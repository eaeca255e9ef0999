import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import supertest from "supertest";

import type { ProcessedMessage } from "../../../deploy/local/store.ts";
import { hostLabel } from "../../../deploy/local/routing.ts";
import { parseItemHash } from "../../../src/domain/hash.ts";
import { isAlive, startPrograms } from "../../support/local-programs.ts";

/** What comes back for these bytes, until the other end has been quiet for a while. */
async function exchange(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let received = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (received += chunk));
  socket.on("error", () => {});
  socket.write(text);
  for (let quiet = 0, seen = -1; quiet < 8; quiet += 1) {
    if (seen !== received.length) quiet = 0;
    if (received === "") quiet = 0;
    seen = received.length;
    await delay(25);
  }
  socket.destroy();
  return received;
}

test("one port serves the messages and the programs", async (t) => {
  const { node, publish } = await startPrograms(t);
  const client = supertest(node.url);
  assert.equal((await client.get("/api/v0/messages.json").buffer(true)).text, "ccn /api/v0/messages.json");
  assert.equal((await client.get("/ipfs/Qm").buffer(true)).text, "ccn /ipfs/Qm");
  assert.equal((await client.get("/").expect(200)).body.programs.length, 0);
  const host = `${hostLabel(publish())}.localhost`;
  assert.equal((await client.get("/api/chat").set("host", host).expect(200)).body.url, "/api/chat");
});

test("a WebSocket goes to the messages; any other upgrade is an ordinary request", async (t) => {
  const { node, publish } = await startPrograms(t);
  const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
  const socket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const handshake = await exchange(node.url, `GET /api/ws0/messages HTTP/1.1\r\nHost: localhost\r\n${socket}\r\n`);
  assert.match(handshake, /^HTTP\/1.1 101 /);
  const message = await exchange(node.url, `GET /api/v0/messages.json HTTP/1.1\r\nHost: localhost\r\n${upgrade}\r\n`);
  assert.match(message, /^HTTP\/1.1 200 .*ccn \/api\/v0\/messages\.json/s);
  const request = `POST /vm/${publish()}/echo HTTP/1.1\r\nHost: localhost\r\n${upgrade}Content-Length: 5\r\n\r\nhello`;
  const answer = await exchange(node.url, request);
  assert.match(answer, /^HTTP\/1.1 200 /);
  assert.match(answer, /"body":"hello"/);
});

test("a port in use is an error that says what to do", async (t) => {
  const { node } = await startPrograms(t);
  const port = Number(new URL(node.url).port);
  await assert.rejects(startPrograms(t, { port }), {
    code: "port_in_use",
    message: `port ${port} of 127.0.0.1 is in use: stop what listens there, or choose another with --port`,
  });
});

test("a host that is none of this machine's is told, with the option to change", async (t) => {
  await assert.rejects(startPrograms(t, { host: "no such host" }), {
    code: "config_invalid",
    message: /^cannot listen on port \d+ of no such host \(\w+\): choose another with --port or --host$/,
  });
});

test("stop ends streams, kept connections and programs, also one that ignores SIGTERM", async (t) => {
  const { node, publish, url } = await startPrograms(t);
  const stubborn = publish({ variables: { PINFERENCE_TEST_CRASH: "ignore-sigterm" } });
  const gentle = publish();
  const pids = await Promise.all(
    [stubborn, gentle].map(async (program) => {
      const { pid } = (await (await fetch(url(program, "/pid"))).json()) as { pid: number };
      return pid;
    }),
  );
  const stream = await new Promise<IncomingMessage>((resolve) => get(url(stubborn, "/stream-then-hang"), resolve));
  stream.on("error", () => {}).resume();
  const closed = new Promise((resolve) => stream.once("close", resolve));

  const beganAt = performance.now();
  await Promise.all([node.stop(), node.stop()]);
  await closed;
  assert.ok(performance.now() - beganAt < 3000);
  for (const pid of pids) assert.equal(isAlive(pid), false);
  await assert.rejects(fetch(node.url));
});

test("stop during a start leaves no process", async (t) => {
  const { node, publish, url, dataDir } = await startPrograms(t);
  const startsFile = `${dataDir}/starts`;
  const program = publish({ variables: { PINFERENCE_TEST_CRASH: "never-ready", PINFERENCE_TEST_STARTS: startsFile } });
  const answer = fetch(url(program, "/pid")).catch(() => undefined);
  while (!existsSync(startsFile)) await delay(10);
  await node.stop();
  const pids = readFileSync(startsFile, "utf8").trim().split("\n").map(Number);
  assert.equal(pids.length, 1);
  for (const pid of pids) assert.equal(isAlive(pid), false);
  const response = await answer;
  if (response !== undefined) assert.equal(response.status, 503);
});

test("before its first start a backend is told which files programs name, also those of strangers", async (t) => {
  const hash = (digit: string) => digit.repeat(64);
  const message = (type: string, name: string, content: ProcessedMessage["content"]): ProcessedMessage => ({
    itemHash: parseItemHash(hash(name)),
    type,
    sender: "0x01",
    itemContent: "",
    content,
  });
  // Of the stores 1 to 4, no program names the last.
  const stores = ["1", "2", "3", "4"].map((name) => message("STORE", name, { item_hash: hash(name) }));
  const program = message("PROGRAM", "5", {
    runtime: { ref: hash("1") },
    code: { ref: hash("2") },
    volumes: [{ mount: "/models/0", ref: hash("3") }, { mount: "/models/1", ref: hash("9") }, { mount: "/data" }],
  });
  const told: (readonly string[])[] = [];
  const { logged } = await startPrograms(t, {
    backend: {
      name: "process",
      start: () => Promise.reject(new Error("nothing is started here")),
      collect: async (named) => void told.push([...named].toSorted()),
    },
    createCcn: async () => ({
      store: {
        message: async (itemHash) => stores.find((one) => one.itemHash === itemHash),
        filePath: async () => undefined,
        programs: async () => [program],
      },
      listener: (_request, response) => void response.end(),
      upgrade: () => false,
      close: async () => {},
    }),
  });
  assert.deepEqual(told, [[hash("1"), hash("2"), hash("3")]]);
  assert.deepEqual(logged, []);
});
