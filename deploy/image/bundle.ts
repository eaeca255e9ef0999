import { existsSync } from "node:fs";
import { join } from "node:path";

import type { BuildOptions, BuildResult, Metafile } from "esbuild";

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
 * ES modules run in strict mode, as ever. CommonJS modules run in the mode that each asks for; so they stand apart, in
 * front, and are loaded when the program first imports them.
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
  const bundle = (options: BuildOptions) => build(packageRoot, entry, options);
  const whole = await bundle({ entryPoints: [entry], external });
  const imports = commonJsImports(whole.metafile);
  const packages = [...new Set(imports.map(({ name }) => name))].toSorted();
  const sloppy = await bundle({ stdin: { contents: loaders(packages), resolveDir: packageRoot }, external });
  const other = imports.find(({ path }) => sloppy.metafile.inputs[path] === undefined);
  if (other !== undefined) {
    throw new CodedError("image_plan_invalid", `"${other.path}" is another "${other.name}" than the program's own`);
  }
  const strict = await bundle({ entryPoints: [entry], external: [...external, ...packages] });
  return { code: Buffer.from(joined(sloppy.code, strict.code)), packageFolders: foldersIn(whole.metafile) };
}

/** What ES modules import of CommonJS: by which name, and where it was found. */
function commonJsImports({ inputs }: Metafile): { name: string; path: string }[] {
  return Object.values(inputs)
    .filter(({ format }) => format === "esm")
    .flatMap(({ imports }) => imports)
    .filter(({ path }) => inputs[path]?.format === "cjs")
    .map(({ path, original }) => ({ name: original ?? path, path }));
}

/** A CommonJS module of functions, by the names of what they load. */
function loaders(packages: readonly string[]): string {
  const members = packages.map((name) => `  ${JSON.stringify(name)}: () => require(${JSON.stringify(name)}),\n`);
  return `module.exports = {\n${members.join("")}};\n`;
}

/** Functions in parentheses are compiled at once, not looked through before. */
function joined(sloppy: string, strict: string): string {
  return `const __moduleUrl = require("node:url").pathToFileURL(__filename).href;
const __packages = ((module) => {
${sloppy}
return module.exports;
})({ exports: {} });
((require) => {
"use strict";
${strict}
})((name) => Object.hasOwn(__packages, name) ? __packages[name]() : require(name));
`;
}

async function build(
  packageRoot: string,
  entry: string,
  options: BuildOptions,
): Promise<{ code: string; metafile: Metafile }> {
  const esbuild = await import("esbuild");
  try {
    const { outputFiles, metafile } = await esbuild.build({
      ...options,
      // Names of modules in the output are relative to this, so that it does not depend on where the project lies.
      absWorkingDir: packageRoot,
      preserveSymlinks: true,
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      // None of the project's, which another copy may lack.
      tsconfigRaw: {},
      charset: "utf8",
      // Notices are kept as a file of their own: see notices.ts.
      legalComments: "none",
      define: { "import.meta.url": "__moduleUrl" },
      metafile: true,
      write: false,
      logLevel: "silent",
    });
    return { code: outputFiles[0]?.text ?? "", metafile };
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
