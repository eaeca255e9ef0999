/**
 * Builds the volumes in this folder and again in a copy of it: compiled anew, with files that were made in another
 * order, at another time and with other permissions, in another time zone and language, and, where the path of
 * another Node.js is given, by that one. Equal sources must become equal bytes.
 *
 * `npm run check:reproducible [-- NODE…]`; takes 300 MB below the system's temporary folder for each copy.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { lstatSync, realpathSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { planCodeVolume } from "../deploy/image/code-volume.ts";
import { planModelVolume } from "../deploy/image/model-volume.ts";
import { buildSquashfs } from "../deploy/image/squashfs.ts";
import { runtimeRecipe } from "../deploy/parts/runtime.ts";

const BUILD_HERE = "--build-here";
const SOURCES = ["src", "deploy", "scripts", "test", "package.json", "package-lock.json"];
const CONFIGS = /^tsconfig.*\.json$/;
const DEMO_MODEL = join("deploy", "catalogue", "demo", "aleph-tiny-chat.Q8_0.gguf");

const root = fileURLToPath(new URL("../..", import.meta.url));
// Copies use those that were downloaded here.
const packages = process.env["PINFERENCE_PACKAGES_DIR"] ?? join(root, ".cache", "packages");
const [first, ...others] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "pinference-reproducible-"));
try {
  if (first === BUILD_HERE) console.log(JSON.stringify(await buildVolumes()));
  else await compare(first === undefined ? [process.execPath] : [first, ...others]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

type Hashes = Readonly<Record<string, string>>;

async function buildVolumes(): Promise<Hashes> {
  const model = { ggufPath: join(root, DEMO_MODEL), fileName: "model.gguf", card: { b: 1, a: { d: "ä", c: [2] } } };
  const gzip = { compression: "gzip" } as const;
  const runtime = await (await runtimeRecipe(root, packages, true)).build(join(folder, "runtime"), {});
  const code = await buildSquashfs((await planCodeVolume({ packageRoot: root })).plan, join(folder, "code"), gzip);
  const weights = await buildSquashfs(await planModelVolume(model), join(folder, "model"), { compression: "none" });
  return { runtime: runtime.sha256, code: code.sha256, model: weights.sha256 };
}

async function compare(nodes: readonly string[]): Promise<void> {
  const wanted = await buildVolumes();
  console.log(`here, Node.js ${process.version}: ${JSON.stringify(wanted)}`);
  for (const [at, node] of nodes.entries()) {
    const copy = join(folder, `copy ${at} ü`);
    copySources(copy);
    const found = buildIn(copy, node);
    const different = Object.keys(wanted).filter((volume) => found[volume] !== wanted[volume]);
    console.log(`${different.length === 0 ? "ok" : `DIFFERENT: ${different.join(", ")}`}: ${node} in a copy`);
    if (different.length > 0) {
      console.log(JSON.stringify(found));
      process.exitCode = 1;
    }
    rmSync(copy, { recursive: true });
  }
}

function copySources(copy: string): void {
  mkdirSync(copy);
  copyBackwards(realpathSync(join(root, "node_modules")), join(copy, "node_modules"));
  const configs = readdirSync(root).filter((name) => CONFIGS.test(name));
  for (const name of [...SOURCES, ...configs]) cpSync(join(root, name), join(copy, name), { recursive: true });
}

/** Last names first, for the owner only, with the time of now. */
function copyBackwards(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 });
  for (const name of readdirSync(from).toSorted().toReversed()) {
    const [source, target] = [join(from, name), join(to, name)];
    const stats = lstatSync(source);
    if (stats.isDirectory()) copyBackwards(source, target);
    else if (stats.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else {
      copyFileSync(source, target);
      chmodSync(target, stats.mode & 0o700);
    }
  }
}

function buildIn(copy: string, node: string): Hashes {
  const env = {
    PATH: process.env["PATH"],
    PINFERENCE_PACKAGES_DIR: packages,
    TZ: "Asia/Kathmandu",
    LANG: "tr_TR.UTF-8",
    LC_ALL: "tr_TR.UTF-8",
  };
  const run = (...args: string[]) => execFileSync(node, args, { cwd: copy, env, encoding: "utf8" });
  for (const config of ["tsconfig.build.json", "tsconfig.emit.json"]) {
    run(join("node_modules", "typescript", "bin", "tsc"), "-p", config);
  }
  run(join("scripts", "build-page.mjs"));
  return JSON.parse(run(join("dist", "scripts", "check-reproducible.js"), BUILD_HERE)) as Hashes;
}
