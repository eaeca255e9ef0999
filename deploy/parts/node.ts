import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import express from "express";

import { CodedError } from "../../src/domain/errors.ts";
import type { LocalNode, NodeRequest } from "../commands/parts.ts";
import { extractSquashfs, isExtracted } from "../image/extract-squashfs.ts";
import type { Backend } from "../local/backends/backend.ts";
import { createMicrovmBackend, prepareMachine } from "../local/backends/microvm/microvm.ts";
import { createProcessBackend } from "../local/backends/process.ts";
import { createCcn } from "../local/ccn.ts";
import { startLocalNode } from "../local/node.ts";
import { strictProgramProblems } from "../messages/strict.ts";
import { prepareKernel } from "./kernel.ts";

/** For people at a laptop. Nodes of the network take 1 GiB, and so does this one with --as-network. */
const GENEROUS_UPLOAD_BYTES = 64 * 2 ** 30;

/** Errors: `port_in_use`, `config_invalid`, `data_directory`; `not_supported` where there are no virtual machines. */
export async function startNode(request: NodeRequest, packageRoot: string, signal: AbortSignal): Promise<LocalNode> {
  const { directory: dataDir, owners, host, port, asNetwork, idleSeconds, credits, faults } = request;
  await mkdir(dataDir, { recursive: true });
  const log = openLog(join(dataDir, "node.log"));
  try {
    const { backend, runsOn } = await createBackend(request, packageRoot, signal);
    const node = await startLocalNode({
      dataDir,
      host,
      port,
      owners,
      asNetwork,
      ...(idleSeconds === undefined ? {} : { idleMs: idleSeconds * 1000 }),
      backend,
      faults,
      createCcn: async () =>
        toNodePart(
          await createCcn({
            dataDir,
            ...(asNetwork ? {} : { limits: GENEROUS }),
            faults,
            ...(credits === undefined ? {} : { balance: { aleph: 0, credits } }),
          }),
        ),
      checkStrict({ itemContent }) {
        const problems = strictProgramProblems(itemContent);
        if (problems.length > 0) throw new CodedError("message_invalid", problems.join("; "));
      },
      log: log.write,
    });
    signal.throwIfAborted();
    return {
      url: node.url,
      runsOn,
      async close() {
        await node.stop();
        await log.close();
      },
    };
  } catch (error) {
    await log.close();
    throw error;
  }
}

async function createBackend(
  { directory: dataDir, asNetwork, vmPackages }: NodeRequest,
  packageRoot: string,
  signal: AbortSignal,
): Promise<{ backend: Backend; runsOn: LocalNode["runsOn"] }> {
  if (vmPackages === undefined) {
    const backend = createProcessBackend({ dataDir, extract: extractSquashfs, isIntact: isExtracted, asNetwork });
    return { backend, runsOn: "processes" };
  }
  const machine = await prepareMachine((abort) => prepareKernel(packageRoot, vmPackages, abort), signal);
  const runsOn = machine.accelerator === "kvm" ? "virtual machines (KVM)" : "virtual machines (emulated)";
  return { backend: createMicrovmBackend(machine, dataDir), runsOn };
}

const GENEROUS = { ipfsBytes: GENEROUS_UPLOAD_BYTES };

function toNodePart(ccn: Awaited<ReturnType<typeof createCcn>>) {
  return {
    listener: express().disable("x-powered-by").use(ccn.router),
    store: ccn.store,
    upgrade: (...handshake: Parameters<typeof ccn.handleUpgrade>) => ccn.handleUpgrade(...handshake),
    close: () => ccn.close(),
  };
}

/** What happens in the node, as JSON lines. */
function openLog(path: string) {
  const stream = createWriteStream(path, { flags: "a", mode: 0o600 });
  // A log that cannot be written is no reason to stop answering.
  stream.on("error", () => undefined);
  return {
    write: (event: string, fields: Readonly<Record<string, unknown>> = {}) =>
      void stream.write(`${JSON.stringify({ at: new Date().toISOString(), event, ...fields })}\n`),
    close: () => new Promise<void>((resolve) => void stream.end(() => resolve())),
  };
}
