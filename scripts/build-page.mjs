// Bundles the browser's page: src/page → dist/src/page. The same sources become the same bytes on every machine:
// names come from the contents, and nothing of this machine's paths is in them.
//
//   index.html         the template, which src/server/page.ts fills in
//   assets/*           what it asks for, each name with a hash of its content
//   assets/licences-*  the licences of the libraries in the bundle
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "src", "page");
const target = join(root, "dist", "src", "page");
const LICENCE = /^licen[cs]e(?:\.|$)/i;

const { outputFiles, metafile } = await build({
  absWorkingDir: root,
  entryPoints: { app: "src/page/main.tsx", style: "src/page/style.css" },
  outdir: "out",
  write: false,
  metafile: true,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  tsconfig: "src/page/tsconfig.json",
  logLevel: "warning",
});

mkdirSync(join(target, "assets"), { recursive: true });
const names = {
  icon: writeAsset("icon", "svg", readFileSync(join(source, "icon.svg"))),
  licences: writeAsset("licences", "txt", licences()),
};
for (const { path, contents } of outputFiles) {
  const [kind, extension] = path.endsWith(".css") ? ["style", "css"] : ["app", "js"];
  names[kind] = writeAsset(kind, extension, contents);
}
const html = readFileSync(join(source, "index.html"), "utf8");
const linked = html.replaceAll(/asset:(\w+)/g, (_, kind) => {
  if (names[kind] === undefined) throw new Error(`src/page/index.html asks for "${kind}", which is not built`);
  return `assets/${names[kind]}`;
});
writeFileSync(join(target, "index.html"), linked);

function writeAsset(kind, extension, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 12);
  const name = `${kind}-${hash}.${extension}`;
  writeFileSync(join(target, "assets", name), content);
  return name;
}

/** Of each package that is in the bundle, as its licence demands. */
function licences() {
  const folders = Object.keys(metafile.inputs).flatMap((path) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []);
  const texts = [...new Set(folders)].toSorted().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const file = readdirSync(join(root, folder)).find((entry) => LICENCE.test(entry));
    if (file === undefined) throw new Error(`${name} has no licence file`);
    return `${name} ${version}\n\n${readFileSync(join(root, folder, file), "utf8").trim()}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}
