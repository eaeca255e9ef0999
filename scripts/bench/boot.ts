/**
 * How long a virtual machine takes from the start of its kernel to its first answer, and where the time goes:
 * `npm run bench:boot [-- ROUNDS DIRECTORY]`. DIRECTORY is where `pinference image build demo` put its images and
 * packages (default ~/.pinference).
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { createMicrovmBackend, prepareMachine } from "../../deploy/local/backends/microvm/microvm.ts";
import { exchangeWithGuest } from "../../deploy/local/guest-connection.ts";
import { prepareKernel } from "../../deploy/parts/kernel.ts";
import { parseFileHash, parseItemHash } from "../../src/domain/hash.ts";
import { encodeRunRequest, parseAnswer } from "../../src/guest/protocol.ts";

const [rounds = "3", directory = join(homedir(), ".pinference")] = process.argv.slice(2);
const root = fileURLToPath(new URL("../../..", import.meta.url));
const packages = process.env["PINFERENCE_PACKAGES_DIR"] ?? join(directory, "packages");
const { signal } = new AbortController();
const machine = await prepareMachine((abort) => prepareKernel(root, packages, abort), signal);
const image = (name: string) => ({
  path: join(directory, "images", `${name}.squashfs`),
  fileHash: parseFileHash("0".repeat(64)),
});
const itemHash = parseItemHash("b".repeat(64));
const program = {
  itemHash,
  runtime: image("runtime"),
  code: { ...image("code-volume"), entrypoint: "src/main.js", mount: "/opt/code" },
  volumes: [{ ...image("model-volume-aleph-tiny-chat"), mount: "/models/0" }],
  variables: { PINFERENCE_MODEL: "/models/0/aleph-tiny-chat.Q8_0.gguf" },
  resources: { vcpus: 2, memoryMiB: 768, seconds: 290 },
};

const all: Record<string, number>[] = [];
for (let round = 0; round < Number(rounds); round += 1) all.push(await measure());
console.log(`accelerator: ${machine.accelerator}; medians of ${rounds}\n`);
console.log("| until | ms |\n| --- | ---: |");
for (const step of Object.keys(all[0] ?? {}))
  console.log(`| ${step} | ${median(all.map((one) => one[step] ?? NaN))} |`);

async function measure(): Promise<Record<string, number>> {
  const scratch = mkdtempSync(join(tmpdir(), "pinference-boot-"));
  try {
    const startedAt = performance.now();
    const running = await createMicrovmBackend(machine, scratch).start(program, signal);
    const configuredMs = performance.now() - startedAt;
    await firstAnswer(running.connect);
    const answeredMs = performance.now() - startedAt;
    await running.stop();
    const log = readFileSync(join(scratch, "logs", `${itemHash}.log`), "utf8");
    // The guest's clock, counted from its own line for the configuration.
    const base = timeOf(log, "guest_configured");
    const after = (event: string) => Math.round(configuredMs + timeOf(log, event) - base);
    return {
      "the guest has answered its configuration": Math.round(configuredMs),
      "the server is started (code volume checked)": after("guest_server_started"),
      "the server listens": after("listening"),
      "the model is loaded": after("model loaded"),
      "the first answer has arrived": Math.round(answeredMs),
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
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

function timeOf(log: string, event: string): number {
  const [, time] = new RegExp(`"time":"([^"]+)","event":"${event}"`).exec(log) ?? [];
  return Date.parse(time ?? "");
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
