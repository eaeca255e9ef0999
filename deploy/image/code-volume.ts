/**
 * The plan of the code volume: the server as one file, its page, and the native backend.
 *
 *   /src/main.js       the compiled server and the packages that it imports (bundle.ts)
 *   /page/**           what browsers get (dist/src/page)
 *   /node_modules/**   one native backend, without notes
 *   /package.json      name and version
 *   /notices.txt       the licences of what is in /src/main.js
 */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { CODE_ENTRYPOINT } from "../../src/domain/volume.ts";
import { bundleProgram } from "./bundle.ts";
import { writeNotices } from "./notices.ts";
import { findPackage, readManifest } from "./package-manifest.ts";
import { FILE_MODE, planImage, type ImagePlan, type PlanEntry } from "./plan.ts";

const SERVER = "dist/src/main.js";
const PAGE = "dist/src/page";
/** The backend's files lie beside the bundle; what needs all of node-llama-cpp is not in a volume. */
export const STAYS_OUT = ["@node-llama-cpp/*", "./public-native.js"];

const EXCLUDED_FILES = /(?:\.[cm]?ts|\.lock|\.map|\.md|\.markdown)$|^\./i;
const LICENCE_FILES = /^(?:licen[cs]e|copying|notice)/i;

export interface CodeVolumePlan {
  readonly plan: ImagePlan;
  /** The backend that is inside. */
  readonly backend: string;
  /** False when the network's backend is not installed and this machine's own stands in: not for publishing. */
  readonly portable: boolean;
  /** The backend and what is bundled, sorted by name. */
  readonly packages: readonly { readonly name: string; readonly version: string }[];
}

/**
 * Bundles the server; of the other files it reads names and sizes. `packageRoot` holds package.json, dist and
 * node_modules. Errors: `image_plan_invalid` when the server is not compiled or a package is missing.
 */
export async function planCodeVolume({ packageRoot }: { packageRoot: string }): Promise<CodeVolumePlan> {
  const { name, version } = readManifest(packageRoot);
  const { code, packageFolders } = await bundleProgram(packageRoot, SERVER, STAYS_OUT);
  const backend = chooseBackend(packageRoot);
  const plan = planImage([
    // Beside the page's folder, as dist/src/server is: the server looks for it there.
    text(CODE_ENTRYPOINT, code),
    ...listFiles(join(packageRoot, PAGE), "page"),
    ...listFiles(backend.folder, `node_modules/${backend.name}`),
    // No "type": the server's file is CommonJS.
    text("package.json", Buffer.from(`${JSON.stringify({ name, version }, null, 2)}\n`)),
    text("notices.txt", Buffer.from(writeNotices(packageRoot, packageFolders))),
  ]);
  const bundled = packageFolders.map((folder) => readManifest(join(packageRoot, folder)));
  return {
    plan,
    backend: backend.name,
    portable: backend.name === NETWORK_BACKEND,
    packages: [readManifest(backend.folder), ...bundled]
      .map(({ name: packageName, version: packageVersion }) => ({ name: packageName, version: packageVersion }))
      .toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))),
  };
}

function text(path: string, content: Uint8Array): PlanEntry {
  return { path, mode: FILE_MODE, content: { kind: "bytes", content } };
}

/** Every machine of the network is a 64-bit PC running Linux. */
const NETWORK_BACKEND = "@node-llama-cpp/linux-x64";
/** For the local node on other machines, by platform and processor. */
const HOST_BACKENDS: Readonly<Record<string, string>> = {
  "linux-arm64": "@node-llama-cpp/linux-arm64",
  "darwin-arm64": "@node-llama-cpp/mac-arm64-metal",
  "darwin-x64": "@node-llama-cpp/mac-x64",
  "win32-x64": "@node-llama-cpp/win-x64",
  "win32-arm64": "@node-llama-cpp/win-arm64",
};

function chooseBackend(packageRoot: string): { name: string; folder: string } {
  const host = HOST_BACKENDS[`${process.platform}-${process.arch}`];
  for (const name of host === undefined ? [NETWORK_BACKEND] : [NETWORK_BACKEND, host]) {
    const folder = findPackage(packageRoot, name);
    // A package that stands in for an unwanted backend has another name in its manifest.
    if (folder !== undefined && readManifest(folder).name === name) return { name, folder };
  }
  throw new CodedError(
    "image_plan_invalid",
    `no inference backend is installed: run npm ci in "${packageRoot}" (wanted ${NETWORK_BACKEND})`,
  );
}

/** The files below `folder`, without types, notes and nested packages. Links are not followed. */
function listFiles(folder: string, path: string): PlanEntry[] {
  if (!existsSync(folder)) throw new CodedError("image_plan_invalid", `there is no "${folder}": run npm run build`);
  return readdirSync(folder, { withFileTypes: true }).flatMap((item): PlanEntry[] => {
    const sourcePath = join(folder, item.name);
    const itemPath = `${path}/${item.name}`;
    if (item.isDirectory()) return item.name === "node_modules" ? [] : listFiles(sourcePath, itemPath);
    const isNeeded = LICENCE_FILES.test(item.name) || !EXCLUDED_FILES.test(item.name);
    if (!item.isFile() || !isNeeded) return [];
    const { size } = lstatSync(sourcePath);
    return [{ path: itemPath, mode: FILE_MODE, content: { kind: "file", sourcePath, bytes: size } }];
  });
}
