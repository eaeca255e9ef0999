import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { bundleProgram } from "../../../deploy/image/bundle.ts";
import { STAYS_OUT } from "../../../deploy/image/code-volume.ts";
import { temporaryFolder } from "./support.ts";

const project = fileURLToPath(new URL("../../../../", import.meta.url));

/** A project of these files, bundled: the file's path, and what it prints. */
async function bundled(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = await temporaryFolder(t);
  for (const [path, content] of Object.entries({ "package.json": '{ "type": "module" }', ...files })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  const program = join(root, "program.cjs");
  const { code } = await bundleProgram(root, "dist/main.js");
  await writeFile(program, code);
  return { code: Buffer.from(code).toString(), said: execFileSync(process.execPath, [program], { encoding: "utf8" }) };
}

const SAYS_MODE = "(function () { return this === undefined ? 'strict' : 'sloppy'; })()";

test("our modules are strict in the bundle, at the top, in functions, and in what they import", async (t) => {
  const { said } = await bundled(t, {
    "dist/main.js": `
      import { mode, change } from "./other.js";
      import { answer } from "sloppy";
      console.log(answer, ${SAYS_MODE}, mode());
      try { change(Object.freeze({ a: 1 })); console.log("changed nothing, silently"); }
      catch (error) { console.log(error.name); }`,
    "dist/other.js": `
      export function mode() { return ${SAYS_MODE}; }
      export function change(object) { object.a = 2; }`,
    "node_modules/sloppy/package.json": '{ "name": "sloppy" }',
    "node_modules/sloppy/index.js": "exports.answer = 42;",
  });
  assert.equal(said, "42 strict strict\nTypeError\n");
});

test("a CommonJS package that would not even parse as strict code works, and a strict one stays strict", async (t) => {
  const { said } = await bundled(t, {
    "dist/main.js": `
      import first, { mode } from "sloppy";
      import strict from "strict/lib/deep.js";
      console.log(first.octal, first.within({ a: 1 }), first.global, mode, strict);`,
    "node_modules/sloppy/package.json": '{ "name": "sloppy" }',
    "node_modules/sloppy/index.js": `
      undeclared = "set";
      exports.octal = 010;
      exports.within = function (object) { with (object) return a; };
      exports.global = undeclared;
      exports.mode = ${SAYS_MODE};`,
    "node_modules/strict/package.json": '{ "name": "strict" }',
    "node_modules/strict/lib/deep.js": `"use strict"; module.exports = ${SAYS_MODE} + " and " + require("sloppy").mode;`,
  });
  assert.equal(said, "8 1 set sloppy strict and sloppy\n");
});

test("a CommonJS package is one for all who import it, and loaded when the program imports it", async (t) => {
  const { said } = await bundled(t, {
    "dist/main.js": `
      import "./first.js";
      import counter from "counter";
      import { same } from "esm";
      console.log("main", counter.count(), same === counter);`,
    "dist/first.js": 'console.log("first");',
    "node_modules/counter/package.json": '{ "name": "counter" }',
    "node_modules/counter/index.js": 'console.log("loaded"); let n = 0; exports.count = () => (n += 1);',
    "node_modules/esm/package.json": '{ "name": "esm", "type": "module", "main": "index.js" }',
    "node_modules/esm/index.js": 'import counter from "counter"; counter.count(); export const same = counter;',
  });
  assert.equal(said, "first\nloaded\nmain 2 true\n");
});

test("two versions of a CommonJS package under one name are refused", async (t) => {
  const files = {
    "dist/main.js": 'import a from "a"; import "esm"; console.log(a);',
    "node_modules/a/package.json": '{ "name": "a" }',
    "node_modules/a/index.js": "module.exports = 1;",
    "node_modules/esm/package.json": '{ "name": "esm", "type": "module", "main": "index.js" }',
    "node_modules/esm/index.js": 'import a from "a"; console.log(a);',
    "node_modules/esm/node_modules/a/package.json": '{ "name": "a" }',
    "node_modules/esm/node_modules/a/index.js": "module.exports = 2;",
  };
  await assert.rejects(bundled(t, files), { code: "image_plan_invalid", message: /esm\/node_modules\/a\/index\.js/ });
});

for (const entry of ["dist/src/main.js", "dist/src/guest/init.js"]) {
  test(`all of our own modules are in the strict part of ${entry}, once`, async () => {
    const code = Buffer.from((await bundleProgram(project, entry, STAYS_OUT)).code).toString();
    const [sloppy, strict, ...more] = code.split('\n((require) => {\n"use strict";\n');
    assert.deepEqual(more, []);
    assert.match(strict ?? "", new RegExp(`^// ${entry}$`, "m"));
    assert.doesNotMatch(sloppy ?? "", /^\/\/ dist\//m);
    assert.match(sloppy ?? "", /^\/\/ node_modules\//m);
    assert.doesNotMatch(strict ?? "", /__commonJS\(/);
  });
}
