/** The supervisor against guests that break the protocol in every way: what its client hears, and who survives. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import type { Backend } from "../../../deploy/local/backends/backend.ts";
import {
  configureGuest,
  type Connect,
  haltGuest,
  listenForReady,
  SetupFailed,
  SetupRefused,
} from "../../../deploy/local/guest-connection.ts";
import { encodeAnswer, encodeSetupAnswer, parseRunRequest, READY } from "../../../src/guest/protocol.ts";
import { startPrograms } from "../../support/local-programs.ts";

/** What a guest does with one connection, given what has arrived so far. */
type Script = (socket: Socket, received: Buffer) => void;

/** A socket at which every connection is treated by the script, once for each piece that comes. */
async function scriptedSocket(t: TestContext, script: Script): Promise<Connect> {
  const directory = mkdtempSync(join(tmpdir(), "scripted-"));
  const path = join(directory, "s");
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let received = Buffer.alloc(0);
    socket.on("error", () => undefined);
    socket.on("data", (piece: Buffer) => script(socket, (received = Buffer.concat([received, piece]))));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return () => createConnection(path);
}

interface Asked {
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly type: string | undefined;
  readonly text: string;
}

/** A local node in the network's mode whose guests all follow one script, by the path of the request. */
async function withScript(t: TestContext, script: (path: string, socket: Socket) => void, seconds = 30) {
  let starts = 0;
  const connect = await scriptedSocket(t, (socket, received) => {
    let path: string;
    try {
      ({ path } = parseRunRequest(received));
    } catch {
      // More is to come.
      return;
    }
    script(path, socket);
  });
  const backend: Backend = {
    name: "microvm",
    start: async () => {
      starts += 1;
      let end: ((how: string) => void) | undefined;
      const exited = new Promise<string>((resolve) => (end = resolve));
      return { connect, http: undefined, exited, stop: async () => end?.("was stopped") };
    },
  };
  const { node, publish } = await startPrograms(t, { asNetwork: true, backend });
  const program = publish({ resources: { seconds } });
  const ask = (path: string, method = "GET"): Promise<Asked> =>
    new Promise((resolve, reject) => {
      const url = `${node.url}/vm/${program}${path}`;
      const request = httpRequest(url, { method, agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.once("end", () => {
          const { statusCode: status, statusMessage: reason, headers } = response;
          resolve({ status, reason, type: headers["content-type"], text });
        });
      });
      request.once("error", reject);
      request.end(method === "POST" ? "x".repeat(200_000) : undefined);
    });
  return { ask, starts: () => starts };
}

const HELLO = Buffer.from(encodeAnswer({ status: 200, headers: [["x-a", "1"]], body: Buffer.from("hello") }));

test("an answer without a byte is 502 and the guest is stopped; the next request starts another", async (t) => {
  const { ask, starts } = await withScript(t, (path, socket) => {
    if (path === "/empty") socket.end();
    else if (path === "/cut") socket.destroy();
    else socket.end(HELLO);
  });
  for (const path of ["/empty", "/cut"]) {
    const before = starts();
    const { status, reason, text, type } = await ask(path);
    assert.deepEqual([status, reason, text], [502, "No response from VM", "VM did not respond and was shut down"]);
    assert.match(type ?? "", /^text\/plain/);
    assert.equal((await ask("/hello")).text, "hello");
    assert.equal(starts(), Math.max(before, 1) + 1);
  }
});

test("an answer that is no whole msgpack object is 502, and the guest goes on", async (t) => {
  const answers: Readonly<Record<string, Buffer | string>> = {
    "/truncated": HELLO.subarray(0, -1),
    "/trailing": Buffer.concat([HELLO, Buffer.of(0xc0)]),
    "/text": "HTTP/1.1 200 OK\r\n\r\n",
  };
  const { ask, starts } = await withScript(t, (path, socket) => void socket.end(answers[path] ?? HELLO));
  for (const path of Object.keys(answers)) {
    const { status, reason, text } = await ask(path);
    assert.deepEqual([status, reason, text], [502, "Invalid response from VM", ""], path);
  }
  assert.equal((await ask("/hello")).text, "hello");
  assert.equal(starts(), 1);
});

test("an answer of wrong types is 500 as JSON, the protocol's error 500 as text with its traceback", async (t) => {
  const answers: Readonly<Record<string, string>> = {
    "/text-headers": HELLO.toString("latin1").replace("\xc4\x03x-a", "\xa3x-a"),
    "/no-status": HELLO.toString("latin1").replace("\xa6status", "\xa6statuz"),
    "/error": "\x83\xa5error\xa1e\xa9traceback\xa1t\xa6output\xc0",
  };
  const { ask, starts } = await withScript(t, (path, socket) => void socket.end(answers[path] ?? "", "latin1"));
  for (const path of ["/text-headers", "/no-status"]) {
    const { status, type, text } = await ask(path);
    assert.equal(status, 500);
    assert.match(type ?? "", /^application\/json/);
    assert.deepEqual(Object.keys(JSON.parse(text) as object), ["error", "error_type"]);
  }
  const failed = await ask("/error");
  assert.deepEqual([failed.status, failed.reason, failed.text], [500, "Error in VM execution", "t"]);
  assert.equal(starts(), 1);
});

