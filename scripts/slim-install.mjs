// Leaves out of node_modules what this product never loads, after each `npm ci` (package.json "prepare"):
// inference backends for other processors, and the source bundle of llama.cpp that only a local source build needs.
// The GPU backends never arrive: "overrides" in package.json replace them (docs/decisions/0002-lean-install.md).
import { existsSync, readdirSync, rmSync } from "node:fs";
import { arch } from "node:process";

const modules = new URL("../node_modules/", import.meta.url);
const backends = new URL("@node-llama-cpp/", modules);
const FOREIGN = { x64: "linux-arm64", arm64: "linux-x64-none" }[arch];

if (existsSync(backends)) {
  for (const name of readdirSync(backends)) {
    if (name === FOREIGN) rmSync(new URL(name, backends), { recursive: true });
  }
}
rmSync(new URL("node-llama-cpp/llama/gitRelease.bundle", modules), { force: true });
