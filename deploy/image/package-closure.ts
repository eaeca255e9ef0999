import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";

export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** Where it lies on this machine. */
  readonly folder: string;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/**
 * The packages named and all they depend on, each found the way Node.js finds it: in the nearest `node_modules`
 * upwards. Optional dependencies are not followed.
 * Errors: `image_plan_invalid` when one is not installed.
 */
export function findPackages(root: string, names: readonly string[]): InstalledPackage[] {
  const found = new Map<string, InstalledPackage>();
  const pending = names.map((name) => ({ name, from: root }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const folder = findPackage(next.from, next.name);
    if (folder === undefined) {
      throw new CodedError("image_plan_invalid", `package "${next.name}" is not installed: run npm ci in "${root}"`);
    }
    if (found.has(folder)) continue;
    const { version, dependencies = {} } = readManifest(folder);
    found.set(folder, { name: next.name, version, folder });
    for (const name of Object.keys(dependencies)) pending.push({ name, from: folder });
  }
  return [...found.values()];
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

export function findPackage(from: string, name: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return candidate;
    if (folder === dirname(folder)) return undefined;
  }
}
