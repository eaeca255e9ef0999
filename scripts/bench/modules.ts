/**
 * What the loading of the server's code costs, from the process's start to its first answer with the demo model: as
 * separate modules, as the one file of the code volume, and with V8's compile cache; with the files in memory and not.
 * In turns, medians, as ratios to the separate modules.
 *
 *   npm run bench:modules [-- --rounds 7] [--node NODE]
 *
 * NODE is another Node.js, such as the runtime's. Processor time is that of all threads until the server listens: on a
 * busy machine it is worth more than the clock. Last, it says whether two compile caches of the same file are equal.
 */
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { planCodeVolume } from "../../deploy/image/code-volume.ts";
import { median, printTable } from "./table.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, node: { type: "string", default: process.execPath } },
});
const root = fileURLToPath(new URL("../../..", import.meta.url));
const model = join(root, "deploy/catalogue/demo/aleph-tiny-chat.Q8_0.gguf");
const folder = mkdtempSync(join(tmpdir(), "pinference-bench-"));
const cache = join(folder, "cache");

interface Times {
  readonly cpuMs: number;
  readonly listeningMs: number;
  readonly answerMs: number;
}

try {
  const { bundled, packages } = await unpackCode();
  const separate = join(root, "dist", "src", "main.js");
  const variants = [
    { what: "separate modules", script: separate, env: {} },
    { what: "separate modules, compile cache", script: separate, env: { NODE_COMPILE_CACHE: cache } },
    { what: "one file", script: bundled, env: {} },
    { what: "one file, compile cache", script: bundled, env: { NODE_COMPILE_CACHE: cache } },
  ].map((variant) => ({ ...variant, warm: [] as Times[], cold: [] as Times[] }));
  for (const { script, env } of variants) await measure(script, env);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const { script, env, warm, cold } of variants) {
      warm.push(await measure(script, env));
      forget([folder, join(root, "dist", "src"), ...packages, values.node]);
      cold.push(await measure(script, env));
    }
  }
  const first = variants[0] ?? { warm: [], cold: [] };
  const row = (at: "warm" | "cold", time: keyof Times) => (variant: (typeof variants)[number]) => {
    const [own, base] = [variant, first].map((one) => median(one[at].map((times) => times[time]))) as [number, number];
    return `${Math.round(own)} (${(own / base).toFixed(2)})`;
  };
  printTable(
    `ms, and ratio to separate modules; ${values.rounds} rounds; ${execFileSync(values.node, ["--version"]).toString().trim()}`,
    variants.map((variant) => ({
      what: variant.what,
      "processor until it listens": row("warm", "cpuMs")(variant),
      "until it listens": row("warm", "listeningMs")(variant),
      "until the first answer": row("warm", "answerMs")(variant),
      "the same, files not in memory": row("cold", "answerMs")(variant),
    })),
  );
  const caches = [await hashOfCache(bundled), await hashOfCache(bundled)];
  console.log(`\ntwo compile caches of the one file are ${caches[0] === caches[1] ? "equal" : "different"}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The code volume's files, without an image between. */
async function unpackCode(): Promise<{ bundled: string; packages: string[] }> {
  const code = join(folder, "code");
  const { plan, packages } = await planCodeVolume({ packageRoot: root });
  for (const { path, content } of plan.entries) {
    mkdirSync(dirname(join(code, path)), { recursive: true });
    if (content.kind === "bytes") writeFileSync(join(code, path), content.content);
    else if (content.kind === "file") symlinkSync(content.sourcePath, join(code, path));
  }
  return {
    bundled: join(code, "src", "main.js"),
    packages: packages.map(({ name }) => join(root, "node_modules", name)),
  };
}

async function measure(script: string, env: Readonly<Record<string, string>>): Promise<Times> {
  const socketPath = join(folder, "server.sock");
  rmSync(socketPath, { force: true });
  const startedAt = performance.now();
  const child = spawn(values.node, [script], {
    env: { ...env, UV_THREADPOOL_SIZE: "1", PINFERENCE_SOCKET: socketPath, PINFERENCE_MODEL: model },
    stdio: ["ignore", "pipe", "inherit"],
  });
  // The first line says that it listens.
  await once(child.stdout, "data");
  const listeningMs = performance.now() - startedAt;
  const cpuMs = processorMs(child.pid ?? 0);
  while (!(await answers(socketPath))) await delay(2);
  const answerMs = performance.now() - startedAt;
  child.kill("SIGTERM");
  await once(child, "exit");
  return { cpuMs, listeningMs, answerMs };
}

/** Of all its threads. Source: Linux, Documentation/scheduler/sched-stats.rst. */
function processorMs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    const [ns] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    return sum + Number(ns) / 1e6;
  }, 0);
}

async function answers(socketPath: string): Promise<boolean> {
  const asking = request({ socketPath, method: "POST", path: "/v1/completions" });
  asking.end(JSON.stringify({ prompt: "Say this is a test", max_tokens: 1 }));
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  await once(answer.resume(), "end");
  return answer.statusCode === 200;
}

/** Asks the system to keep nothing of these files in memory; what a process has mapped stays. */
function forget(paths: readonly string[]): void {
  execFileSync("find", [
    ...paths,
    "-type",
    "f",
    "-exec",
    "dd",
    "if={}",
    "iflag=nocache",
    "count=0",
    "status=none",
    ";",
  ]);
}

async function hashOfCache(script: string): Promise<string> {
  rmSync(cache, { recursive: true, force: true });
  await measure(script, { NODE_COMPILE_CACHE: cache });
  const hash = createHash("sha256");
  for (const entry of readdirSync(cache, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) hash.update(readFileSync(join(entry.parentPath, entry.name)));
  }
  return hash.digest("hex");
}
