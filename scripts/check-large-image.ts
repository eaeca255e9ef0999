/**
 * Builds images whose numbers need more than 32 bits and compares what comes out, with our reader and, where they are
 * at hand, with unsquashfs and the kernel. Too slow for the test suite; takes 9 GiB below the folder given, which is
 * by default the system's temporary one: `node dist/scripts/check-large-image.js [FOLDER]`.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { planImage, type PlanEntry } from "../deploy/image/plan.ts";
import { SquashfsReader } from "../deploy/image/read-squashfs.ts";
import { buildSquashfs } from "../deploy/image/squashfs.ts";

const BIG_BYTES = 4.25 * 2 ** 30;

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), "pinference-large-"));
try {
  const source = join(folder, "source");
  await writeSource(source, 1);
  await check("a file and an image beyond 4 GiB, and a file that begins there", source);
  rmSync(source);
  await writeSource(source, 1024);
  await check("a sparse file beyond 4 GiB", source);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** One mebibyte of noise out of every `period`; the rest are holes. */
async function writeSource(path: string, period: number): Promise<void> {
  const file = await open(path, "w");
  const noise = randomBytes(1 << 20);
  for (let at = 0; at < BIG_BYTES; at += period * noise.byteLength) await file.write(noise, 0, noise.byteLength, at);
  await file.truncate(BIG_BYTES);
  await file.close();
}

async function check(what: string, source: string): Promise<void> {
  const entries: PlanEntry[] = [
    { path: "big", mode: 0o644, content: { kind: "file", sourcePath: source, bytes: BIG_BYTES } },
    { path: "last", mode: 0o644, content: { kind: "bytes", content: Buffer.from("the last file\n") } },
  ];
  const built = await buildSquashfs(planImage(entries), join(folder, "image"), { compression: "none" });
  const wanted = { big: await sha256(createReadStream(source)), last: await sha256([Buffer.from("the last file\n")]) };
  assert.equal(built.sha256, await sha256(createReadStream(built.path)));
  assert.deepEqual(await hashesOfReader(built.path), wanted);
  console.log(`ok: our reader, ${what} (image of ${built.bytes} bytes)`);
  await checkWith("unsquashfs", what, wanted, (target) => {
    execFileSync("unsquashfs", ["-no-progress", "-quiet", "-d", target, built.path], { stdio: "pipe" });
    return () => rmSync(target, { recursive: true });
  });
  await checkWith("the kernel", what, wanted, (target) => {
    mkdirSync(target);
    execFileSync("mount", ["-t", "squashfs", "-o", "loop,ro", built.path, target], { stdio: "pipe" });
    return () => execFileSync("umount", [target]);
  });
}

async function hashesOfReader(path: string): Promise<Record<string, string>> {
  const image = await SquashfsReader.open(path);
  const hashes: Record<string, string> = {};
  for (const entry of image.entries()) {
    if (entry.kind === "file") hashes[entry.path] = await sha256(image.readFile(entry));
  }
  await image.close();
  return hashes;
}

async function checkWith(
  judge: string,
  what: string,
  wanted: Readonly<Record<string, string>>,
  show: (target: string) => () => void,
): Promise<void> {
  const target = join(folder, "tree");
  let hide: () => void;
  try {
    hide = show(target);
  } catch (error) {
    rmSync(target, { recursive: true, force: true });
    console.log(`skipped: ${judge}, ${what}: ${String(error).split("\n")[0]}`);
    return;
  }
  try {
    for (const [name, hash] of Object.entries(wanted)) {
      assert.equal(await sha256(createReadStream(join(target, name))), hash, `${judge}: ${name}`);
    }
    console.log(`ok: ${judge}, ${what}`);
  } finally {
    hide();
    rmSync(target, { recursive: true, force: true });
  }
}

async function sha256(chunks: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
