import assert from "node:assert/strict";
import { get, type IncomingMessage, request as httpRequest, type RequestOptions } from "node:http";
import { availableParallelism } from "node:os";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gzipSync } from "node:zlib";

import { CodedError } from "../../../src/domain/errors.ts";
import { parseItemHash } from "../../../src/domain/hash.ts";
import { type LocalPrograms, startPrograms } from "../../support/local-programs.ts";

const MIB = 1_048_576;
const absent = parseItemHash("ab".repeat(32));

interface Answer {
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** Node's own client: it sends a target as it is given, and shows the reason of a status. */
async function ask(
  url: string,
  path: string,
  options: RequestOptions = {},
  body: Buffer | string = "",
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, path, agent: false, ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.once("end", () => {
        const { statusCode: status, statusMessage: reason, headers } = response;
        resolve({ status, reason, headers, text });
      });
      response.once("error", reject);
    });
    request.once("error", reject);
    request.end(body);
  });
}

async function asNetwork(
  t: TestContext,
  options: Parameters<typeof startPrograms>[1] = {},
): Promise<
  LocalPrograms & { ask: (path: string, options?: RequestOptions, body?: Buffer | string) => Promise<Answer> }
> {
  const programs = await startPrograms(t, { asNetwork: true, ...options });
  return { ...programs, ask: (path, request, body) => ask(programs.node.url, path, request, body) };
}

async function echo(answer: Promise<Answer>): Promise<{ url: string; headers: string[]; bytes: number; body: string }> {
  return JSON.parse((await answer).text) as { url: string; headers: string[]; bytes: number; body: string };
}

test("path and query arrive decoded and encoded again", async (t) => {
  const { ask: to, publish } = await asNetwork(t);
  const vm = `/vm/${publish()}`;
  const cases: readonly (readonly [sent: string, received: string])[] = [
    ["/v1/a%2Fb%20c?x=1%262+3%23", "/v1/a/b%20c?x=1%262%203%23"],
    ["/%3Fa?b=%25", "/%3Fa?b=%25"],
    ["//x/../y", "//x/../y"],
    ["", "/"],
  ];
  for (const [sent, received] of cases) assert.equal((await echo(to(vm + sent))).url, received);
});

test("request headers arrive lower-cased, duplicates kept, stale ones dropped", async (t) => {
  const { ask: to, publish } = await asNetwork(t);
  const options = {
    method: "POST",
    headers: {
      Host: "node.example",
      "X-Two": ["1", "2"],
      "Transfer-Encoding": "chunked",
      Connection: "X-Hop",
      "X-Hop": "1",
    },
  };
  const { headers, body } = await echo(to(`/vm/${publish()}/echo`, options, "hello"));
  assert.equal(body, "hello");
  const sent = ["host", "node.example", "x-two", "1", "x-two", "2", "content-length", "5"];
  assert.deepEqual(headers.slice(0, sent.length), sent);
  assert.ok(!headers.includes("transfer-encoding") && !headers.includes("x-hop"));
});

test("exactly 1 MiB passes, one byte more is refused, also when it was compressed", async (t) => {
  const { ask: to, publish } = await asNetwork(t);
  const path = `/vm/${publish()}/echo`;
  const full = Buffer.alloc(MIB, 97);
  const over = Buffer.alloc(MIB + 1, 97);
  const gzip = { method: "POST", headers: { "content-encoding": "gzip" } };
  const refusal = '{"error":"Maximum request body size 1048576 exceeded."}';

  assert.equal((await echo(to(path, { method: "POST" }, full))).bytes, MIB);
  const unpacked = await echo(to(path, gzip, gzipSync(full)));
  assert.equal(unpacked.bytes, MIB);
  assert.ok(!unpacked.headers.includes("content-encoding"));
  assert.ok(unpacked.headers.includes(String(MIB)));

  for (const answer of [await to(path, { method: "POST" }, over), await to(path, gzip, gzipSync(over))]) {
    assert.equal(answer.status, 413);
    assert.equal(answer.text, refusal);
  }
  const far = await to(path, { method: "POST" }, Buffer.alloc(20 * MIB));
  assert.equal(far.text, refusal);
  assert.equal((await to(path, gzip, "not gzip")).status, 400);
});

