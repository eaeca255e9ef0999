import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { fetchModel, type FetchOptions } from "../../../deploy/catalogue/fetch-model.ts";
import { hubFrom } from "../../../deploy/catalogue/hub.ts";
import { parseSha256 } from "../../../src/domain/hash.ts";
import { FileHub, status } from "../../support/file-hub.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const scratch = scratchDirectory();
const content = Buffer.alloc(3_000_000, "pinference ");
const sha256 = createHash("sha256").update(content).digest("hex");
const source = { kind: "hub", owner: "o", repository: "r", file: "sub/f.gguf", revision: undefined } as const;
let runs = 0;

/** A hub and an empty directory for one test. */
async function setUp(options: Partial<FetchOptions> = {}) {
  const hub = await new FileHub(content).start();
  const root = join(scratch, String(runs++));
  const path = join(root, "models", "o", "r", "sub", "f.gguf");
  const fetchOnce = (more: Partial<FetchOptions> = {}) =>
    fetchModel(source, {
      modelsDirectory: join(root, "models"),
      cacheDirectory: join(root, "cache"),
      environment: { HF_ENDPOINT: hub.url },
      firstDelayMs: 1,
      ...options,
      ...more,
    });
  const leavePart = async (bytes: number) => {
    hub.cutNextDownloadAt(bytes);
    const aborter = new AbortController();
    await assert.rejects(fetchOnce({ signal: aborter.signal, onNotice: () => aborter.abort() }), {
      code: "interrupted",
    });
    assert.ok(statSync(`${path}.part`).size > 0);
  };
  return { hub, path, fetchOnce, leavePart };
}

function filesBeside(path: string): string[] {
  return readdirSync(dirname(path)).toSorted();
}

test("a file is fetched whole, at its commit, and compared with the hub's hash", async () => {
  const { hub, path, fetchOnce } = await setUp();
  const seen: number[] = [];
  const fetched = await fetchOnce({ onProgress: ({ doneBytes }) => seen.push(doneBytes) });
  const commit = "c".repeat(40);
  assert.deepEqual(fetched, { path, bytes: 3_000_000, sha256, verifiedBy: "hub", commit, downloaded: true });
  assert.ok(readFileSync(path).equals(content));
  assert.deepEqual(filesBeside(path), ["f.gguf", "f.gguf.json"]);
  assert.equal(hub.requests[0]?.path, "/o/r/resolve/main/sub/f.gguf");
  assert.equal(hub.requests[1]?.path, `/o/r/resolve/${commit}/sub/f.gguf`);
  assert.equal(seen[0], 0);
  assert.equal(seen.at(-1), 3_000_000);
});

test("a second run asks nobody", async () => {
  const { hub, fetchOnce } = await setUp();
  await fetchOnce();
  hub.stop();
  const again = await fetchOnce();
  assert.deepEqual([again.downloaded, again.verifiedBy, again.sha256], [false, "hub", sha256]);
});

test("a file that was damaged since is fetched anew", async () => {
  const { path, fetchOnce } = await setUp();
  await fetchOnce();
  writeFileSync(path, "damaged");
  assert.equal((await fetchOnce()).downloaded, true);
  assert.ok(readFileSync(path).equals(content));
});

test("a file put there by hand is recognised by the catalogue's hash", async () => {
  const { hub, path, fetchOnce } = await setUp();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  const fetched = await fetchOnce({ sha256: parseSha256(sha256) });
  assert.deepEqual([fetched.downloaded, fetched.verifiedBy], [false, "catalogue"]);
  assert.equal(hub.requests.length, 0);
});

test("a connection cut in the middle is taken up again within the same run", async () => {
  const { hub, path, fetchOnce } = await setUp();
  hub.cutNextDownloadAt(1_000_000);
  const notices: string[] = [];
  await fetchOnce({ onNotice: (sentence) => notices.push(sentence) });
  assert.ok(readFileSync(path).equals(content));
  assert.match(notices[0] ?? "", /^the connection to 127\.0\.0\.1:\d+ was lost.*; trying again in 1 s$/);
  assert.deepEqual(hub.askedRanges, [undefined, "bytes=1000000-"]);
});

test("an abort keeps the part, and the next run goes on behind it", async () => {
  const { hub, path, fetchOnce, leavePart } = await setUp();
  await leavePart(1_000_000);
  assert.deepEqual(filesBeside(path), ["f.gguf.part", "f.gguf.part.json"]);
  await fetchOnce();
  assert.ok(readFileSync(path).equals(content));
  assert.equal(hub.askedRanges.at(-1), "bytes=1000000-");
});

test("a part of other content is thrown away", async () => {
  const { hub, path, fetchOnce, leavePart } = await setUp();
  await leavePart(1_000_000);
  hub.content = Buffer.alloc(2_000_000, "another model ");
  hub.linkedEtag = createHash("sha256").update(hub.content).digest("hex");
  await fetchOnce();
  assert.ok(readFileSync(path).equals(hub.content));
  assert.equal(hub.askedRanges.at(-1), undefined);
});

