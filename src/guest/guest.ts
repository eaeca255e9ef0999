/** What the guest does between its configuration and its end. The sockets are elsewhere. */
import { mkdir } from "node:fs/promises";
import { join, posix } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError } from "../domain/errors.ts";
import { CODE_MOUNT } from "../domain/volume.ts";
import { askServer } from "./ask-server.ts";
import type { ServerAnswer } from "./forward.ts";
import type { GuestLog } from "./log.ts";
import { joinShards } from "./model-directory.ts";
import { type GuestVolume, mountAll, planMounts } from "./mounts.ts";
import { NoAnswer, type Phase, stillStarting } from "./own-answers.ts";
import type { Configuration, RunRequest, SetupAnswer } from "./protocol.ts";
import { serverEnvironment } from "./server-environment.ts";
import { ServerProcess } from "./server-process.ts";
import type { GuestSettings } from "./settings.ts";
import { checkVolume, type ExpectedVolume, expectedVolumes, modelVolumes } from "./volumes.ts";

const RUN_DIRECTORY = "/run/pinference";

interface Program {
  readonly configuration: Configuration;
  readonly volumes: readonly GuestVolume[];
  readonly server: ServerProcess;
  readonly socketPath: string;
  /** Which volume is being checked, or was last. */
  readonly check: { mount: string; part: number | undefined };
  /** Resolves when the code is what it should be and the server was started. Errors: a `NoAnswer`, for good. */
  readonly started: Promise<void>;
  /** Resolves when the model is what it should be. Errors: a `NoAnswer`, for good. */
  readonly checked: Promise<void>;
}

export interface GuestOptions {
  readonly settings: GuestSettings;
  readonly log: GuestLog;
  /** As of `ServerProcessOptions`. */
  readonly output?: (chunk: Buffer) => void;
  /** For a guest that ends with its server, or with a volume that is damaged. By default it stays, to say so. */
  readonly onEnd?: (how: string) => void;
}

export class Guest {
  readonly #options: GuestOptions;
  readonly #halting = new AbortController();
  readonly #runs = new Set<AbortController>();
  #setup: Promise<SetupAnswer> | undefined;
  #program: Program | undefined;

  constructor(options: GuestOptions) {
    this.#options = options;
  }

  /** Answers before the code is checked and the model loads. The same configuration may come again. */
  async configure(configuration: Configuration): Promise<SetupAnswer> {
    const isAgain = this.#setup !== undefined;
    this.#setup ??= this.#configureOnce(configuration);
    const answer = await this.#setup;
    const runs = this.#program?.configuration.vmHash ?? configuration.vmHash;
    if (isAgain && runs !== configuration.vmHash) {
      return { success: false, error: `this guest runs ${runs} already` };
    }
    // A failed setup may be tried again.
    if (!answer.success) this.#setup = undefined;
    return answer;
  }

  /** Errors: a `NoAnswer`; the signal's reason. */
  async run(request: RunRequest, signal: AbortSignal): Promise<ServerAnswer> {
    this.#refuseWhileHalting();
    const program = this.#program;
    if (program === undefined) {
      throw stillStarting("configuration", "The guest has not been configured yet", 1);
    }
    const work = new AbortController();
    const leave = (): void => work.abort(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    this.#runs.add(work);
    try {
      return await this.#answer(program, request, work.signal);
    } catch (error) {
      this.#refuseWhileHalting();
      throw error;
    } finally {
      this.#runs.delete(work);
      signal.removeEventListener("abort", leave);
    }
  }

  /** Ends the requests, each with an answer, and the server. */
  async halt(): Promise<void> {
    this.#options.log("halt");
    this.#halting.abort(shuttingDown());
    for (const run of this.#runs) run.abort(this.#halting.signal.reason);
    await this.#program?.server.stop(this.#options.settings.stopMs);
  }

  async #answer(program: Program, request: RunRequest, signal: AbortSignal): Promise<ServerAnswer> {
    const { patienceMs } = this.#options.settings;
    const giveUpAt = performance.now() + patienceMs;
    await withPatience(program.started, patienceMs, () => beingChecked("code_check", program.check));
    let answer: ServerAnswer;
    try {
      await program.server.ready(giveUpAt - performance.now(), signal);
      answer = await askServer(program.socketPath, request, signal);
    } catch (error) {
      // The server of a damaged program is stopped: that is the reason then, not its end.
      await Promise.race([program.checked, Promise.resolve()]);
      throw error;
    }
    // A refusal tells nothing of the model.
    if (answer.status < 400) {
      await withPatience(program.checked, patienceMs, () => beingChecked("model_check", program.check));
    }
    return answer;
  }

  async #configureOnce(configuration: Configuration): Promise<SetupAnswer> {
    const { settings, log } = this.#options;
    const startedAt = performance.now();
    try {
      checkConfiguration(configuration);
      const volumes = planMounts(configuration.volumes, settings.root, settings.devices);
      const expected = expectedVolumes(volumes, configuration.variables);
      if (!settings.areMounted) await mountAll(volumes);
      await mkdir(join(settings.root, RUN_DIRECTORY), { recursive: true, mode: 0o700 });
      const model = configuration.variables["PINFERENCE_MODEL"];
      const path = model === undefined ? {} : await this.#modelPath(model, volumes);
      const variables = { ...configuration.variables, ...path };
      this.#program = this.#start({ ...configuration, variables }, volumes, expected);
    } catch (error) {
      log("setup_failed", { reason: (error as Error).message });
      return { success: false, error: (error as Error).message };
    }
    log("configured", { program: configuration.vmHash, ms: Math.round(performance.now() - startedAt) });
    return { success: true };
  }

