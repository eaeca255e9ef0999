import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";

import { CodedError } from "../../src/domain/errors.ts";
import type { Backend } from "./backends/backend.ts";
import type { ProgramStatus } from "./index-page.ts";
import type { NodeLog } from "./program-pool.ts";
import { filesOfPrograms, type CheckStrict, type Owners } from "./resolve.ts";
import type { NodeStore } from "./store.ts";
import { route } from "./routing.ts";
import { withConnectionFaults } from "./faults/connection-faults.ts";
import type { Faults } from "./faults/faults.ts";
import { withProgramFaults } from "./faults/program-faults.ts";
import { createSupervisor } from "./supervisor.ts";
import { foreignVisitor, isLoopback } from "./own-visitors.ts";
import { foreignVisitorRefused, sendRefusal } from "./refusals.ts";
import { withoutUpgrade } from "./without-upgrade.ts";

/** The messages-and-files half of the local node. */
export interface Ccn {
  readonly listener: RequestListener;
  readonly store: NodeStore;
  /** A request below /api/ for an upgrade. False when it is none of a WebSocket's; the socket is untouched then. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  close(): Promise<void>;
}

export interface LocalNodeOptions {
  readonly dataDir: string;
  /** Default 127.0.0.1: the node trusts whoever can connect. */
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Behave like a CRN: see `SupervisorOptions`. */
  readonly asNetwork: boolean;
  readonly idleMs?: number;
  readonly gatewayTimeoutMs?: number;
  readonly backend: Backend;
  readonly createCcn: (options: { readonly dataDir: string; readonly log: NodeLog }) => Promise<Ccn>;
  readonly checkStrict: CheckStrict;
  /** The operator: a program has this user's rights, and anybody who can connect can publish one. */
  readonly owners: Owners;
  /** What it does wrong on purpose; those of its CCN are the CCN's own. Default: nothing. */
  readonly faults?: Faults | undefined;
  readonly log: NodeLog;
}

export interface LocalNode {
  /** Base URL, without a trailing slash. */
  readonly url: string;
  /** Base URL for the SDK, which appends /api/v0/…. */
  readonly ccnUrl: string;
  programs(): Promise<readonly ProgramStatus[]>;
  /** Ends open requests and programs; resolves when nothing of the node is left. Can be called again. */
  stop(): Promise<void>;
}

// More than clients and proxies keep theirs: the side that reuses a connection should be the one that closes it.
const KEEP_ALIVE_MS = 125_000;

/** Since Node 24.9: whether a request that asks for an upgrade gets one, or is an ordinary request. */
interface UpgradeOption {
  readonly shouldUpgradeCallback: (request: IncomingMessage) => boolean;
}

function isWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === "websocket";
}

/** A CCN and a CRN on one loopback port. Errors: `port_in_use`, `config_invalid`; those of `createCcn`. */
export async function startLocalNode(options: LocalNodeOptions): Promise<LocalNode> {
  const { dataDir, host = "127.0.0.1", port, backend, faults, log } = options;
  let url = "";
  const ccn = await options.createCcn({ dataDir, log });
  // Housekeeping: no start fails by it.
  await collectVolumes(backend, ccn.store).catch((error: unknown) => log("volumes stay", { error: String(error) }));
  const supervisor = createSupervisor({
    store: ccn.store,
    backend,
    checkStrict: options.checkStrict,
    owners: options.owners,
    asNetwork: options.asNetwork,
    ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
    ...(options.gatewayTimeoutMs === undefined ? {} : { gatewayTimeoutMs: options.gatewayTimeoutMs }),
    ownHosts: [host],
    baseUrl: () => url,
    log,
  });

  const toCcn = faults === undefined ? ccn.listener : withConnectionFaults(ccn.listener, faults);
  const toSupervisor =
    faults === undefined
      ? supervisor.listener
      : withProgramFaults(supervisor.listener, faults, { asNetwork: options.asNetwork, ownHosts: [host] });

  // Whoever opens the node to a network opens it to web pages too: a page cannot be told from its users there.
  const foreignTo = ({ url: target = "/", headers }: IncomingMessage): string | undefined =>
    isLoopback(host) ? foreignVisitor(target, headers) : undefined;

  const serverOptions: ServerOptions & UpgradeOption = {
    keepAliveTimeout: KEEP_ALIVE_MS,
    // A large upload may take longer than the 5 min that Node gives a request.
    requestTimeout: 0,
    shouldUpgradeCallback: (request) => isForCcn(request) && isWebSocket(request) && foreignTo(request) === undefined,
  };
  const server = createServer(serverOptions, (request, response) => {
    const foreign = foreignTo(request);
    if (foreign !== undefined) sendRefusal(response, foreignVisitorRefused(foreign), options.asNetwork);
    else (isForCcn(request) ? toCcn : toSupervisor)(request, response);
  });
  // Only versions of Node that do not know the callback hand over requests that are not for the CCN.
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const isTaken =
      isForCcn(request) &&
      isWebSocket(request) &&
      foreignTo(request) === undefined &&
      ccn.upgrade(request, socket, head);
    if (!isTaken) server.emit("connection", withoutUpgrade(request, socket, head));
  });
  const sockets = trackSockets(server);

  try {
    await listen(server, port, host);
  } catch (error) {
    await ccn.close();
    throw listenError(error, host, port);
  }
  url = baseUrlOf(host, (server.address() as AddressInfo).port);

  let stopped: Promise<void> | undefined;
  async function stopOnce(): Promise<void> {
    supervisor.drain();
    server.close();
    await Promise.all([supervisor.close(), ccn.close()]);
    // Answers that the ending programs gave leave first.
    await new Promise(setImmediate);
    for (const socket of sockets) socket.destroy();
  }
  return {
    url,
    ccnUrl: url,
    programs: () => supervisor.programs(),
    stop: () => (stopped ??= stopOnce()),
  };
}

/** Of forgotten programs, volumes are unpacked for nobody. */
async function collectVolumes(backend: Backend, store: NodeStore): Promise<void> {
  await backend.collect?.(await filesOfPrograms(store));
}

/** The routes of a CCN, unless the host names a program: that one may have an /api/ of its own. */
function isForCcn({ url = "", headers }: IncomingMessage): boolean {
  return (url.startsWith("/api/") || url.startsWith("/ipfs/")) && route(headers.host, url).kind !== "program";
}

/** Every open connection, upgraded ones too: `server.closeAllConnections` does not know those. */
function trackSockets(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

function listenError(cause: unknown, host: string, port: number): CodedError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "EADDRINUSE") {
    const message = `port ${port} of ${host} is in use: stop what listens there, or choose another with --port`;
    return new CodedError("port_in_use", message, { cause });
  }
  const message = `cannot listen on port ${port} of ${host} (${code ?? "unknown"}): choose another with --port or --host`;
  return new CodedError("config_invalid", message, { cause });
}

function baseUrlOf(host: string, port: number): string {
  // The unspecified address is for listening; nobody can be told to connect to it.
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`;
}
