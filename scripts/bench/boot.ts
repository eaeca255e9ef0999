/**
 * How long a virtual machine takes from the start of its kernel to its first answer, and where the time goes:
 * `npm run bench:boot [-- ROUNDS DIRECTORY]`. DIRECTORY is where `pinference image build demo` put its images and
 * packages (default ~/.pinference). In turns with it, the runtime's Node.js does nothing, inside a machine and outside:
 * how much slower this machine's virtual ones are.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { hashImage } from "../../deploy/image/image-hash.ts";
import { FILE_MODE, planImage } from "../../deploy/image/plan.ts";
import { extractSquashfs } from "../../deploy/image/extract-squashfs.ts";
import { buildSquashfs } from "../../deploy/image/squashfs.ts";
import type { ProgramFiles } from "../../deploy/local/backends/backend.ts";
import { createMicrovmBackend, prepareMachine } from "../../deploy/local/backends/microvm/microvm.ts";
import { exchangeWithGuest } from "../../deploy/local/guest-connection.ts";
import { prepareKernel } from "../../deploy/parts/kernel.ts";
import { parseFileHash, parseItemHash } from "../../src/domain/hash.ts";
import { encodeRunRequest, parseAnswer } from "../../src/guest/protocol.ts";
import { median, printTable } from "./table.ts";

const [rounds = "3", directory = join(homedir(), ".pinference")] = process.argv.slice(2);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const packages = process.env["PINFERENCE_PACKAGES_DIR"] ?? join(directory, "packages");
const { signal } = new AbortController();
const machine = await prepareMachine((abort) => prepareKernel(root, packages, abort), signal);
const itemHash = parseItemHash("b".repeat(64));

const image = async (path: string) => ({
  path,
  fileHash: parseFileHash("0".repeat(64)),
  sha256: (await hashImage(path)).sha256,
});
const kept = (name: string) => image(join(directory, "images", `${name}.squashfs`));
const [runtime, server, model] = await Promise.all(
  ["runtime", "code-volume", "model-volume-aleph-tiny-chat"].map(kept),
);
if (runtime === undefined || server === undefined || model === undefined) throw new Error("images are missing");
const program: ProgramFiles = {
  itemHash,
  runtime,
  code: { ...server, entrypoint: "src/main.js", mount: "/opt/code" },
  volumes: [{ ...model, mount: "/models/0" }],
  variables: {
    PINFERENCE_MODEL: "/models/0/aleph-tiny-chat.Q8_0.gguf",
    PINFERENCE_CODE_SHA256: server.sha256,
    PINFERENCE_MODEL_SHA256: model.sha256,
  },
  resources: { vcpus: 2, memoryMiB: 768, seconds: 290 },
};

/** Says how long a Node.js takes that does nothing, and how long sha256 of 64 MiB: each the median of five. */
const IDLE_SCRIPT = `
const { execFileSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const bytes = Buffer.alloc(64 * 1024 * 1024);
const timed = (work) => {
  const times = Array.from({ length: 5 }, () => { const from = performance.now(); work(); return performance.now() - from; });
  return Math.round(times.sort((a, b) => a - b)[2]);
};
const nodeMs = timed(() => execFileSync(process.execPath, ["--eval", "0"]));
const sha256Ms = timed(() => createHash("sha256").update(bytes).digest());
console.log(JSON.stringify({ event: "idle", nodeMs, sha256Ms }));
// A server that ends would be started again.
process.stdin.resume();
`;

interface Idle {
  readonly nodeMs: number;
  readonly sha256Ms: number;
}

