import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { createTar } from "nanotar";

import { unpackDeb, unpackNpm } from "../../../deploy/packages/unpack.ts";
import { CodedError } from "../../../src/domain/errors.ts";

/** `tar -cf - ./usr | xz`, of usr/bin/hello ("hello\n") and a link to it. */
const XZ =
  "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AI9dABcLyyeJ8uv7sv6J4fnJCB0cKj6MUKgZCwf2u7wMQt2e6vgvehQh+vHgK/azwYJYvwcQBi1t2iMbs1SUu7sgX+SN+WAk6Z1fhZKg/kH8b/WPGwRTqJZB3dvYkNpD5Se8B5p+et98/uEyxq4GqYAq1xZV0H0FArYU5lYTVWxKVQjimEG/i+hE9qszhDz/SwMAAABnujJwqTYoTAABqwGAUAAAy4QLDLHEZ/sCAAAAAARZWg==";

function toDeb(members: Readonly<Record<string, Uint8Array>>): Buffer {
  const parts = Object.entries(members).flatMap(([name, content]) => [
    Buffer.from(`${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}`),
    Buffer.from(`${String(content.byteLength).padEnd(10)}\`\n`),
    content,
    Buffer.alloc(content.byteLength & 1, "\n"),
  ]);
  return Buffer.concat([Buffer.from("!<arch>\n"), ...parts]);
}

const text = (files: ReadonlyMap<string, Uint8Array>) =>
  Object.fromEntries([...files].map(([path, content]) => [path, Buffer.from(content).toString()]));

test("a Debian package gives its regular files, compressed with xz or gzip or not at all", async () => {
  const tar = createTar([
    { name: "./usr/bin/hello", data: "hello\n" },
    { name: "./etc/empty", data: "" },
  ]);
  const control = { "debian-binary": Buffer.from("2.0\n"), "control.tar.xz": Buffer.from("odd") };
  const expected = { "usr/bin/hello": "hello\n", "etc/empty": "" };
  assert.deepEqual(text(await unpackDeb(toDeb({ ...control, "data.tar": tar }))), expected);
  assert.deepEqual(text(await unpackDeb(toDeb({ ...control, "data.tar.gz": gzipSync(tar) }))), expected);
  const xz = toDeb({ ...control, "data.tar.xz": Buffer.from(XZ, "base64") });
  assert.deepEqual(text(await unpackDeb(xz)), { "usr/bin/hello": "hello\n" });
});

test("a package is unpacked from a window on a larger buffer", async () => {
  const deb = toDeb({ "data.tar": createTar([{ name: "a", data: "1" }]) });
  const wide = Buffer.concat([Buffer.alloc(100, 7), deb, Buffer.alloc(100, 7)]);
  assert.deepEqual(text(await unpackDeb(wide.subarray(100, 100 + deb.byteLength))), { a: "1" });
});

for (const [what, deb, reason] of [
  ["no archive", Buffer.from("PK something else"), /no ar archive/],
  ["no files", toDeb({ "control.tar.xz": Buffer.from("x") }), /no data\.tar/],
  ["an unknown compression", toDeb({ "data.tar.lz": Buffer.from("x") }), /data\.tar\.lz/],
  ["a cut end", toDeb({ "data.tar": Buffer.alloc(2048) }).subarray(0, 500), /cut off/],
] as const) {
  test(`a package with ${what} is refused`, async () => {
    await assert.rejects(
      unpackDeb(deb),
      (error) => error instanceof CodedError && error.code === "image_plan_invalid" && reason.test(error.message),
    );
  });
}

test("npm's archive gives its files below package/", () => {
  const tgz = gzipSync(createTar([{ name: "package/bin/node", data: "elf" }]));
  assert.deepEqual(text(unpackNpm(tgz)), { "package/bin/node": "elf" });
});