  async #modelPath(model: string, volumes: readonly GuestVolume[]): Promise<{ PINFERENCE_MODEL: string }> {
    return { PINFERENCE_MODEL: await joinShards(model, modelVolumes(volumes), this.#options.settings.root) };
  }

  #start(
    configuration: Configuration,
    volumes: readonly GuestVolume[],
    expected: ReturnType<typeof expectedVolumes>,
  ): Program {
    const { settings, log, output, onEnd } = this.#options;
    const { root, threads, memoryMiB } = settings;
    const socketPath = join(root, RUN_DIRECTORY, "server.sock");
    const server = new ServerProcess({
      script: join(root, CODE_MOUNT, posix.normalize(configuration.entrypoint)),
      cwd: root,
      env: serverEnvironment(configuration.variables, { socketPath, rootDirectory: root, threads, memoryMiB }),
      socketPath,
      log,
      output,
      onEnd,
    });
    const check: Program["check"] = { mount: CODE_MOUNT, part: undefined };
    const startOnceChecked = async (): Promise<void> => {
      await this.#check(expected.code, check);
      this.#halting.signal.throwIfAborted();
      server.start();
    };
    const checkModels = async (): Promise<void> => {
      await started;
      // One after the other: they come from one disk.
      for (const model of expected.models) await this.#check(model, check);
    };
    const started = startOnceChecked();
    const checked = checkModels();
    // Whoever asks is told; nobody asking must not end the process.
    checked.catch(async (error: unknown) => {
      if (this.#halting.signal.aborted) return;
      log("program_damaged", { reason: (error as Error).message });
      await server.stop(0);
      onEnd?.(`was stopped. ${(error as Error).message}`);
    });
    return { configuration, volumes, server, socketPath, check, started, checked };
  }

  async #check(expected: ExpectedVolume, check: Program["check"]): Promise<void> {
    Object.assign(check, { mount: expected.volume.mount, part: undefined });
    try {
      await checkVolume(expected, this.#options.log, this.#halting.signal, (part) => (check.part = part));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      throw new NoAnswer({ status: 500, error });
    }
  }

  #refuseWhileHalting(): void {
    if (this.#halting.signal.aborted) throw this.#halting.signal.reason;
  }
}

/** Errors: `program_failed`. */
function checkConfiguration({ interface: kind, encoding, entrypoint }: Configuration): void {
  const fail = (message: string): never => {
    throw new CodedError("program_failed", message);
  };
  if (kind !== "executable") fail(`this runtime runs the interface "executable", not "${kind}"`);
  if (encoding !== "squashfs") fail(`this runtime takes code as squashfs, not as "${encoding}"`);
  const normal = posix.normalize(entrypoint);
  if (entrypoint === "" || posix.isAbsolute(normal) || normal.split("/").includes("..") || normal.includes("\0")) {
    fail(`"${entrypoint}" is not a path inside the code volume`);
  }
}

/** Errors: those of the promise; a `NoAnswer` to come again when it is not settled in time. */
async function withPatience(promise: Promise<void>, ms: number, whenLate: () => NoAnswer): Promise<void> {
  const over = new AbortController();
  const late = delay(ms, undefined, { signal: over.signal }).then(() => {
    throw whenLate();
  });
  late.catch(() => undefined);
  try {
    await Promise.race([promise, late]);
  } finally {
    over.abort();
  }
}

function beingChecked(phase: Phase, { mount, part }: Program["check"]): NoAnswer {
  return stillStarting(phase, `The volume ${mount} is being checked`, 2, part);
}

function shuttingDown(): NoAnswer {
  const error = new CodedError("shutting_down", "The guest is shutting down. Try again in a few seconds.");
  return new NoAnswer({ status: 503, error, retryAfterS: 5 });
}
