import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

import { parseArguments } from "../../../deploy/commands/command.ts";
import type { Parts } from "../../../deploy/commands/parts.ts";
import { up } from "../../../deploy/commands/up.ts";
import { CodedError } from "../../../src/domain/errors.ts";
import { fakeParts, fakeRecipe, recorder } from "../../support/fake-parts.ts";

const INTERRUPTED = new CodedError("interrupted", "Ctrl-C");

let dataDir = "";
let server: Server;
let url = "";
let answer: RequestListener;
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "pinference-up-"));
  answer = (_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({ choices: [{ message: { content: "This is a test." } }], usage: { completion_tokens: 5 } }),
    );
  };
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
  rmSync(dataDir, { recursive: true, force: true });
});

async function runUp(args: readonly string[], fakes = fakeParts(url), ending = new AbortController()) {
  const out = recorder();
  const { values, positionals } = parseArguments(up, ["--data-dir", dataDir, ...args]);
  const context = { env: {}, signal: ending.signal, out, parts: fakes.parts };
  const failure = await up.run(values, positionals, context).then(
    () => undefined,
    (error: unknown) => error,
  );
  const stages = out.events.flatMap((event) => (event.event === "stage" ? [`${event.stage} ${event.outcome}`] : []));
  return { failure, stages, events: out.events, ...fakes };
}

test("the stages come in order, and everything is ended in reverse", async () => {
  const { failure, stages, calls, events } = await runUp(["--check", "tiny"]);
  assert.equal(failure, undefined);
  assert.deepEqual(stages, [
    "data directory ready",
    "local node started",
    "key throwaway",
    "runtime built",
    "code volume built",
    "model volume built",
    "program published",
    "program answers",
  ]);
  assert.equal(calls[0], "start node");
  assert.equal(calls.at(-1), "close node");
  const ready = events.at(-1);
  assert.ok(ready?.event === "ready");
  assert.match(ready.models[0]?.baseUrl ?? "", new RegExp(`^${url}/vm/[0-9a-f]{64}/v1$`));
  assert.equal(ready.index, `${url}/`);
  assert.deepEqual(readdirSync(dataDir).toSorted(), ["artefacts.json", "build"]);
  assert.deepEqual(readdirSync(join(dataDir, "build")), []);
});

test("without arguments, the demo model is meant; the same model twice is one", async () => {
  const models = async (args: readonly string[]) =>
    (await runUp(["--check", ...args])).network.specs.map(({ name }) => name);
  assert.deepEqual(await models([]), ["aleph-tiny-chat"]);
  assert.deepEqual(await models(["a", "b", "a"]), ["a", "b"]);
});

test("a second run builds, pins and publishes nothing", async () => {
  const fakes = fakeParts(url);
  const first = await runUp(["--check"], fakes);
  fakes.calls.length = 0;
  const second = await runUp(["--check"], fakes);
  assert.deepEqual(fakes.calls, ["start node", "close node"]);
  assert.deepEqual(second.stages.slice(3), [
    "runtime cached",
    "code volume cached",
    "model volume cached",
    "program cached",
    "program answers",
  ]);
  const urls = ({ events }: typeof first) => events.flatMap((event) => (event.event === "ready" ? event.models : []));
  assert.deepEqual(urls(second), urls(first));
});

test("what the node has forgotten is built and pinned again", async () => {
  await runUp(["--check"]);
  const { calls } = await runUp(["--check"]);
  assert.equal(calls.filter((call) => call.startsWith("pin ")).length, 3);
  assert.equal(calls.filter((call) => call.startsWith("publish ")).length, 1);
});

test("what the node has the message of, but not the bytes, is pinned again", async () => {
  const fakes = fakeParts(url);
  await runUp(["--check"], fakes);
  fakes.calls.length = 0;
  fakes.network.hasFiles = false;
  const { stages, calls } = await runUp(["--check"], fakes);
  assert.equal(calls.filter((call) => call.startsWith("pin ")).length, 3);
  assert.deepEqual(stages.slice(3, 6), ["runtime built", "code volume built", "model volume built"]);
});

test("a changed option publishes another program over the same volumes", async () => {
  const fakes = fakeParts(url);
  await runUp(["--check"], fakes);
  const { stages } = await runUp(["--check", "--memory", "4096"], fakes);
  assert.deepEqual(stages.slice(3, 7), [
    "runtime cached",
    "code volume cached",
    "model volume cached",
    "program published",
  ]);
  assert.deepEqual(fakes.network.specs[1]?.resources, { vcpus: 1, memoryMiB: 4096, seconds: 290 });
});