test("answers arrive whole, without the headers that a CRN removes", async (t) => {
  const { ask: to, publish, codeRef } = await asNetwork(t);
  const program = publish();
  const stream = await to(`/vm/${program}/stream`);
  assert.equal(stream.text, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: [DONE]\n\n");
  assert.equal(stream.headers["content-length"], String(stream.text.length));
  assert.equal(stream.headers["transfer-encoding"], undefined);
  assert.equal(stream.headers["content-type"], "text/event-stream");

  const { headers, text } = await to(`/vm/${program}/headers`);
  assert.equal(text, "plain");
  assert.equal(headers["content-encoding"], undefined);
  assert.equal(headers.vary, undefined);
  assert.deepEqual(headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(headers["x-guest"], "yes");
  assert.equal(headers["content-type"], "application/octet-stream");
  assert.match(String(headers.server), /^aleph-vm\//);
  assert.equal(headers["aleph-program-itemhash"], program);
  assert.equal(headers["aleph-program-code-ref"], codeRef);
  assert.ok(headers.date !== undefined);
});

test("a program's 404 leaves as 400 with its body and headers; HEAD, OPTIONS and 204 pass", async (t) => {
  const { ask: to, publish } = await asNetwork(t);
  const vm = `/vm/${publish()}`;
  const notFound = await to(`${vm}/not-found`);
  assert.equal(notFound.status, 400);
  assert.equal(notFound.text, '{"error":{"code":"model_not_found"}}');
  assert.equal(notFound.headers["access-control-allow-origin"], "*");
  assert.equal((await to(`${vm}/echo`, { method: "HEAD" })).text, "");
  const options = await to(`${vm}/echo`, { method: "OPTIONS" });
  assert.match(options.text, /"method":"OPTIONS"/);
  assert.equal(options.headers["access-control-allow-origin"], undefined);
  assert.equal((await to(`${vm}/empty`)).status, 204);
});

test("no answer within resources.seconds is 504, and the program's request is aborted", async (t) => {
  const { ask: to, publish } = await asNetwork(t);
  const vm = `/vm/${publish({ resources: { seconds: 1 } })}`;
  const { status, text } = await to(`${vm}/hang`);
  assert.equal(status, 504);
  assert.equal(text, '{"error":"Program did not respond within `resource.seconds`"}');
  await delay(50);
  assert.equal((JSON.parse((await to(`${vm}/aborted`)).text) as { aborted: number }).aborted, 1);
});

test("a gateway cuts what takes longer than its time, whatever the program's limit is", async (t) => {
  const { ask: to, publish } = await asNetwork(t, { gatewayTimeoutMs: 300 });
  const { status, text } = await to(`/vm/${publish()}/hang`);
  assert.equal(status, 504);
  assert.match(text, /<h1>504 Gateway Time-out<\/h1>/);
});

test("a client that leaves does not end the program's request", async (t) => {
  const { ask: to, publish, url } = await asNetwork(t);
  const program = publish();
  await to(`/vm/${program}/pid`);
  const leaving = get(url(program, "/slow?ms=300"), { agent: false }).on("error", () => {});
  await delay(100);
  leaving.destroy();
  await delay(400);
  const { aborted } = JSON.parse((await to(`/vm/${program}/aborted`)).text) as { aborted: number };
  assert.equal(aborted, 0);
});

test("a start goes on when its client has left", async (t) => {
  const { node, publish, url } = await asNetwork(t);
  const program = publish();
  const leaving = get(url(program, "/pid"), { agent: false }).on("error", () => {});
  await delay(15);
  leaving.destroy();
  for (let tries = 0; tries < 100 && (await node.programs())[0]?.state !== "running"; tries += 1) await delay(20);
  assert.equal((await node.programs())[0]?.state, "running");
});

test("a server that gives no answer is 503, one that ends is started again, and the guest stays", async (t) => {
  const { ask: to, publish } = await asNetwork(t);
  const vm = `/vm/${publish()}`;
  const pid = async (): Promise<number> => {
    for (let tries = 0; ; tries += 1) {
      const { status, text } = await to(`${vm}/pid`);
      if (status === 200) return (JSON.parse(text) as { pid: number }).pid;
      assert.ok(status === 503 && tries < 200, text);
      await delay(50);
    }
  };
  const first = await pid();

  const garbage = await to(`${vm}/garbage`);
  assert.equal(garbage.status, 502);
  assert.match(garbage.text, /"The server did not answer in HTTP/);

  const silent = await to(`${vm}/silent`);
  assert.deepEqual([silent.status, silent.headers["retry-after"]], [503, "1"]);
  assert.match(silent.text, /"code":"program_failed"/);
  assert.equal(await pid(), first);

  const killed = to(`${vm}/hang`);
  await delay(100);
  process.kill(first, "SIGKILL");
  assert.equal((await killed).status, 503);
  const meanwhile = await to(`${vm}/pid`);
  assert.equal(meanwhile.status, 503);
  assert.match(meanwhile.text, /was ended by SIGKILL and is started again in 1 s/);
  assert.notEqual(await pid(), first);
});

test("more memory or processors than a CRN gives is refused, and free again when a program ends", async (t) => {
  const { ask: to, publish } = await asNetwork(t, { idleMs: 300 });
  const refused = [503, '{"error":"This CRN cannot host the requested workload at this time."}'];
  const outcome = async (resources: { vcpus?: number; memory?: number }): Promise<unknown[]> => {
    const { status, text } = await to(`/vm/${publish({ resources })}/pid`);
    return [status, text];
  };
  assert.deepEqual(await outcome({ memory: 8193 }), refused);
  assert.deepEqual(await outcome({ vcpus: 4 * availableParallelism() + 1 }), refused);
  assert.equal((await outcome({ memory: 8192 }))[0], 200);
  assert.deepEqual(await outcome({ memory: 1 }), refused);
  await delay(700);
  assert.equal((await outcome({ memory: 1 }))[0], 200);
});

test("what does not start is refused in a CRN's words, without the program's log", async (t) => {
  const programs = await asNetwork(t, {
    checkStrict: ({ content }) => {
      if ((content["metadata"] as { name: string }).name === "lax") throw new CodedError("message_invalid", "lax");
    },
  });
  const { ask: to, publish, modelRef, codeRef, loseFile, logged } = programs;
  const unhandled = [500, '{"error":"500: Unhandled error during initialisation"}'];
  const missing = [400, '{"error":"400: Code, runtime or data not available"}'];
  const outcome = async (path: string, host = "localhost"): Promise<unknown[]> => {
    const { status, text } = await to(path, { headers: { host } });
    return [status, text];
  };
  const of = (overrides: Parameters<typeof publish>[0]): Promise<unknown[]> => outcome(`/vm/${publish(overrides)}/`);

  assert.deepEqual(await outcome("/vm/nonsense/v1"), [400, '{"error":"Invalid message reference: nonsense"}']);
  assert.deepEqual(await outcome("/", "not-base32.example"), [404, '{"error":"404: Invalid message reference"}']);
  assert.equal((await outcome("/", "aaaa.example"))[0], 500);
  assert.deepEqual(await outcome("/status/nothing"), [404, '{"error":"404: Not Found"}']);
  assert.deepEqual(await outcome(`/vm/${absent}/`), unhandled);
  assert.deepEqual(await outcome(`/vm/${codeRef}/`), unhandled);
  assert.deepEqual(await of({ metadata: { name: "lax" } }), unhandled);
  assert.deepEqual(await of({ volumes: [{ mount: "/tmp", ephemeral: true, size_mib: 10 }] }), unhandled);
  assert.deepEqual(await of({ runtime: { ref: absent } }), missing);
  assert.deepEqual(await of({ code: { ref: absent } }), missing);
  assert.deepEqual(await of({ volumes: [{ mount: "/models/0", ref: absent }] }), [
    500,
    `{"error":"500: Item hash ${absent} not found"}`,
  ]);
  const refused = [500, '{"error":"500: Error during vm initialisation"}'];
  assert.deepEqual(await of({ code: { entrypoint: "../../main.js" } }), refused);
  const entry = logged.find(({ fields }) => String(fields["error"]).includes("is not a path inside the code volume"));
  assert.equal(entry?.event, "program did not start");
  // The setup is over before the server starts, so a server that cannot start is no failed start.
  const crashing = await to(`/vm/${publish({ variables: { PINFERENCE_TEST_CRASH: "at-start" } })}/`);
  assert.equal(crashing.status, 503);
  assert.match(crashing.text, /The server ended with status 3 and is started again in 1 s/);
  loseFile(modelRef);
  assert.deepEqual(await of({}), [500, `{"error":"500: Error downloading ${modelRef}"}`]);
  loseFile(codeRef);
  assert.deepEqual(await of({}), missing);
});
