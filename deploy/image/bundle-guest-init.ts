import { existsSync } from "node:fs";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";

const ENTRY = join("dist", "src", "guest", "init.js");

/**
 * The compiled guest init and what it imports, as one module: one file to find and read when the machine starts.
 * Errors: `image_plan_invalid` when it is not compiled.
 */
export async function bundleGuestInit(packageRoot: string): Promise<Uint8Array> {
  if (!existsSync(join(packageRoot, ENTRY))) {
    throw new CodedError("image_plan_invalid", `there is no compiled guest in "${packageRoot}": run npm run build`);
  }
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    // Names of modules in the output are relative to this, so that it does not depend on where the project lies.
    absWorkingDir: packageRoot,
    entryPoints: [ENTRY],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    charset: "utf8",
    legalComments: "inline",
    write: false,
    logLevel: "silent",
  });
  const [output] = outputFiles;
  if (output === undefined) throw new CodedError("image_plan_invalid", "the guest init was not bundled");
  return output.contents;
}
