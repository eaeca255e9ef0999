// Leaves out of node_modules what this product never loads, after each `npm ci` (package.json "prepare"):
// the inference backend of the other processor, llama.cpp's source bundle that only a build from source needs, and
// source maps. The GPU backends never arrive: "overrides" in package.json replace them
// (docs/decisions/0002-lean-install.md).
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { arch } from "node:process";
import { fileURLToPath } from "node:url";

const modules = fileURLToPath(new URL("../node_modules/", import.meta.url));

// npm installs both on x86-64, since their packages allow it.
if (arch === "x64") rmSync(join(modules, "@node-llama-cpp/linux-arm64"), { recursive: true, force: true });
rmSync(join(modules, "node-llama-cpp/llama/gitRelease.bundle"), { force: true });

for (const file of readdirSync(modules, { recursive: true, withFileTypes: true })) {
  if (file.isFile() && file.name.endsWith(".map")) rmSync(join(file.parentPath ?? file.path, file.name));
}
