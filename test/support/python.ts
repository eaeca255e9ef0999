/** A Python that has the `openai` package. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const INSTALL_MS = 200_000;
const IMPORT = ["-c", "import openai"];
const requirements = fileURLToPath(new URL("../../../test/clients/python/requirements.txt", import.meta.url));

export interface Python {
  readonly path: string;
  /** Why it does not serve, for the tests that are skipped. */
  readonly missing: string | false;
}

/**
 * PINFERENCE_PYTHON where it is set; otherwise a virtual environment in the user's cache folder, made on first use with
 * the versions of test/clients/python/requirements.txt.
 */
export function pythonWithOpenai(): Python {
  const given = process.env["PINFERENCE_PYTHON"];
  if (given) return { path: given, missing: run(given, IMPORT) };
  const name = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "pinference-clients");
  const folder = join(cache, `python-${name}`);
  const path = join(folder, "bin", "python");
  return { path, missing: run(path, IMPORT) && install(folder) };
}

function install(folder: string): string | false {
  // What an interrupted installation has left.
  rmSync(folder, { recursive: true, force: true });
  const pip = ["-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "20"];
  return (
    run("python3", ["-m", "venv", folder]) ||
    run(join(folder, "bin", "python"), [...pip, "install", "--quiet", "--only-binary", ":all:", "-r", requirements])
  );
}

/** Why it failed, in its own last words; false where it did not. */
function run(program: string, args: readonly string[]): string | false {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", timeout: INSTALL_MS });
  if (status === 0) return false;
  const words = error?.message ?? `${stdout}\n${stderr}`.trim().split("\n").at(-1);
  return `needs Python with its openai package: ${program} ${args.slice(0, 2).join(" ")}: ${words}`;
}
