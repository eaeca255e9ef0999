// Run after each change of dependencies: node scripts/complete-lockfile.mjs
//
// A registry mirror may carry only some platforms' packages. npm then leaves those optional dependencies out of the
// lockfile, and `npm ci` refuses the lockfile for it. This writes them back, with the version that their package
// demands and the platform that their name tells, but without an integrity hash, which only a full registry knows.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));

const SYSTEMS = { darwin: "darwin", mac: "darwin", win32: "win32", win: "win32" };
const KNOWN_SYSTEMS = ["aix", "android", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos"];
const PROCESSORS = "arm64 x64 x86 ia32 arm ppc64 riscv64 s390x loong64 mips64el wasm32".split(" ");

function platformOf(name) {
  const words = name.split(/[-/.]/);
  const system = words
    .map((word) => SYSTEMS[word] ?? word)
    .find((word) => word in SYSTEMS || KNOWN_SYSTEMS.includes(word));
  const processor = words.find((word) => PROCESSORS.includes(word));
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.some((word) => word.startsWith("gnu"))
      ? "glibc"
      : undefined;
  // What no machine is, where the name does not tell: such a package is never installed.
  return {
    os: [system ?? "none"],
    cpu: [{ x86: "ia32", wasm32: "wasm32" }[processor] ?? processor ?? "none"],
    ...(system === "linux" && libc !== undefined && { libc: [libc] }),
  };
}

const added = [];
for (const [from, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const isThere = [`${from}/node_modules/${name}`, `node_modules/${name}`].some((place) => place in lock.packages);
    if (isThere || !/^\d/.test(version)) continue;
    lock.packages[`node_modules/${name}`] = { version, ...platformOf(name), ...(dev && { dev }), optional: true };
    added.push(`${name}@${version}`);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? "the lockfile is complete" : `added ${added.length}: ${added.join(", ")}`);
