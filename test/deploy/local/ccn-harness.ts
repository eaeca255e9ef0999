/** A listening CCN on a directory of its own, and messages signed as the network's clients sign them. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Wallet } from "ethers";
import express from "express";

import { createCcn, KEEP_ALIVE_MS, type Ccn, type CcnOptions } from "../../../deploy/local/ccn.ts";
import { hashItemContent, verificationText, type MessageType } from "../../../deploy/messages/envelope.ts";

export const PRIVATE_KEY = `0x${"11".repeat(32)}`;
export const wallet = new Wallet(PRIVATE_KEY);
export const stranger = new Wallet(`0x${"22".repeat(32)}`);

export interface RunningCcn {
  readonly ccn: Ccn;
  readonly url: string;
  readonly dataDir: string;
  readonly server: Server;
  /** Ends the node and leaves its data directory. */
  stop(): Promise<void>;
  remove(): Promise<void>;
}

export async function startCcn(options: Partial<CcnOptions> = {}): Promise<RunningCcn> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "ccn-")));
  const ccn = await createCcn({ ...options, dataDir });
  const server = createServer(express().use(ccn.router));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on("upgrade", (request, socket, head) => {
    if (!ccn.handleUpgrade(request, socket, head)) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    await ccn.close();
  };
  return {
    ccn,
    server,
    dataDir,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop,
    remove: async () => {
      await stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

interface SignOptions {
  readonly signer?: Wallet;
  readonly time?: number;
  readonly channel?: string;
}

export async function sign(type: MessageType, content: object, options: SignOptions = {}) {
  const { signer = wallet, channel = "TEST" } = options;
  const time = options.time ?? Date.now() / 1000;
  const itemContent = JSON.stringify({ address: signer.address, time, ...content });
  const unsigned = { chain: "ETH", sender: signer.address, type, item_hash: hashItemContent(itemContent) };
  return {
    ...unsigned,
    channel,
    time,
    item_type: "inline",
    item_content: itemContent,
    signature: await signer.signMessage(verificationText(unsigned)),
  };
}

const CREDIT = { chain: "ETH", type: "credit" };

export function storeOf(fileHash: string, more: object = {}) {
  const engine = /^[0-9a-f]{64}$/.test(fileHash) ? "storage" : "ipfs";
  return { item_type: engine, item_hash: fileHash, payment: CREDIT, ...more };
}

export function programOf(ref: string, more: object = {}) {
  return {
    type: "vm-function",
    allow_amend: false,
    code: { encoding: "squashfs", entrypoint: "src/main.js", ref, interface: "binary", use_latest: false },
    on: { http: true, persistent: false },
    environment: { reproducible: false, internet: false, aleph_api: false, shared_cache: false },
    resources: { vcpus: 4, memory: 8192, seconds: 290 },
    runtime: { ref, use_latest: false, comment: "" },
    volumes: [],
    payment: CREDIT,
    ...more,
  };
}
