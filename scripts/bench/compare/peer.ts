/**
 * Builds llama-server from the very source that node-llama-cpp's package carries, in a cache folder outside the
 * repository. Needs git, cmake and a C++ compiler; about ten minutes on two cores, once.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";

import { NODE_LLAMA_CPP_VERSION } from "../../../src/engine/native.ts";

const OPTIONS = [
  "-DCMAKE_BUILD_TYPE=Release",
  "-DLLAMA_BUILD_TESTS=OFF",
  "-DLLAMA_BUILD_EXAMPLES=OFF",
  "-DLLAMA_USE_PREBUILT_UI=OFF",
  "-DLLAMA_OPENSSL=OFF",
  "-DGGML_NATIVE=ON",
];

/** The program's path, or why there is none. PINFERENCE_LLAMA_SERVER names one that is there already. */
export function buildPeer(): { readonly path: string } | { readonly missing: string } {
  const given = process.env["PINFERENCE_LLAMA_SERVER"];
  if (given) return existsSync(given) ? { path: given } : { missing: `there is no ${given}` };
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  const folder = join(cache, "pinference-bench", `llama-server-${NODE_LLAMA_CPP_VERSION}`);
  const path = join(folder, "source", "build", "bin", "llama-server");
  if (existsSync(path)) return { path };
  for (const tool of ["git", "cmake", "c++"]) {
    if (spawnSync(tool, ["--version"]).status !== 0) return { missing: `${tool} is not installed` };
  }
  try {
    mkdirSync(folder, { recursive: true });
    const run = (command: string, args: readonly string[], cwd = folder) => {
      console.error(`  ${command} ${args.join(" ")}`);
      execFileSync(command, args, { cwd, stdio: ["ignore", "ignore", "inherit"] });
    };
    // Our own installation leaves the bundle out.
    run("npm", ["pack", "--silent", `node-llama-cpp@${NODE_LLAMA_CPP_VERSION}`]);
    const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    if (archive === undefined) return { missing: "npm gave no package" };
    run("tar", ["xzf", archive, "package/llama/gitRelease.bundle"]);
    if (!existsSync(join(folder, "source"))) run("git", ["clone", "-q", "package/llama/gitRelease.bundle", "source"]);
    run("cmake", ["-B", "build", ...OPTIONS], join(folder, "source"));
    run(
      "cmake",
      ["--build", "build", "--target", "llama-server", "-j", String(availableParallelism())],
      join(folder, "source"),
    );
    return { path };
  } catch (error) {
    return { missing: `it could not be built: ${(error as Error).message.split("\n")[0]}` };
  }
}
