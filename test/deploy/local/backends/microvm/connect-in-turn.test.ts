import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";

import { connectInTurn } from "../../../../../deploy/local/backends/microvm/connect-in-turn.ts";

/** Answers a connection with what it sent, once it sent a line. */
async function echo(t: TestContext, backlog?: number): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (line) => socket.end(line));
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog });
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function answer(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}

test("two hundred connections at once to a port with a queue of one are all answered", async (t) => {
  const connect = connectInTurn(await echo(t, 1));
  const sent = Array.from({ length: 200 }, (_, at) => `request ${at}\n`);
  const answers = await Promise.all(
    sent.map((line) => {
      const socket = connect();
      socket.write(line);
      return answer(socket);
    }),
  );
  assert.deepEqual(answers, sent);
});

test("one opens after the other, in the order of the calls", async (t) => {
  const connect = connectInTurn(await echo(t));
  const opened: number[] = [];
  const sockets = [0, 1, 2].map((at) => connect().once("connect", () => opened.push(at)));
  await once(sockets[0] as Socket, "connect");
  assert.deepEqual(opened, [0]);
  await once(sockets[2] as Socket, "connect");
  assert.deepEqual(opened, [0, 1, 2]);
  for (const socket of sockets) socket.destroy();
});

test("one that is given up before its turn, or refused, holds up no other", async (t) => {
  const connect = connectInTurn(await echo(t));
  const [first, second, third] = [connect(), connect(), connect()];
  second.destroy();
  third.write("still here\n");
  assert.equal(await answer(third), "still here\n");
  first.destroy();

  const unused = createServer().listen(0, "127.0.0.1");
  await once(unused, "listening");
  const { port } = unused.address() as AddressInfo;
  unused.close();
  await once(unused, "close");
  const refused = connectInTurn(port);
  const failures = [refused(), refused()].map((socket) => once(socket, "close"));
  for (const failure of failures) await assert.rejects(failure, { code: "ECONNREFUSED" });
});
