import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { planCodeVolume } from "../../../deploy/image/code-volume.ts";
import { extractSquashfs } from "../../../deploy/image/extract-squashfs.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { temporaryFolder } from "./support.ts";

const packageRoot = fileURLToPath(new URL("../../../../", import.meta.url));
const demoModel = join(packageRoot, "deploy/catalogue/demo/aleph-tiny-chat.Q8_0.gguf");
const expectedPackages = join(packageRoot, "test/fixtures/code-volume-packages.json");

test("every package of the code volume is on the list, with its reason", async (t) => {
  const { packages, plan, backend } = planCodeVolume({ packageRoot });
  t.diagnostic(`${packages.length} packages, ${plan.entries.length} entries, ${plan.dataBytes} bytes, ${backend}`);
  const expected = JSON.parse(await readFile(expectedPackages, "utf8")) as Record<string, string>;
  const names = new Set(packages.map(({ name }) => name.replace(/^@node-llama-cpp\/.*/, "@node-llama-cpp/<backend>")));
  assert.deepEqual([...names].toSorted(), Object.keys(expected).toSorted());
  for (const [name, reason] of Object.entries(expected)) assert.ok(reason.length > 0, name);
});

test("the code volume holds no sources, types, notes, tests or command lines, and only plain modes", () => {
  const { plan } = planCodeVolume({ packageRoot });
  for (const { path, mode, content } of plan.entries) {
    assert.doesNotMatch(path, /\.(?:[cm]?ts|map|cpp|h|gbnf|cmake)$|readme|\/(?:test|bin|templates)(?:\/|$)/i);
    assert.equal(mode, content.kind === "directory" ? 0o755 : 0o644, path);
  }
  const paths = new Set(plan.entries.map(({ path }) => path));
  for (const path of ["package.json", "src/domain/hash.js", "node_modules/express/index.js"])
    assert.ok(paths.has(path));
});

test("the server runs from an extracted code volume, alone in a folder", async (t) => {
  const folder = await temporaryFolder(t);
  const code = join(folder, "code");
  const built = await buildSquashfs(planCodeVolume({ packageRoot }).plan, join(folder, "image"), {
    compression: "gzip",
  });
  t.diagnostic(`${built.bytes} bytes compressed`);
  await extractSquashfs(built.path, code);
  const socketPath = join(folder, "server.sock");
  const server = spawn(process.execPath, [join(code, "src/main.js")], {
    cwd: code,
    env: { UV_THREADPOOL_SIZE: "1", PINFERENCE_SOCKET: socketPath, PINFERENCE_MODEL: demoModel },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => server.kill("SIGKILL"));
  // The first line says that it listens.
  await once(server.stdout, "data");
  const asking = request({ socketPath, method: "POST", path: "/v1/chat/completions" });
  asking.end(JSON.stringify({ messages: [{ role: "user", content: "Say this is a test" }], temperature: 0 }));
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  assert.match(await text(answer), /"content":"This is a test\."/);
});

function manifest(name: string, more: object = {}): string {
  return JSON.stringify({ name, version: "1.0.0", ...more });
}

/** A package root with a server, its dependencies, and whatever else a test puts there. */
async function fakeRoot(folder: string, extra: Record<string, string> = {}): Promise<string> {
  const files: Record<string, string> = {
    "package.json": manifest("server"),
    "dist/src/main.js": "main",
    "dist/src/main.d.ts": "types",
    "node_modules/express/package.json": manifest("express", { dependencies: { a: "1" } }),
    "node_modules/zod/package.json": manifest("zod"),
    "node_modules/a/package.json": manifest("a", { dependencies: { b: "1" } }),
    "node_modules/a/node_modules/b/package.json": manifest("b"),
    "node_modules/b/package.json": JSON.stringify({ name: "b", version: "2.0.0" }),
    "node_modules/unused/package.json": manifest("unused"),
    "node_modules/@node-llama-cpp/linux-x64/package.json": manifest("@node-llama-cpp/linux-x64"),
    ...extra,
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

test("packages are found as Node.js finds them, nested ones first, unused ones not at all", async (t) => {
  const { packages, portable } = planCodeVolume({ packageRoot: await fakeRoot(await temporaryFolder(t)) });
  assert.deepEqual(
    packages.map(({ path, version }) => `${path} ${version}`),
    [
      "node_modules/@node-llama-cpp/linux-x64 1.0.0",
      "node_modules/a 1.0.0",
      "node_modules/a/node_modules/b 1.0.0",
      "node_modules/express 1.0.0",
      "node_modules/zod 1.0.0",
    ],
  );
  assert.equal(portable, true);
});

test("the licence stays when other notes go", async (t) => {
  const packageFiles = [
    "LICENSE.md",
    "README.md",
    "index.js",
    "index.d.ts",
    "test/index.js",
    ".npmignore",
    "yarn.lock",
  ];
  const extra = Object.fromEntries(packageFiles.map((name) => [`node_modules/zod/${name}`, "x"]));
  const { plan } = planCodeVolume({ packageRoot: await fakeRoot(await temporaryFolder(t), extra) });
  assert.deepEqual(
    plan.entries.map(({ path }) => path).filter((path) => path.startsWith("node_modules/zod/")),
    ["LICENSE.md", "index.js", "package.json"].map((name) => `node_modules/zod/${name}`),
  );
});

test("the same packages in another folder, made under another umask, give the same volume", async (t) => {
  const hashes = [];
  for (const umask of [0o022, 0o077]) {
    const folder = await temporaryFolder(t);
    const before = process.umask(umask);
    const root = await fakeRoot(join(folder, "root"));
    process.umask(before);
    const { plan } = planCodeVolume({ packageRoot: root });
    hashes.push((await buildSquashfs(plan, join(folder, "image"), { compression: "gzip" })).sha256);
  }
  assert.equal(hashes[0], hashes[1]);
});

test("a missing server, dependency or backend is named with what to run", async (t) => {
  const folder = await temporaryFolder(t);
  assert.throws(() => planCodeVolume({ packageRoot: folder }), {
    code: "image_plan_invalid",
    message: /npm run build/,
  });
  const root = await fakeRoot(folder, {
    "node_modules/zod/package.json": JSON.stringify({ name: "zod", version: "1", dependencies: { gone: "1" } }),
  });
  assert.throws(() => planCodeVolume({ packageRoot: root }), { code: "image_plan_invalid", message: /"gone".*npm ci/ });
});