test("content that changes between two connections of one run is noticed by its tag", async () => {
  const { hub, path, fetchOnce } = await setUp();
  hub.linkedEtag = undefined;
  const other = Buffer.alloc(content.length, "changed ");
  hub.cutNextDownloadAt(1_000_000);
  const notice = () => {
    hub.content = other;
    hub.etag = '"two"';
  };
  const fetched = await fetchOnce({ onNotice: notice });
  assert.ok(readFileSync(path).equals(other));
  assert.equal(fetched.verifiedBy, "nobody");
});

test("a server that ignores ranges is read from the beginning again", async () => {
  const { hub, path, fetchOnce, leavePart } = await setUp();
  await leavePart(1_000_000);
  hub.ranges = false;
  await fetchOnce();
  assert.ok(readFileSync(path).equals(content));
});

test("a part that the server knows nothing of is begun anew", async () => {
  const { hub, path, fetchOnce, leavePart } = await setUp();
  await leavePart(1_000_000);
  hub.next.push((request, response) => hub.answer(request, response), status(416));
  await fetchOnce();
  assert.ok(readFileSync(path).equals(content));
});

test("wrong bytes are deleted, and both hashes named", async () => {
  const { hub, path, fetchOnce } = await setUp();
  hub.linkedEtag = "0".repeat(64);
  await assert.rejects(fetchOnce(), {
    code: "hash_mismatch",
    message: `sub/f.gguf should have the sha256 ${"0".repeat(64)} according to the hub. The downloaded file has ${sha256}. It was deleted. Run the same command again.`,
  });
  assert.deepEqual(filesBeside(path), []);
});

test("the catalogue's hash wins, before anything is downloaded where the hub tells its own", async () => {
  const { hub, fetchOnce } = await setUp({ sha256: parseSha256("1".repeat(64)) });
  await assert.rejects(fetchOnce(), { code: "hash_mismatch", message: /according to the catalogue\. The hub offers/ });
  assert.equal(hub.requests.length, 1);
  hub.linkedEtag = undefined;
  await assert.rejects(fetchOnce(), { code: "hash_mismatch", message: /the catalogue\. The downloaded file has/ });
});

test("429 and 503 are tried again, after the time the server asks for", async () => {
  const { hub, fetchOnce } = await setUp();
  hub.next.push(status(429, { "retry-after": "0" }), status(503));
  const notices: string[] = [];
  await fetchOnce({ onNotice: (sentence) => notices.push(sentence) });
  assert.match(notices[0] ?? "", /answered 429 \(too many requests\); trying again in 0 s/);
  assert.match(notices[1] ?? "", /answered 503/);
});

test("a server that asks for hours, or never recovers, ends the run", async () => {
  const { hub, fetchOnce } = await setUp();
  hub.next.push(status(429, { "retry-after": "7200" }));
  await assert.rejects(fetchOnce(), { code: "download_failed", message: /answered 429 .* run the same command again/ });
  hub.next.push(status(500), status(500), status(500));
  await assert.rejects(fetchOnce(), { code: "download_failed", message: /answered 500/ });
});

test("a connection that brings nothing is given up and tried again", async () => {
  const { hub, fetchOnce } = await setUp({ stallMs: 200 });
  hub.next.push(() => {});
  const notices: string[] = [];
  await fetchOnce({ onNotice: (sentence) => notices.push(sentence) });
  assert.match(notices[0] ?? "", /brought nothing more/);
});

for (const [code, headers, environment, message] of [
  [401, {}, {}, /shows no repository o\/r without an account\. Check the name, or set HF_TOKEN/],
  [401, {}, { HF_TOKEN: "hf_secret" }, /does not accept HF_TOKEN/],
  [403, { "x-error-code": "GatedRepo" }, {}, /accepted its terms\. Accept them at .*\/o\/r and set HF_TOKEN/],
  [404, { "x-error-code": "EntryNotFound" }, {}, /no file sub\/f\.gguf\. The files are listed at .*\/o\/r\/tree\/main/],
  [404, { "x-error-code": "RevisionNotFound" }, {}, /no revision main/],
  [404, { "x-error-code": "RepoNotFound" }, {}, /no repository o\/r/],
  [418, { "x-error-message": "short and stout" }, {}, /answered 418: short and stout/],
] as const) {
  test(`${code} ${JSON.stringify({ ...headers, ...environment })} is said in words`, async () => {
    const { hub, fetchOnce } = await setUp();
    hub.next.push(status(code, headers));
    const fetching = fetchOnce({ environment: { HF_ENDPOINT: hub.url, ...environment } });
    await assert.rejects(fetching, (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /hf_secret/);
      return true;
    });
    assert.equal(hub.requests.length, 1);
  });
}

