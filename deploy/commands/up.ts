import { mkdir, rm } from "node:fs/promises";

import { openArtefactIndex } from "../artefacts.ts";
import { type DataDirectory, dataDirectoryPath, openDataDirectory, toDataDirectoryError } from "../data-directory.ts";
import { acquireLock } from "../lock.ts";
import { askFirstQuestion, curlLine } from "../stages/first-answer.ts";
import { pinImage } from "../stages/pin-image.ts";
import { publishProgram, toProgramSpec } from "../stages/publish-program.ts";
import { createCleanup } from "./cleanup.ts";
import { command, type ValuesOf } from "./command.ts";
import type { ReadyModel } from "./events.ts";
import type { ProgramSpec } from "../network/network.ts";
import type { Output } from "./output.ts";
import type { LocalModel, ModelRequest, NodeRequest } from "./parts.ts";

const DEMO_MODEL = "aleph-tiny-chat";
const SHOWN_LETTERS = 40;

const OPTIONS = {
  port: {
    type: "integer",
    value: "PORT",
    min: 0,
    max: 65_535,
    default: 4020,
    help: "port of the local node, 0 for a free one",
  },
  host: { type: "string", value: "HOST", default: "127.0.0.1", help: "address to listen on" },
  "data-dir": {
    type: "string",
    value: "DIR",
    help: "where everything is kept (default PINFERENCE_DATA_DIR or ~/.pinference)",
  },
  "context-length": {
    type: "integer",
    value: "TOKENS",
    min: 1,
    max: 16_777_216,
    help: "tokens of one conversation (default: by the model)",
  },
  slots: { type: "integer", value: "N", min: 1, max: 64, default: 4, help: "requests answered at the same time" },
  memory: {
    type: "integer",
    value: "MIB",
    min: 64,
    max: 1_048_576,
    help: "memory of a program (default: what the model needs)",
  },
  vcpus: { type: "integer", value: "N", min: 1, max: 256, help: "processors of a program" },
  seconds: {
    type: "integer",
    value: "S",
    min: 1,
    max: 315_360_000,
    default: 290,
    help: "longest time for one request",
  },
  idle: {
    type: "integer",
    value: "S",
    min: 1,
    max: 31_536_000,
    help: "stop a program after this long without a request",
  },
  vm: { type: "boolean", help: "run programs in virtual machines, booted from the published images" },
  "as-network": { type: "boolean", help: "buffer answers and apply every limit of the network" },
  open: { type: "boolean", help: "show the node's page in the browser" },
  explain: { type: "boolean", help: "say how context length, slots, memory and processors were chosen" },
  check: { type: "boolean", help: "end after the first answers, for CI" },
} as const;

