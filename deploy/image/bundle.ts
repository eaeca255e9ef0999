import { existsSync } from "node:fs";
import { join } from "node:path";

import type { BuildResult, Metafile } from "esbuild";

import { CodedError } from "../../src/domain/errors.ts";

export interface Bundle {
  readonly code: Uint8Array;
  /** The folders of the packages that are in it, below the package's root: `node_modules/express`. Sorted. */
  readonly packageFolders: readonly string[];
}

/**
 * A compiled program and what it imports, as one CommonJS file in which names and lines stay as they are. One file is
 * found, read and compiled faster than hundreds, and Node.js gives `node:http` to `require` without loading its fetch,
 * which it does for `import` (docs/decisions/0018-one-file.md).
 *
 * `entry` is below `packageRoot`; a program with an `await` at its top level has no such form. Packages in `external`
 * stay where they are. Errors: `image_plan_invalid` when it is not compiled, or a package is missing.
 */
export async function bundleProgram(packageRoot: string, entry: string, external: string[] = []): Promise<Bundle> {
  if (!existsSync(join(packageRoot, entry))) {
    throw new CodedError(
      "image_plan_invalid",
      `there is no compiled "${entry}" in "${packageRoot}": run npm run build`,
    );
  }
  const { outputFiles, metafile } = await build(packageRoot, entry, external);
  const [output] = outputFiles;
  if (output === undefined) throw new CodedError("image_plan_invalid", `"${entry}" was not bundled`);
  return { code: output.contents, packageFolders: foldersIn(metafile) };
}

async function build(packageRoot: string, entry: string, external: string[]) {
  const esbuild = await import("esbuild");
  try {
    return await esbuild.build({
      // Names of modules in the output are relative to this, so that it does not depend on where the project lies.
      absWorkingDir: packageRoot,
      preserveSymlinks: true,
      entryPoints: [entry],
      external,
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      // None of the project's, which another copy may lack.
      tsconfigRaw: {},
      charset: "utf8",
      // Notices are kept as a file of their own: see notices.ts.
      legalComments: "none",
      banner: { js: 'const __moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
      define: { "import.meta.url": "__moduleUrl" },
      metafile: true,
      write: false,
      logLevel: "silent",
    });
  } catch (cause) {
    const reasons = (cause as Partial<BuildResult>).errors?.map(({ text }) => text).join("; ");
    const message = `"${entry}" cannot be bundled: ${reasons ?? String(cause)}. Run npm ci and npm run build`;
    throw new CodedError("image_plan_invalid", message, { cause });
  }
}

function foldersIn({ outputs }: Metafile): string[] {
  const modules = Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs));
  const folders = modules.flatMap((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []);
  return [...new Set(folders)].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