test("the token is sent to the hub and stays there when it redirects", async () => {
  const { hub, path, fetchOnce } = await setUp();
  const store = await new FileHub(content).start();
  const redirect = status(302, {
    location: `${store.url}/blob`,
    "x-linked-size": String(content.length),
    "x-linked-etag": `"${sha256}"`,
  });
  hub.next.push(redirect, redirect);
  await fetchOnce({ environment: { HF_ENDPOINT: `${hub.url}/`, HF_TOKEN: "hf_secret" } });
  assert.ok(readFileSync(path).equals(content));
  assert.deepEqual(
    hub.requests.map(({ method, authorization }) => [method, authorization]),
    [
      ["HEAD", "Bearer hf_secret"],
      ["GET", "Bearer hf_secret"],
    ],
  );
  assert.deepEqual(
    store.requests.map(({ method, authorization }) => [method, authorization]),
    [["GET", undefined]],
  );
  for (const file of filesBeside(path)) assert.ok(!readFileSync(join(dirname(path), file)).includes("hf_secret"));
});

test("a hub that cannot be reached says so, and that nothing is lost", async () => {
  const { hub, fetchOnce } = await setUp();
  hub.stop();
  await assert.rejects(fetchOnce(), {
    code: "download_failed",
    message:
      /^127\.0\.0\.1:\d+ could not be reached \(ECONNREFUSED\)\. What was downloaded is kept; run the same command again/,
  });
});

test("a disk that is too small is noticed before the download, minus what is there already", async () => {
  const { hub, fetchOnce, leavePart } = await setUp();
  const MIB = 1024 * 1024;
  await assert.rejects(fetchOnce({ freeDiskBytes: async () => 65 * MIB }), {
    code: "disk_full",
    message: /has 65 MiB free; this download needs 3 MiB, and 64 MiB are to stay free\. Make room/,
  });
  assert.deepEqual(hub.askedRanges, []);
  await leavePart(2_500_000);
  await fetchOnce({ freeDiskBytes: async () => 65 * MIB });
});

test("two at once: the second is told who downloads", async () => {
  const { hub, fetchOnce } = await setUp();
  hub.next.push((request, response) => void sleep(300).then(() => hub.answer(request, response)));
  const first = fetchOnce();
  await sleep(100);
  await assert.rejects(fetchOnce(), {
    code: "already_running",
    message: new RegExp(`^f\\.gguf is being downloaded by process ${process.pid} on `),
  });
  await first;
  assert.equal((await fetchOnce()).downloaded, false);
});

test("the lock of a process that is gone is no obstacle", async () => {
  const { path, fetchOnce } = await setUp();
  mkdirSync(dirname(path), { recursive: true });
  const gone = spawn(process.execPath, ["-e", ""]);
  await new Promise((resolve) => gone.on("exit", resolve));
  writeFileSync(`${path}.lock`, JSON.stringify({ pid: gone.pid, host: hostname(), token: "x" }));
  assert.equal((await fetchOnce()).downloaded, true);
  assert.deepEqual(filesBeside(path), ["f.gguf", "f.gguf.json"]);
});

test("a process killed in the middle loses nothing: the next run goes on and finishes", async () => {
  const { hub, path, fetchOnce } = await setUp();
  // The child gets half of the file and then waits for more.
  hub.next.push(
    (request, response) => hub.answer(request, response),
    (_request, response) => {
      response.writeHead(200, { "content-length": content.length, etag: hub.etag });
      response.write(content.subarray(0, 1_500_000));
    },
  );
  const module = new URL("../../../deploy/catalogue/fetch-model.js", import.meta.url).href;
  const options = {
    modelsDirectory: join(path, "..", "..", "..", ".."),
    cacheDirectory: join(scratch, "cache"),
    environment: { HF_ENDPOINT: hub.url },
  };
  const script = `import { fetchModel } from ${JSON.stringify(module)};
    await fetchModel(${JSON.stringify(source)}, ${JSON.stringify(options)});`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" });
  const gone = new Promise((resolve) => child.on("exit", resolve));
  const part = `${path}.part`;
  for (let waited = 0; waited < 200 && !(existsSync(part) && statSync(part).size === 1_500_000); waited++)
    await sleep(50);
  child.kill("SIGKILL");
  await gone;
  assert.equal(statSync(part).size, 1_500_000);
  assert.ok(existsSync(`${path}.lock`));

  assert.equal((await fetchOnce()).sha256, sha256);
  assert.equal(hub.askedRanges.at(-1), "bytes=1500000-");
  assert.deepEqual(filesBeside(path), ["f.gguf", "f.gguf.json"]);
});

test("an endpoint that is no address, or holds a password, is refused without repeating it", () => {
  for (const endpoint of ["huggingface.co", "ftp://x", "https://user:hf_secret@x"]) {
    assert.throws(
      () => hubFrom({ HF_ENDPOINT: endpoint }),
      (error: Error & { code?: string }) => error.code === "config_invalid" && !error.message.includes("hf_secret"),
    );
  }
  assert.equal(hubFrom({}).endpoint.href, "https://huggingface.co/");
});
