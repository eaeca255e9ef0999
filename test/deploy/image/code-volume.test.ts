import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { planCodeVolume } from "../../../deploy/image/code-volume.ts";
import type { ImagePlan } from "../../../deploy/image/plan.ts";
import { extractSquashfs } from "../../../deploy/image/extract-squashfs.ts";
import { buildSquashfs } from "../../../deploy/image/squashfs.ts";
import { temporaryFolder } from "./support.ts";

const packageRoot = fileURLToPath(new URL("../../../../", import.meta.url));
const demoModel = join(packageRoot, "deploy/catalogue/demo/aleph-tiny-chat.Q8_0.gguf");
const expectedPackages = join(packageRoot, "test/fixtures/code-volume-packages.json");

test("every package of the code volume is on the list, with its reason", async (t) => {
  const { packages, plan, backend } = await planCodeVolume({ packageRoot });
  t.diagnostic(`${packages.length} packages, ${plan.entries.length} entries, ${plan.dataBytes} bytes, ${backend}`);
  const expected = JSON.parse(await readFile(expectedPackages, "utf8")) as Record<string, string>;
  const names = new Set(packages.map(({ name }) => name.replace(/^@node-llama-cpp\/.*/, "@node-llama-cpp/<backend>")));
  assert.deepEqual([...names].toSorted(), Object.keys(expected).toSorted());
  for (const [name, reason] of Object.entries(expected)) assert.ok(reason.length > 0, name);
});

/** Every file of the code volume, and why it is there. */
const REASONS: readonly (readonly [path: RegExp, why: string])[] = [
  [/^src\/main\.js$/, "the server"],
  [/^page\/(?:index\.html|assets\/(?:app|style|icon)-[0-9a-f]{12}\.\w+)$/, "what browsers get"],
  [/^page\/assets\/licences-[0-9a-f]{12}\.txt$/, "the licences of what is in the page"],
  [/^notices\.txt$/, "the licences of what is in the server's file"],
  [/^package\.json$/, "name and version; and says that main.js is no ES module"],
  [/^node_modules\/@node-llama-cpp\/[\w-]+\/bins\/[\w-]+\/[\w.-]+\.(?:so|node|dylib|dll|metal)$/, "llama.cpp"],
  [/^node_modules\/@node-llama-cpp\/[\w-]+\/bins\/[\w-]+\/_nlcBuildMetadata\.json$/, "how that was compiled"],
  [/^node_modules\/@node-llama-cpp\/[\w-]+\/dist\/index\.js$/, "says where that is"],
  [/^node_modules\/@node-llama-cpp\/[\w-]+\/package\.json$/, "says which version that is"],
  [/^node_modules\/@node-llama-cpp\/[\w-]+\/LICENSE$/, "its licence"],
];

test("every file of the code volume has a reason and a plain mode", async () => {
  const { plan } = await planCodeVolume({ packageRoot });
  const files = plan.entries.filter(({ content }) => content.kind !== "directory").map(({ path }) => path);
  for (const path of files) assert.equal(REASONS.filter(([pattern]) => pattern.test(path)).length, 1, path);
  for (const [pattern, why] of REASONS)
    assert.ok(
      files.some((path) => pattern.test(path)),
      why,
    );
  for (const { path, mode, content } of plan.entries) {
    assert.equal(mode, content.kind === "directory" ? 0o755 : 0o644, path);
  }
});

test("of zod only what is used is bundled", async () => {
  const server = fileOf((await planCodeVolume({ packageRoot })).plan, "src/main.js");
  assert.match(server, /\/\/ node_modules\/zod\/v4\/core\/schemas\.js/);
  assert.doesNotMatch(server, /\/\/ node_modules\/zod\/v4\/locales\/fr\.js/);
});

test("the notices hold name, version and licence of each package that is bundled", async () => {
  const { plan, packages, backend } = await planCodeVolume({ packageRoot });
  const notices = fileOf(plan, "notices.txt");
  for (const { name, version } of packages.filter((one) => one.name !== backend)) {
    assert.match(notices, new RegExp(`^${name} ${version.replaceAll(".", "\\.")}: \\w`, "m"), name);
  }
  assert.match(notices, /Copyright \(c\) 2009-2014 TJ Holowaychuk/);
});

function fileOf(plan: ImagePlan, path: string): string {
  const content = plan.entries.find((entry) => entry.path === path)?.content;
  assert.ok(content?.kind === "bytes", path);
  return Buffer.from(content.content).toString();
}