const scratch = mkdtempSync(join(tmpdir(), "pinference-boot-"));
try {
  const idleImage = join(scratch, "idle.squashfs");
  const script = { kind: "bytes", content: Buffer.from(IDLE_SCRIPT) } as const;
  const idlePlan = planImage([{ path: "src/main.js", mode: FILE_MODE, content: script }]);
  await buildSquashfs(idlePlan, idleImage, { compression: "gzip" });
  const outsideRoot = join(scratch, "runtime");
  await extractSquashfs(runtime.path, outsideRoot);

  const all: { steps: Record<string, number>; inside: Idle; outside: Idle }[] = [];
  for (let round = 0; round < Number(rounds); round += 1) {
    const outside = idleOutside(join(outsideRoot, "usr/bin/node"));
    all.push({ steps: await measure(), inside: await idleInside(await image(idleImage)), outside });
  }
  const whole = median(all.map(({ steps }) => sum(steps)));
  const names = Object.keys(all[0]?.steps ?? {});
  printTable(
    `accelerator: ${machine.accelerator}; medians of ${rounds}`,
    names.map((what) => {
      const ms = median(all.map(({ steps }) => steps[what] ?? NaN));
      return { what, ms, share: `${Math.round((100 * ms) / whole)}%` };
    }),
  );
  const ratioOf = (time: keyof Idle) => median(all.map(({ inside, outside }) => inside[time] / outside[time]));
  console.log(`\nthe whole: ${whole} ms. Inside against outside, medians of ratios of the same round:`);
  console.log(`node --eval 0: ${ratioOf("nodeMs").toFixed(1)}, sha256: ${ratioOf("sha256Ms").toFixed(1)}`);
  console.log(JSON.stringify(all));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Milliseconds of each step, one after the other. */
async function measure(): Promise<Record<string, number>> {
  forgetLog();
  const startedAt = performance.now();
  const running = await createMicrovmBackend(machine, scratch).start(program, signal);
  const configuredMs = performance.now() - startedAt;
  await firstAnswer(running.connect);
  const answeredMs = performance.now() - startedAt;
  await running.stop();
  const log = readLog();
  const { kernelMs, processMs } = JSON.parse(lineOf(log, "guest_ready")) as { kernelMs: number; processMs: number };
  // The guest's clock, counted from its own line for the configuration.
  const base = timeOf(log, "guest_configured");
  const at = (event: string) => configuredMs + timeOf(log, event) - base;
  const times = {
    "QEMU and firmware": at("guest_ready") - kernelMs,
    "kernel, initial root, first process": at("guest_ready") - processMs,
    "Node.js, guest init, configuration, mounts": configuredMs,
    "code volume checked": at("guest_server_started"),
    "the server's Node.js and code": at("listening"),
    "model volume checked, model loaded": at("ready"),
    "first answer": answeredMs,
  };
  const ends = Object.values(times);
  return Object.fromEntries(
    Object.keys(times).map((what, step) => [what, Math.round((ends[step] ?? 0) - (ends[step - 1] ?? 0))]),
  );
}

async function firstAnswer(connect: Parameters<typeof exchangeWithGuest>[0]): Promise<void> {
  const body = Buffer.from(JSON.stringify({ messages: [{ role: "user", content: "Say this is a test" }] }));
  const headers = [["content-type", "application/json"]] as const;
  const path = "/v1/chat/completions";
  const request = encodeRunRequest({ method: "POST", path, queryString: "", headers, body });
  for (;;) {
    const exchanged = await exchangeWithGuest(connect, request, 300_000);
    if (exchanged.kind !== "answer") throw new Error(exchanged.kind);
    const answer = parseAnswer(exchanged.bytes);
    if ("status" in answer && answer.status === 200) return;
    if (!("status" in answer) || answer.status !== 503) throw new Error(Buffer.from(exchanged.bytes).toString());
    await delay(50);
  }
}

async function idleInside(code: Awaited<ReturnType<typeof image>>): Promise<Idle> {
  const idle = { ...program, code: { ...program.code, ...code }, variables: {} };
  forgetLog();
  const running = await createMicrovmBackend(machine, scratch).start(idle, signal);
  try {
    for (;;) {
      const line = lineOf(readLog(), "idle");
      if (line !== "") return JSON.parse(line) as Idle;
      await delay(100);
    }
  } finally {
    await running.stop();
  }
}

function idleOutside(node: string): Idle {
  return JSON.parse(execFileSync(node, ["--eval", IDLE_SCRIPT], { encoding: "utf8", input: "" })) as Idle;
}

function forgetLog(): void {
  rmSync(join(scratch, "logs"), { recursive: true, force: true });
}

function readLog(): string {
  return readFileSync(join(scratch, "logs", `${itemHash}.log`), "utf8");
}

function lineOf(log: string, event: string): string {
  return log.split("\n").find((line) => line.includes(`"event":"${event}"`) && line.trimEnd().endsWith("}")) ?? "";
}

function timeOf(log: string, event: string): number {
  return Date.parse((JSON.parse(lineOf(log, event)) as { time: string }).time);
}

function sum(steps: Readonly<Record<string, number>>): number {
  return Object.values(steps).reduce((total, ms) => total + ms, 0);
}
