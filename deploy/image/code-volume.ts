/**
 * The plan of the code volume: the compiled server, a package.json, and of its dependencies what the server loads.
 *
 *   /src/**            the compiled server and its page (dist/src)
 *   /package.json      name, version, type
 *   /node_modules/**   the production dependencies, one native backend, no sources, types, tests or command lines
 */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { findPackage, findPackages, readManifest, type InstalledPackage } from "./package-closure.ts";
import { FILE_MODE, planImage, type ImagePlan, type PlanEntry } from "./plan.ts";

const DEPENDENCIES = ["express", "zod"];

/** Paths below node_modules that are never loaded, ending in "/" for folders. */
const EXCLUDED_PATHS = [
  "zod/src/",
  "zod/v3/", // the previous major version
  "zod/mini/", // another interface, also below v4
  "zod/v4-mini/",
  "zod/v4/mini/",
  "qs/dist/", // for browsers
];

const EXCLUDED_FOLDERS = new Set([
  "test",
  "tests",
  "__tests__",
  "docs",
  "example",
  "examples",
  "benchmark",
  "benchmarks",
  "coverage",
  "bin",
]);
const EXCLUDED_FILES = /(?:\.[cm]?ts|\.lock|\.map|\.md|\.markdown|\.flow)$|^\.|^(?:tsconfig|karma|rollup|bower)\b/i;
const LICENCE_FILES = /^(?:licen[cs]e|copying|notice)/i;

export interface CodeVolumePlan {
  readonly plan: ImagePlan;
  /** The backend that is inside. */
  readonly backend: string;
  /** False when the network's backend is not installed and this machine's own stands in: not for publishing. */
  readonly portable: boolean;
  /** Paths below the volume's root, sorted. */
  readonly packages: readonly { readonly path: string; readonly name: string; readonly version: string }[];
}

/**
 * Reads the folders' names and sizes, not the files; `packageRoot` holds package.json, dist and node_modules.
 * Errors: `image_plan_invalid` when the server is not compiled or a package is missing.
 */
export function planCodeVolume({ packageRoot }: { packageRoot: string }): CodeVolumePlan {
  const compiled = join(packageRoot, "dist", "src");
  if (!existsSync(compiled)) {
    throw new CodedError("image_plan_invalid", `there is no compiled server in "${compiled}": run npm run build`);
  }
  const { name, version } = readManifest(packageRoot);
  const backend = chooseBackend(packageRoot);
  const packages = [
    ...findPackages(packageRoot, DEPENDENCIES),
    { name: backend.name, folder: backend.folder, version: readManifest(backend.folder).version },
  ].map((installed) => ({ ...installed, path: toVolumePath(packageRoot, installed) }));
  const manifest = `${JSON.stringify({ name, type: "module", version }, null, 2)}\n`;
  const plan = planImage([
    { path: "package.json", mode: FILE_MODE, content: { kind: "bytes", content: Buffer.from(manifest) } },
    ...listFiles(compiled, "src", (path) => path.endsWith(".js") || path.startsWith("src/page/")),
    ...packages.flatMap(({ folder, path }) => listFiles(folder, path, isNeeded)),
  ]);
  return {
    plan,
    backend: backend.name,
    portable: backend.name === NETWORK_BACKEND,
    packages: packages
      .map(({ path, name: packageName, version: packageVersion }) => ({
        path,
        name: packageName,
        version: packageVersion,
      }))
      .sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path))),
  };
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

/** Keeps nested node_modules where they are; a package found above `packageRoot` moves to the volume's top. */
function toVolumePath(packageRoot: string, { folder, name }: InstalledPackage): string {
  const path = relative(packageRoot, folder).split(sep).join("/");
  return path.startsWith("..") ? `node_modules/${name}` : path;
}

/** `path` is below the volume's root, as `node_modules/a/node_modules/b/index.js`. */
function isNeeded(path: string): boolean {
  const inPackages = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const names = inPackages.split("/").slice(inPackages.startsWith("@") ? 2 : 1);
  const fileName = names.pop() ?? "";
  if (LICENCE_FILES.test(fileName)) return true;
  if (inPackages.startsWith("zod/") && fileName.endsWith(".cjs")) return false; // imported as an ES module
  if (EXCLUDED_PATHS.some((excluded) => inPackages.startsWith(excluded))) return false;
  return !EXCLUDED_FILES.test(fileName) && !names.some((name) => EXCLUDED_FOLDERS.has(name));
}

/** The files below `folder`, without nested node_modules, which are packages of their own. Links are not followed. */
function listFiles(folder: string, path: string, isWanted: (path: string) => boolean): PlanEntry[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((item): PlanEntry[] => {
    const sourcePath = join(folder, item.name);
    const itemPath = `${path}/${item.name}`;
    if (item.isDirectory()) return item.name === "node_modules" ? [] : listFiles(sourcePath, itemPath, isWanted);
    if (!item.isFile() || !isWanted(itemPath)) return [];
    const { size } = lstatSync(sourcePath);
    return [{ path: itemPath, mode: FILE_MODE, content: { kind: "file", sourcePath, bytes: size } }];
  });
}