test("the server runs from an extracted code volume, alone in a folder", async (t) => {
  const folder = await temporaryFolder(t);
  const code = join(folder, "code");
  const built = await buildSquashfs((await planCodeVolume({ packageRoot })).plan, join(folder, "image"), {
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

  // What the library's public interface needs is not in there.
  const other = spawn(process.execPath, [join(code, "src/main.js")], {
    cwd: code,
    env: { PINFERENCE_PORT: "0", PINFERENCE_MODEL: demoModel, PINFERENCE_BINDINGS: "public" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => other.kill("SIGKILL"));
  let log = "";
  for await (const piece of other.stdout) if ((log += String(piece)).includes("load_failed")) break;
  assert.match(log, /load_failed.*a code volume holds its addon only/);
});

function manifest(name: string, more: object = {}): string {
  return JSON.stringify({ name, version: "1.0.0", license: "MIT", ...more });
}

/** A package root with a server, its dependencies, and whatever else a test puts there. */
async function fakeRoot(folder: string, extra: Record<string, string> = {}): Promise<string> {
  const files: Record<string, string> = {
    "package.json": manifest("server", { type: "module" }),
    "dist/src/main.js": 'import { fail } from "./deep/module.js"; import a from "a"; console.log(a); fail();',
    "dist/src/deep/module.js": "export function fail() { throw new Error(import.meta.url); }",
    "dist/src/main.d.ts": "types",
    "dist/src/page/index.html": "page",
    "node_modules/a/package.json": manifest("a"),
    "node_modules/a/index.js": 'module.exports = "a with " + require("b");',
    "node_modules/a/node_modules/b/package.json": manifest("b"),
    "node_modules/a/node_modules/b/index.js": 'module.exports = "its own b";',
    "node_modules/b/package.json": JSON.stringify({ name: "b", version: "2.0.0" }),
    "node_modules/b/index.js": 'module.exports = "another b";',
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
  const { packages, portable, plan } = await planCodeVolume({ packageRoot: await fakeRoot(await temporaryFolder(t)) });
  assert.deepEqual(
    packages.map(({ name, version }) => `${name} ${version}`),
    ["@node-llama-cpp/linux-x64 1.0.0", "a 1.0.0", "b 1.0.0"],
  );
  assert.equal(portable, true);
  assert.doesNotMatch(fileOf(plan, "src/main.js"), /another b/);
});

test("an error of the bundled server names its functions, at a line below its module's name", async (t) => {
  const root = await fakeRoot(await temporaryFolder(t));
  const bundled = fileOf((await planCodeVolume({ packageRoot: root })).plan, "src/main.js");
  await writeFile(join(root, "bundled.cjs"), bundled);
  const { stdout, stderr } = spawnSync(process.execPath, [join(root, "bundled.cjs")], { encoding: "utf8" });
  assert.equal(stdout, "a with its own b\n");
  const [, line] = /Error: file:.*\n +at fail \(.*bundled\.cjs:(\d+):\d+\)/.exec(stderr) ?? assert.fail(stderr);
  const before = bundled
    .split("\n")
    .slice(0, Number(line))
    .filter((one) => one.startsWith("// "));
  assert.equal(before.at(-1), "// dist/src/deep/module.js");
});

test("the licence stays when other notes go", async (t) => {
  const backend = "node_modules/@node-llama-cpp/linux-x64";
  const names = ["LICENSE.md", "README.md", "index.js", "index.d.ts", ".npmignore", "yarn.lock"];
  const extra = Object.fromEntries(names.map((name) => [`${backend}/${name}`, "x"]));
  const { plan } = await planCodeVolume({ packageRoot: await fakeRoot(await temporaryFolder(t), extra) });
  assert.deepEqual(
    plan.entries.map(({ path }) => path).filter((path) => path.startsWith(`${backend}/`)),
    ["LICENSE.md", "index.js", "package.json"].map((name) => `${backend}/${name}`),
  );
});

test("the same packages in another folder, under another umask and compiler settings, give the same volume", async (t) => {
  const hashes = [];
  for (const umask of [0o022, 0o077]) {
    const folder = await temporaryFolder(t);
    const before = process.umask(umask);
    const root = await fakeRoot(join(folder, "root"));
    process.umask(before);
    if (umask === 0o077) await writeFile(join(root, "tsconfig.json"), '{ "compilerOptions": { "strict": true } }');
    const { plan } = await planCodeVolume({ packageRoot: root });
    hashes.push((await buildSquashfs(plan, join(folder, "image"), { compression: "gzip" })).sha256);
  }
  assert.equal(hashes[0], hashes[1]);
});

test("packages behind a link give the same volume", { skip: process.platform === "win32" && "no links" }, async (t) => {
  const [root, other] = [await fakeRoot(await temporaryFolder(t)), await temporaryFolder(t)];
  const plain = fileOf((await planCodeVolume({ packageRoot: root })).plan, "src/main.js");
  await rename(join(root, "node_modules"), join(other, "elsewhere"));
  await symlink(join(other, "elsewhere"), join(root, "node_modules"));
  assert.equal(fileOf((await planCodeVolume({ packageRoot: root })).plan, "src/main.js"), plain);
});

test("a missing server, dependency, licence or backend is named with what to run", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "package.json"), manifest("server"));
  await assert.rejects(planCodeVolume({ packageRoot: folder }), {
    code: "image_plan_invalid",
    message: /main\.js.*npm run build/,
  });
  const importing = await fakeRoot(join(folder, "gone"), { "node_modules/a/index.js": 'require("gone");' });
  await assert.rejects(planCodeVolume({ packageRoot: importing }), {
    code: "image_plan_invalid",
    message: /"gone".*npm ci/,
  });
  const unlicensed = JSON.stringify({ name: "a", version: "1.0.0" });
  const silent = await fakeRoot(join(folder, "silent"), { "node_modules/a/package.json": unlicensed });
  await assert.rejects(planCodeVolume({ packageRoot: silent }), {
    code: "image_plan_invalid",
    message: /"a".*licence/,
  });
  const none = await fakeRoot(join(folder, "none"));
  await rm(join(none, "node_modules/@node-llama-cpp"), { recursive: true });
  await assert.rejects(planCodeVolume({ packageRoot: none }), { code: "image_plan_invalid", message: /npm ci/ });
});
