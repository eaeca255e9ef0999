/** The program of the supervisor's tests: compiled, it is copied into a code volume and run as a real child process. */
import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const { env } = process;
let aborted = 0;
let writtenBytes = 0;

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://guest");
  response.once("close", () => {
    if (!response.writableFinished) aborted += 1;
  });
  switch (url.pathname) {
    case "/pid":
      return sendJson(response, { pid: process.pid });
    case "/env":
      return sendJson(response, { env, cwd: process.cwd() });
    case "/aborted":
      return sendJson(response, { aborted, writtenBytes });
    case "/mounts": {
      const root = env["PINFERENCE_ROOT"] ?? "";
      const model = readFileSync(join(root, "models/0/model.txt"), "utf8");
      return sendJson(response, { code: readdirSync(join(root, "opt/code")), model });
    }
    case "/stream":
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (let at = 0; at < 4; at += 1) {
        response.write(`data: ${at}\n\n`);
        await delay(100);
      }
      return void response.end("data: [DONE]\n\n");
    case "/stream-then-hang":
      response.writeHead(200, { "content-type": "text/event-stream" });
      return void response.write(`data: ${process.pid}\n\n`);
    case "/text-then-hang":
      return void response.write("half");
    case "/hang":
      return;
    case "/slow":
      await delay(Number(url.searchParams.get("ms")));
      return sendJson(response, { slept: true });
    case "/big":
      return sendBig(response, Number(url.searchParams.get("bytes")));
    case "/silent":
      return void request.socket.destroy();
    case "/garbage":
      return void request.socket.end("this is not HTTP\r\n\r\n");
    case "/not-found":
      response.writeHead(404, { "content-type": "application/json", "access-control-allow-origin": "*" });
      return void response.end('{"error":{"code":"model_not_found"}}');
    case "/headers":
      response.setHeader("Set-Cookie", ["a=1", "b=2"]);
      response.writeHead(200, { Vary: "Origin", Server: "guest", "X-Guest": "yes", "Content-Encoding": "identity" });
      return void response.end("plain");
    case "/empty":
      return void response.writeHead(204).end();
    default:
      return echo(request, response);
  }
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  sendJson(response, {
    method: request.method,
    url: request.url,
    headers: request.rawHeaders,
    bytes: body.length,
    body: body.subarray(0, 100).toString("utf8"),
  });
}

async function sendBig(response: ServerResponse, bytes: number): Promise<void> {
  const chunk = Buffer.alloc(65_536, 120);
  response.writeHead(200, { "content-type": "application/octet-stream" });
  for (writtenBytes = 0; writtenBytes < bytes && !response.destroyed; writtenBytes += chunk.length) {
    if (!response.write(chunk)) await new Promise((resolve) => response.once("drain", resolve));
  }
  response.end();
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

if (env["PINFERENCE_SOCKET"] !== undefined) {
  const { PINFERENCE_TEST_STARTS: startsFile, PINFERENCE_TEST_CRASH: crash } = env;
  if (startsFile !== undefined) appendFileSync(startsFile, `${process.pid}\n`);
  if (crash === "at-start") {
    process.stderr.write("the model file is damaged\n");
    process.exit(3);
  }
  if (crash === "ignore-sigterm") process.on("SIGTERM", () => {});
  // The contract of PINFERENCE_EXIT_WITH_PARENT.
  process.stdin.resume().once("end", () => process.exit(0));
  if (crash !== "never-ready") {
    createServer((request, response) => void answer(request, response)).listen(env["PINFERENCE_SOCKET"]);
  }
}