test("an answer may come in any pieces and be large; a guest's own 404 is rewritten", async (t) => {
  const large = Buffer.from(encodeAnswer({ status: 200, headers: [], body: Buffer.alloc(30_000_000, 97) }));
  const missing = encodeAnswer({ status: 404, headers: [["x-a", "1"]], body: Buffer.from('{"a":1}') });
  const { ask } = await withScript(t, (path, socket) => {
    if (path === "/large") socket.end(large);
    else if (path === "/missing") socket.end(missing);
    else void drip(socket);
  });
  async function drip(socket: Socket): Promise<void> {
    for (const byte of HELLO) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    socket.end();
  }
  assert.equal((await ask("/drip")).text, "hello");
  assert.equal((await ask("/large")).text.length, 30_000_000);
  const rewritten = await ask("/missing");
  assert.deepEqual([rewritten.status, rewritten.text], [404, '{"error":"{\\"a\\":1}"}']);
});

test("a guest beyond its seconds is 504, sees its connection close, and is not stopped", async (t) => {
  const closed: string[] = [];
  const { ask, starts } = await withScript(
    t,
    (path, socket) => {
      if (path === "/hello") socket.end(HELLO);
      if (path === "/half") socket.write(HELLO.subarray(0, 10));
      socket.once("end", () => closed.push(path));
    },
    1,
  );
  for (const path of ["/never", "/half"]) assert.equal((await ask(path)).status, 504);
  for (let tries = 0; closed.length < 2 && tries < 200; tries += 1) await delay(10);
  assert.deepEqual(closed, ["/never", "/half"]);
  assert.equal((await ask("/hello")).text, "hello");
  assert.equal(starts(), 1);
});

test("a request has no end of its own: the connection stays open both ways until the answer", async (t) => {
  let ended = false;
  const { ask } = await withScript(t, (_path, socket) => {
    socket.once("end", () => (ended = true));
    setTimeout(() => {
      assert.equal(ended, false);
      socket.end(HELLO);
    }, 200);
  });
  assert.equal((await ask("/large", "POST")).text, "hello");
});

test("a setup is refused by the guest's word, and failed by silence, garbage and an early end", async (t) => {
  const configuration = {
    vmHash: "cafe".repeat(16),
    interface: "executable",
    encoding: "squashfs",
    entrypoint: "x",
    volumes: [],
    variables: {},
  };
  const { signal } = new AbortController();
  const setup = async (script: Script, limitMs?: number): Promise<void> =>
    configureGuest(await scriptedSocket(t, script), configuration, signal, limitMs);

  await setup((socket) => void socket.write(encodeSetupAnswer({ success: true })));
  const refusal = encodeSetupAnswer({ success: false, error: "cannot mount vdb" });
  await assert.rejects(
    setup((socket) => void socket.write(refusal)),
    (error) => error instanceof SetupRefused && /cannot mount vdb/.test(error.message),
  );
  const failures: readonly (readonly [Script, RegExp])[] = [
    [(socket) => void socket.end(), /closed the connection without an answer/],
    [(socket) => void socket.write("what?"), /not one msgpack object/],
    [(socket) => void socket.write(Buffer.from("82a773756363657373c3a165c0", "hex")), /unknown key "e"/],
    [() => undefined, /no answer within 0\.2 s/],
  ];
  for (const [script, reason] of failures) {
    await assert.rejects(
      setup(script, 200),
      (error) => error instanceof SetupFailed && reason.test(error.message),
      String(reason),
    );
  }
  await assert.rejects(
    configureGuest(() => createConnection("/nonexistent/socket"), configuration, signal),
    SetupFailed,
  );
});

test("the ready message is waited for, and halt is checked to the letter", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "ready-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const listener = await listenForReady(join(directory, "h"));
  const silent = createConnection(join(directory, "h")).on("error", () => undefined);
  silent.end();
  createConnection(join(directory, "h")).end(READY);
  await listener.ready;
  await listener.close();

  const halted = async (answer: string): Promise<boolean> =>
    haltGuest(
      await scriptedSocket(t, (socket, received) => {
        if (received.toString() === "halt") socket.end(answer);
      }),
      300,
    );
  assert.equal(await halted("STOP\nSTOPZ\n"), true);
  assert.equal(await halted("STOP\n"), false);
  assert.equal(await haltGuest(await scriptedSocket(t, () => undefined), 100), false);
  assert.equal(await haltGuest(() => createConnection(join(directory, "gone")), 1000), false);
});
