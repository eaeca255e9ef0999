import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Where test runs keep the packages of virtual machines, and the runtime made of them: they are the same each time. */
export const VM_PACKAGES = fileURLToPath(new URL("../../../.cache/packages", import.meta.url));

/** False where the runtime can be built, else why not. */
export function cannotBuildRuntime(): string | false {
  try {
    execFileSync("apt-get", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "the runtime is made of Debian packages, and apt-get is not installed";
  }
}
