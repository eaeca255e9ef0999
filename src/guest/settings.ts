import { CodedError } from "../domain/errors.ts";

/** What a guest has to work with. `init.ts` says what each variable means. */
export interface GuestSettings {
  readonly devices: string;
  readonly root: string;
  readonly areMounted: boolean;
  readonly threads: number | undefined;
  readonly memoryMiB: number | undefined;
  /** From SIGTERM to SIGKILL of the server. */
  readonly stopMs: number;
  /** How long a request waits for the server to take connections, and an answer for the model to be checked. */
  readonly patienceMs: number;
}

/** And where it finds its outside. */
export interface InitSettings extends GuestSettings {
  readonly guestSocket: string;
  readonly hostSocket: string;
  readonly exitWithParent: boolean;
}

/** A host gives 5 s for all of `halt`. */
const STOP_MS = 3000;
export const PATIENCE_MS = 25_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** Errors: `config_invalid`, naming the variable. */
export function readInitSettings(env: Environment): InitSettings {
  return {
    guestSocket: required(env, "PINFERENCE_GUEST_SOCKET"),
    hostSocket: required(env, "PINFERENCE_HOST_SOCKET"),
    devices: env["PINFERENCE_GUEST_DEVICES"] ?? "/dev",
    root: env["PINFERENCE_GUEST_ROOT"] ?? "/",
    areMounted: env["PINFERENCE_GUEST_MOUNTED"] === "1",
    threads: positive(env, "PINFERENCE_THREADS"),
    memoryMiB: positive(env, "PINFERENCE_MEMORY_MIB"),
    stopMs: positive(env, "PINFERENCE_GUEST_STOP_MS") ?? STOP_MS,
    patienceMs: positive(env, "PINFERENCE_GUEST_PATIENCE_MS") ?? PATIENCE_MS,
    exitWithParent: env["PINFERENCE_EXIT_WITH_PARENT"] === "1",
  };
}

function required(env: Environment, name: string): string {
  const value = env[name];
  if (value === undefined || value === "")
    throw new CodedError("config_invalid", `${name} is required: a socket's path`);
  return value;
}

function positive(env: Environment, name: string): number | undefined {
  const value = env[name];
  if (value === undefined || value === "") return undefined;
  if (!/^[1-9]\d{0,8}$/.test(value)) throw new CodedError("config_invalid", `${name} must be a positive integer`);
  return Number(value);
}
