/** Clients whose packages are installed apart from this project's own, on first use. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { MAX_TOKENS, WEATHER, type Address, type Client, type ClientSession } from "./client.ts";

const TASK = { MAX_TOKENS, WEATHER };
const INSTALL_MS = 200_000;
// Compiled tests live in dist/test/clients; the clients stay where their packages are.
const folder = fileURLToPath(new URL("../../../test/clients/packages/", import.meta.url));

/** What the modules in `packages` export as `open`. */
export type Open = (address: Address, task: typeof TASK) => ClientSession;

/** Installs what is missing or of another version. The reason why that can't be done; false when all are there. */
function install(): string | false {
  if (isInstalled()) return false;
  const args = ["ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1"];
  const { status, stderr, error } = spawnSync("npm", args, { cwd: folder, encoding: "utf8", timeout: INSTALL_MS });
  if (status === 0) return false;
  const reason = error?.message ?? stderr.split("\n").find((line) => line.startsWith("npm error")) ?? "no reason given";
  return `npm can't install what test/clients/packages needs: ${reason}`;
}

function isInstalled(): boolean {
  const { dependencies } = readPackage(folder);
  return Object.entries(dependencies).every(([name, version]) => {
    const place = join(folder, "node_modules", name);
    return existsSync(place) && readPackage(place).version === version;
  });
}

interface PackageFile {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

function readPackage(directory: string): PackageFile {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as PackageFile;
}

const missing = install();

function clientIn(name: string, file: string): Client {
  return {
    name,
    missing,
    async open(address) {
      const { open } = (await import(pathToFileURL(join(folder, file)).href)) as { open: Open };
      return open(address, TASK);
    },
  };
}

export const aiSdk = clientIn("ai with @ai-sdk/openai-compatible", "ai.mjs");
export const langchain = clientIn("@langchain/openai", "langchain.mjs");