export const up = command({
  name: "up",
  summary: "Pin models on a local node and answer at their URLs until Ctrl-C",
  positionals: {
    name: "MODEL",
    help: `a catalogue id, a path to a .gguf file, or hf:owner/repo/file.gguf (default ${DEMO_MODEL})`,
  },
  options: OPTIONS,
  examples: ["pinference up", "pinference up --port 0 ./my-model.gguf", "pinference up qwen3-0.6b --open"],

  async run(options, references, { env, signal, out, parts }) {
    const startedAt = performance.now();
    const directoryPath = dataDirectoryPath(options["data-dir"], env);
    const stage = (name: string, outcome: string, detail: string) =>
      out.emit({ event: "stage", stage: name, outcome, detail });
    const note = (message: string) => out.emit({ event: "note", message });
    const cleanup = createCleanup(note);
    try {
      const directory = await openDataDirectory(directoryPath, env);
      cleanup.add(await acquireLock(directory.path));
      // What a kill left behind.
      await rm(directory.build, { recursive: true, force: true });
      await mkdir(directory.build);
      stage("data directory", "ready", directory.path);

      const key = await parts.loadKey(directory.path);
      // Before the models: a port in use is told now, not after a download.
      const node = await parts.startNode(nodeRequest(options, directory, key.address), signal);
      cleanup.add(() => node.close());
      stage("local node", "started", node.url);
      if (options.vm) note(`programs run in ${node.runsOn}`);
      const network = await parts.connect(node.url, key, { directory: directory.path });
      stage("key", key.source === "file" ? "throwaway" : "given", network.address);

      const models: LocalModel[] = [];
      for (const reference of references.length === 0 ? [DEMO_MODEL] : new Set(references)) {
        const model = await parts.findModel(reference, modelRequest(options, directory.models), out, signal);
        if (options.explain) for (const reason of reasonsFor(model, options)) note(`${model.id}: ${reason}`);
        models.push(model);
      }

      const index = await openArtefactIndex(directory.path, note);
      const pinning = { index, network, buildDirectory: directory.build, out, signal };
      const runtime = await pinImage(await parts.runtime(options.vm ? "vm" : "host", directory.packages), pinning);
      const code = await pinImage(await parts.codeVolume(), pinning);
      const programs: ReadyModel[] = [];
      for (const model of models) {
        const recipes = await parts.modelVolumes(model);
        const volumes = [];
        for (const recipe of recipes) volumes.push(await pinImage(recipe, pinning));
        const modelFile = recipes[0]?.fileName ?? model.fileName;
        const resources = programResources(options, model);
        const spec = toProgramSpec({ model, runtime, code, volumes, modelFile, resources, isHostRuntime: !options.vm });
        const itemHash = await publishProgram(spec, pinning);
        const baseUrl = `${node.url}/vm/${itemHash}/v1`;
        programs.push({ model: model.id, itemHash, baseUrl, curl: curlLine(baseUrl, model.id) });
      }

      for (const { model, baseUrl } of programs) await showFirstAnswer(baseUrl, model, out, signal);
      const page = `${node.url}/`;
      const ms = performance.now() - startedAt;
      out.emit({ event: "ready", models: programs, index: page, stays: !options.check, ms });
      if (options.check) return;
      if (options.open) parts.openBrowser(page);
      await untilAborted(signal);
    } catch (error) {
      throw toDataDirectoryError(error, directoryPath) ?? error;
    } finally {
      await cleanup.run();
    }
  },
});

type UpOptions = ValuesOf<typeof OPTIONS>;

function nodeRequest(options: UpOptions, directory: DataDirectory, operator: string): NodeRequest {
  return {
    directory: directory.node,
    owners: [operator],
    host: options.host,
    port: options.port,
    asNetwork: options["as-network"],
    vmPackages: options.vm ? directory.packages : undefined,
    idleSeconds: options.idle,
  };
}

function modelRequest(options: UpOptions, directory: string): ModelRequest {
  return {
    directory,
    contextLength: options["context-length"],
    slots: options.slots,
    memoryMiB: options.memory,
  };
}

function reasonsFor({ reasons }: LocalModel, { vcpus }: UpOptions): readonly string[] {
  if (vcpus === undefined) return reasons;
  return [
    ...reasons.filter((reason) => !/^(?:vCPUs|threads) /.test(reason)),
    `vCPUs and threads ${vcpus}: as asked for`,
  ];
}

function programResources(options: UpOptions, { resources }: LocalModel): ProgramSpec["resources"] {
  return {
    vcpus: options.vcpus ?? resources.vcpus,
    memoryMiB: resources.memoryMiB,
    seconds: options.seconds,
  };
}

async function showFirstAnswer(baseUrl: string, model: string, out: Output, signal: AbortSignal): Promise<void> {
  const askedAt = performance.now();
  const { text, tokensPerSecond } = await askFirstQuestion(baseUrl, model, { signal });
  out.emit({
    event: "stage",
    stage: "program",
    outcome: "answers",
    model,
    detail: JSON.stringify(text.length > SHOWN_LETTERS ? `${text.slice(0, SHOWN_LETTERS)}…` : text),
    ...(tokensPerSecond === undefined ? {} : { tokensPerSecond }),
    ms: performance.now() - askedAt,
  });
}

/** Rejects with what the signal was aborted for. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}
