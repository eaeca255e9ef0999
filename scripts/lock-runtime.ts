/**
 * Writes deploy/image/runtime-lock.json anew: the Debian packages that the runtime's files come from, in the versions
 * that this machine's apt sources serve (Debian 12), and the newest Node.js of the line below. `npm run runtime:lock`.
 * The runtime gets another hash, and with it every PROGRAM: say so in the changelog.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { NODE_PACKAGE, RUNTIME_FILES } from "../deploy/image/runtime-files.ts";
import { RUNTIME_LOCK } from "../deploy/image/runtime-lock.ts";
import { sha256Of } from "../deploy/packages/package-cache.ts";

/** The active LTS. */
const NODE_LINE = "24";

const root = fileURLToPath(new URL("../..", import.meta.url));
const names = RUNTIME_FILES.flatMap(({ source }) => (source.from === "package" ? [source.name] : []));
const directory = mkdtempSync(join(tmpdir(), "pinference-lock-"));
try {
  const debian = [...new Set(names)].filter((name) => name !== NODE_PACKAGE).toSorted();
  execFileSync("apt-get", ["--quiet", "download", ...debian.map((name) => `${name}:amd64`)], { cwd: directory });
  const lock = { generatedBy: "npm run runtime:lock", debian: readPackages(), npm: [findNode()] };
  writeFileSync(join(root, RUNTIME_LOCK), `${JSON.stringify(lock, undefined, 2)}\n`);
  console.log(`${RUNTIME_LOCK}: ${lock.debian.length} Debian packages, Node.js ${lock.npm[0]?.version}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function readPackages() {
  return readdirSync(directory)
    .toSorted()
    .map((file) => {
      const content = readFileSync(join(directory, file));
      // apt names files `name_version_architecture.deb`, with escapes for colons.
      const [name = "", version = "", architecture = ""] = decodeURIComponent(file.replace(/\.deb$/, "")).split("_");
      return { name, version, architecture, bytes: content.byteLength, sha256: sha256Of(content) };
    });
}

function findNode() {
  const npm = (...args: string[]) =>
    JSON.parse(execFileSync("npm", [...args, "--json"], { encoding: "utf8" })) as unknown;
  const versions = npm("view", NODE_PACKAGE, "versions") as string[];
  const order = (version: string) => Number(version.split(".")[1]) * 1000 + Number(version.split(".")[2]);
  const version = versions
    .filter((one) => new RegExp(`^${NODE_LINE}\\.\\d+\\.\\d+$`).test(one))
    .toSorted((a, b) => order(a) - order(b))
    .at(-1);
  const integrity = npm("view", `${NODE_PACKAGE}@${version}`, "dist.integrity") as string;
  return { name: NODE_PACKAGE, version, integrity };
}
