/** The guest init by its sockets, as a supervisor meets it: what it must answer, whatever comes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { encodeRunRequest, MAX_RUN_BYTES } from "../../../src/guest/protocol.ts";
import {
  configurationBytes,
  GuestProcess,
  readAnswer,
  runBytes,
  SUCCESS,
  type TextAnswer,
} from "../../support/guest-process.ts";
import { isAlive } from "../../support/local-programs.ts";

const json = ({ text }: TextAnswer): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;
const codeOf = ({ text }: TextAnswer): string => (JSON.parse(text) as { error: { code: string } }).error.code;

test("it says that it is ready once it listens, also to a host whose socket comes later", async (t) => {
  for (const hostIsLateMs of [0, 300]) {
    const guest = new GuestProcess(t, { hostIsLateMs });
    assert.equal((await guest.ready()).toString("hex"), "81a776657273696f6ea5322e302e30");
    const early = await guest.run("/pid");
    assert.equal(early.status, 503);
    assert.match(early.text, /has not been configured yet/);
    assert.ok(early.headers.some(([name]) => name === "retry-after"));
  }
});

test("a configuration may come in any pieces, and again; another program's is refused", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  const bytes = configurationBytes();
  const bytewise = await guest.exchange(...Array.from(bytes, (byte) => Buffer.of(byte)));
  assert.equal(bytewise.toString("hex"), SUCCESS);
  const { pid } = json(await guest.run("/pid"));
  for (let cut = 1; cut < bytes.length; cut += 1) {
    const answer = await guest.exchange(bytes.subarray(0, cut), bytes.subarray(cut));
    assert.equal(answer.toString("hex"), SUCCESS, `cut at ${cut}`);
  }
  const other = await guest.exchange(configurationBytes({ vmHash: "beef".repeat(16) }));
  assert.match(other.toString("latin1"), /success\xc2.*runs cafe.* already/);
  assert.equal(json(await guest.run("/pid"))["pid"], pid);
});

test("what is no configuration, or cannot be set up, is said, and a good one is taken afterwards", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  const faults: readonly (readonly [Buffer | string, RegExp])[] = [
    ["12x", /not a number/],
    ["1234567890\n", /not a number/],
    ["999999999\n", /more than/],
    ["5\nhello", /not one msgpack object/],
    ["1\n\xc0", /no map/],
    [configurationBytes({ interface: "asgi" }), /not "asgi"/],
    [configurationBytes({ encoding: "zip" }), /not as "zip"/],
    [configurationBytes({ entrypoint: "../../x.js" }), /not a path inside the code volume/],
    [configurationBytes({ volumes: [] }), /no volume at \/opt\/code/],
    [configurationBytes({ volumes: [{ mount: "/a/../b", device: "vdb", readOnly: true }] }), /is not a mount point/],
    [configurationBytes({ volumes: [{ mount: "/opt/code", device: "../x", readOnly: true }] }), /is not a device/],
    [configurationBytes({ variables: { PINFERENCE_CODE_SHA256: "12" } }), /not a sha256/],
  ];
  for (const [bytes, reason] of faults) {
    const answer = (await guest.exchange(Buffer.from(bytes as string, "latin1"))).toString("latin1");
    assert.match(answer, /^\x83\xa7success\xc2/);
    assert.match(answer, reason);
  }
  assert.equal(await guest.configure(), SUCCESS);
  assert.equal((await guest.run("/pid")).status, 200);
});

test("a request may be cut at any byte", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const body = Buffer.from("hello");
  const request = runBytes("/echo", { method: "POST", headers: [["x-a", "1"]], body });
  for (let cut = 1; cut < request.length; cut += 1) {
    const answer = readAnswer(await guest.exchange(request.subarray(0, cut), request.subarray(cut)));
    assert.equal(json(answer)["body"], "hello", `cut at ${cut}`);
  }
  const bytewise = readAnswer(await guest.exchange(...Array.from(request, (byte) => Buffer.of(byte))));
  assert.equal(json(bytewise)["body"], "hello");
});

test("a request of 1 MiB with large headers passes; more than the limit is 413, told before it came", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const body = Buffer.alloc(1_048_576, 97);
  const headers = Array.from({ length: 100 }, (_, at) => [`x-${at}`, "v".repeat(100)] as const);
  const whole = runBytes("/echo", { method: "POST", headers, body });
  const pieces = Array.from({ length: Math.ceil(whole.length / 65_536) }, (_, at) =>
    whole.subarray(at * 65_536, (at + 1) * 65_536),
  );
  assert.equal(json(readAnswer(await guest.exchange(...pieces)))["bytes"], body.length);

  const over = encodeRunRequest({
    method: "POST",
    path: "/echo",
    queryString: "",
    headers: [],
    body: new Uint8Array(MAX_RUN_BYTES),
  });
  const refused = readAnswer(await guest.exchange(over.subarray(0, 200)));
  assert.deepEqual([refused.status, codeOf(refused)], [413, "request_too_large"]);
});

test("garbage, shell commands, broken requests and events are answered, and the next request as ever", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const answers: readonly (readonly [Uint8Array | string, number])[] = [
    ["!rm -rf /", 403],
    ["GET / HTTP/1.1\r\n\r\n", 400],
    [Buffer.of(0xc1), 400],
    [Buffer.of(0x81, 0xc1), 400],
    ["hold", 400],
    [Buffer.from("81a573636f7065c0", "hex"), 400],
    [Buffer.from("81a573636f706582a474797065ad616c6570682e6d657373616765a4626f6479a27b7d", "hex"), 400],
    [Buffer.concat([runBytes("/pid"), Buffer.of(0xc0)]), 400],
    [runBytes("/pid", { method: "CONNECT" }), 405],
    [runBytes("/pid", { method: "NOT A METHOD" }), 400],
    [runBytes("/pid", { headers: [["x-a", "1\r\nx-b: 2"]] }), 400],
  ];
  for (const [bytes, status] of answers) {
    assert.equal(readAnswer(await guest.exchange(bytes)).status, status, Buffer.from(bytes as string).toString("hex"));
  }
  assert.equal((await guest.run("/pid")).status, 200);
});

test("hosts that leave in the middle of a request or before its answer harm nobody", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const request = runBytes("/pid");
  for (const cut of [0, 1, 20, request.length]) {
    const socket = guest.connect();
    await once(socket, "connect");
    if (cut > 0) socket.write(request.subarray(0, cut));
    socket.destroy();
  }
  assert.equal((await guest.run("/pid")).status, 200);
});

test("a host that gives up ends the server's work on that request, and on no other", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  await guest.run("/pid");
  const other = guest.run("/slow", { queryString: "ms=800" });
  const socket = guest.connect();
  socket.write(runBytes("/hang"));
  await delay(200);
  socket.destroy();
  for (let tries = 0; json(await guest.run("/aborted"))["aborted"] !== 1; tries += 1) {
    assert.ok(tries < 200, "the server's request was not ended");
    await delay(20);
  }
  assert.deepEqual(json(await other), { slept: true });
});

test("a host that reads slowly gets all of a large answer, and holds nobody up", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const bytes = 20 * 1024 * 1024;
  const socket = guest.connect();
  socket.pause();
  socket.write(runBytes("/big", { queryString: `bytes=${bytes}` }));
  await delay(500);
  assert.equal((await guest.run("/pid")).status, 200);
  const pieces: Buffer[] = [];
  for await (const piece of socket) {
    pieces.push(piece as Buffer);
    if (pieces.length % 50 === 0) await delay(5);
  }
  assert.equal(readAnswer(Buffer.concat(pieces)).text.length, bytes);
});

test("200 connections at once, before the server is up, each get their answer", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, at) =>
      guest.run("/echo", { method: "POST", body: Buffer.from(`request ${at}`), headers: [["x-at", String(at)]] }),
    ),
  );
  assert.deepEqual(
    answers.map((answer) => json(answer)["body"]),
    answers.map((_, at) => `request ${at}`),
  );
});

test("headers that no longer hold are dropped, path and query encoded again, a 404 leaves as 400", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const headers = [
    ["host", "node.example"],
    ["transfer-encoding", "chunked"],
    ["content-encoding", "gzip"],
    ["content-length", "999"],
    ["expect", "100-continue"],
    ["x-a", "1"],
    ["x-a", "2"],
  ] as const;
  const echo = json(
    await guest.run("/a b?c#d%é", { method: "POST", queryString: "q=1%26 é", headers, body: Buffer.from("five!") }),
  );
  assert.equal(echo["url"], "/a%20b%3Fc%23d%25%C3%A9?q=1%26%20%C3%A9");
  const received = (echo["headers"] as string[]).slice(0, 8);
  assert.deepEqual(received, ["host", "node.example", "x-a", "1", "x-a", "2", "content-length", "5"]);

  const missing = await guest.run("/not-found");
  assert.deepEqual([missing.status, codeOf(missing)], [400, "model_not_found"]);
  const { headers: answered } = await guest.run("/headers");
  const names = answered.map(([name]) => name.toLowerCase());
  assert.ok(!names.includes("content-encoding") && !names.includes("connection") && !names.includes("date"));
  assert.equal(answered.filter(([name]) => name.toLowerCase() === "set-cookie").length, 2);
});

test("a server that dies is started again, later each time, and requests hear of it meanwhile", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const { pid } = json(await guest.run("/pid"));
  const waiting = guest.run("/hang");
  await delay(100);
  process.kill(pid as number, "SIGKILL");
  const lost = await waiting;
  assert.deepEqual([lost.status, codeOf(lost)], [503, "program_failed"]);
  let next = await guest.run("/pid");
  for (let tries = 0; next.status !== 200; tries += 1) {
    assert.equal(next.status, 503);
    assert.ok(next.headers.some(([name, value]) => name === "retry-after" && Number(value) >= 1));
    assert.ok(tries < 500, "the server did not come back");
    await delay(20);
    next = await guest.run("/pid");
  }
  assert.notEqual(json(next)["pid"], pid);
});

test("halt during a request: it gets an answer, the server ends, and the process with status 0", async (t) => {
  const guest = new GuestProcess(t);
  await guest.ready();
  await guest.configure();
  const { pid } = json(await guest.run("/pid"));
  const running = guest.run("/hang");
  await delay(100);
  const ended = once(guest.child, "exit");
  assert.equal((await guest.exchange("ha", "lt")).toString(), "STOP\nSTOPZ\n");
  const answer = await running;
  assert.deepEqual([answer.status, codeOf(answer)], [503, "shutting_down"]);
  assert.deepEqual(await ended, [0, null]);
  assert.equal(isAlive(pid as number), false);
});

test("halt is answered by a guest that was never configured, and by one whose server does not end", async (t) => {
  const idle = new GuestProcess(t);
  await idle.ready();
  assert.equal((await idle.exchange("halt")).toString(), "STOP\nSTOPZ\n");
  const stubborn = new GuestProcess(t, { env: { PINFERENCE_GUEST_STOP_MS: "200" } });
  await stubborn.ready();
  await stubborn.configure({ variables: { PINFERENCE_TEST_CRASH: "ignore-sigterm" } });
  const { pid } = json(await stubborn.run("/pid"));
  assert.equal((await stubborn.exchange("halt")).toString(), "STOP\nSTOPZ\n");
  assert.equal(isAlive(pid as number), false);
});

test("halt does not wait for a server that does not end before it answers requests", async (t) => {
  const guest = new GuestProcess(t, { env: { PINFERENCE_GUEST_STOP_MS: "3000" } });
  await guest.ready();
  await guest.configure({ variables: { PINFERENCE_TEST_CRASH: "ignore-sigterm" } });
  const { pid } = json(await guest.run("/pid"));
  const running = guest.run("/hang");
  await delay(100);
  const halted = guest.exchange("halt");
  assert.equal(codeOf(await running), "shutting_down");
  assert.equal(isAlive(pid as number), true, "the answer came first");
  assert.equal((await halted).toString(), "STOP\nSTOPZ\n");
});

test("it works with its standard descriptors closed", { skip: process.platform === "win32" && "no sh" }, async (t) => {
  const guest = new GuestProcess(t, { closed: true });
  await guest.ready();
  assert.equal(await guest.configure(), SUCCESS);
  assert.equal((await guest.run("/pid")).status, 200);
});
