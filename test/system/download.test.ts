import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { test } from "node:test";

import { demoModelPath } from "../support/demo-model.ts";
import { FileHub } from "../support/file-hub.ts";
import { scratchDirectory } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";
import { UpProcess } from "../support/up-process.ts";

const MODEL = "hf:owner/repository/tiny.gguf";
const content = readFileSync(demoModelPath);
const scratch = scratchDirectory();

const upFrom = (hub: FileHub, dataDir: string) =>
  new UpProcess(dataDir, [MODEL, "--check"], { env: { HF_ENDPOINT: hub.url } });

/** Queues an answer that sends the file from the byte asked for to `end`, and then nothing more. */
function stallNextDownloadAt(hub: FileHub, end: number): void {
  hub.next.push(
    (request, response) => hub.answer(request, response),
    (request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      sendHead(response, from);
      response.write(content.subarray(from, end));
    },
  );
  function sendHead(response: ServerResponse, from: number): void {
    const range = { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` };
    response.writeHead(from === 0 ? 200 : 206, {
      etag: hub.etag,
      "content-length": content.length - from,
      ...(from === 0 ? {} : range),
    });
  }
}

async function untilBytes(path: string, bytes: number): Promise<void> {
  while ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < bytes) {
    await new Promise((resolve) => void setTimeout(resolve, 20));
  }
}

test("a download goes on after Ctrl-C and after a kill, and is not needed again", async () => {
  const hub = await new FileHub(content).start();
  const dataDir = join(scratch, "home");
  const path = join(dataDir, "models", "owner", "repository", "tiny.gguf");

  stallNextDownloadAt(hub, 700_000);
  const interrupted = upFrom(hub, dataDir);
  await untilBytes(`${path}.part`, 700_000);
  assert.equal(await interrupted.interrupt(), 130);

  stallNextDownloadAt(hub, 1_400_000);
  const killed = upFrom(hub, dataDir);
  await untilBytes(`${path}.part`, 1_400_000);
  killed.child.kill("SIGKILL");
  await killed.ended();

  const whole = upFrom(hub, dataDir);
  assert.equal((await whole.ready()).models[0]?.model, "tiny");
  assert.ok(whole.stages.includes("model downloaded"));
  assert.equal(await whole.ended(), 0);
  assert.deepEqual(readdirSync(join(path, "..")).toSorted(), ["tiny.gguf", "tiny.gguf.json"]);
  assert.deepEqual(hub.askedRanges, [undefined, "bytes=700000-", "bytes=1400000-"]);

  hub.stop();
  const offline = upFrom(hub, dataDir);
  assert.equal(await offline.ended(), 0);
  assert.ok(offline.stages.includes("model cached"));
});

test("other bytes than the hub promises are refused and thrown away", async () => {
  const hub = await new FileHub(content).start();
  hub.linkedEtag = "ab".repeat(32);
  const dataDir = join(scratch, "other-bytes");
  const up = upFrom(hub, dataDir);
  assert.equal(await up.ended(), 3);
  assert.equal(up.error?.code, "hash_mismatch");
  assert.match(up.error?.message ?? "", /abababab/);
  assert.deepEqual(readdirSync(join(dataDir, "models", "owner", "repository")), []);
});

test("without a connection, it is told soon which host was asked", async () => {
  const hub = await new FileHub(content).start();
  hub.stop();
  const up = upFrom(hub, join(scratch, "offline"));
  assert.equal(await up.ended(), 3);
  assert.equal(up.error?.code, "download_failed");
  assert.ok(up.error?.message.includes(new URL(hub.url).host));
});

test("a disk too small for the model is told before the download", async (t) => {
  const disk = join(scratch, "disk");
  const mount = mountTmpfs(disk, "size=20m");
  if (typeof mount === "string") return t.skip(mount);
  try {
    const hub = await new FileHub(content).start();
    const up = upFrom(hub, disk);
    assert.equal(await up.ended(), 1);
    assert.equal(up.error?.code, "disk_full");
    assert.match(up.error?.message ?? "", /MiB.*--data-dir/);
    assert.deepEqual(hub.askedRanges, []);
    assert.ok(!existsSync(join(disk, "lock")));
  } finally {
    mount.unmount();
  }
});