test("the program's variables name the model, its settings and the hashes of both volumes", async () => {
  const { network } = await runUp(["--check", "tiny"]);
  const variables = network.specs[0]?.variables ?? {};
  assert.equal(variables["PINFERENCE_MODEL"], "/models/0/tiny.gguf");
  assert.equal(variables["PINFERENCE_MODEL_ID"], "tiny");
  assert.equal(variables["PINFERENCE_CONTEXT_LENGTH"], "2048");
  assert.equal(variables["PINFERENCE_SLOTS"], "4");
  for (const name of ["PINFERENCE_CODE_SHA256", "PINFERENCE_MODEL_SHA256"]) {
    assert.match(variables[name] ?? "", /^[0-9a-f]{64}$/);
  }
});

test("a program that is loading is asked again, one that fails ends the command with its words", async () => {
  let requests = 0;
  const whole = answer;
  answer = (request, response) => {
    requests += 1;
    if (requests > 1) return whole(request, response);
    response.writeHead(503, { "retry-after": "1" }).end(JSON.stringify({ error: { message: "loading" } }));
  };
  assert.equal((await runUp(["--check"])).failure, undefined);
  assert.equal(requests, 2);

  answer = (_request, response) => {
    response.writeHead(500).end(JSON.stringify({ error: { message: "the model is broken" } }));
  };
  const { failure, calls } = await runUp(["--check"]);
  assert.equal((failure as CodedError).code, "program_failed");
  assert.match((failure as CodedError).message, /status 500: the model is broken/);
  assert.equal(calls.at(-1), "close node");
});

/** Aborts while a part is at work, and fails as the real one would. */
const INTERRUPTIONS: Record<string, (abort: () => never) => Partial<Parts>> = {
  "starting the node": (abort) => ({ startNode: async () => abort() }),
  "fetching a model": (abort) => ({ findModel: async () => abort() }),
  "building a volume": (abort) => ({
    codeVolume: () =>
      Promise.resolve({
        ...fakeRecipe("code volume", []),
        async build(path) {
          writeFileSync(path, "half");
          return abort();
        },
      }),
  }),
};

for (const [moment, overridesFor] of Object.entries(INTERRUPTIONS)) {
  test(`Ctrl-C while ${moment} leaves nothing half-written and no lock`, async () => {
    const ending = new AbortController();
    const abort = () => {
      ending.abort(INTERRUPTED);
      throw INTERRUPTED;
    };
    const { failure, calls } = await runUp([], fakeParts(url, overridesFor(abort)), ending);
    assert.equal(failure, INTERRUPTED);
    assert.equal(calls.includes("start node"), calls.includes("close node"));
    assert.ok(!existsSync(join(dataDir, "lock")));
    assert.deepEqual(readdirSync(join(dataDir, "build")), []);
  });
}

test("Ctrl-C while the first question is open, and once all is ready, ends the node", async () => {
  for (const moment of ["asking", "ready"]) {
    const ending = new AbortController();
    const whole = answer;
    answer = (request, response) => {
      setTimeout(() => ending.abort(INTERRUPTED), 50);
      if (moment === "ready") whole(request, response);
    };
    const { failure, calls, events } = await runUp([], fakeParts(url), ending);
    assert.equal(failure, INTERRUPTED);
    assert.equal(calls.at(-1), "close node");
    assert.equal(events.at(-1)?.event === "ready", moment === "ready");
    answer = whole;
  }
});

test("--open shows the node's page once all is ready", async () => {
  const ending = new AbortController();
  const opened = { openBrowser: () => ending.abort(INTERRUPTED) };
  const { failure } = await runUp(["--open"], fakeParts(url, opened), ending);
  assert.equal(failure, INTERRUPTED);
});

test("a failure to end one thing is a note, and the others are ended all the same", async () => {
  const node = { url, runsOn: "processes" as const, close: () => Promise.reject(new Error("stuck")) };
  const { failure, events } = await runUp(["--check"], fakeParts(url, { startNode: () => Promise.resolve(node) }));
  assert.equal(failure, undefined);
  assert.deepEqual(events.at(-1), { event: "note", message: "while ending: Error: stuck" });
  assert.ok(!existsSync(join(dataDir, "lock")));
});

test("a disk that fills up is told with the data directory", async () => {
  const full = Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
  const { failure } = await runUp([], fakeParts(url, { findModel: () => Promise.reject(full) }));
  assert.equal((failure as CodedError).code, "disk_full");
  assert.ok((failure as CodedError).message.includes(dataDir));
});
