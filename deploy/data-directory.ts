import { randomBytes } from "node:crypto";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";

import { isDiskFull } from "./files/disk-full.ts";
import { CodedError } from "../src/domain/errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where everything is kept: models, keys, images, the local node's messages and files. */
export interface DataDirectory {
  readonly path: string;
  /** Images on their way to the node; emptied at each start. */
  readonly build: string;
  readonly models: string;
  /** Finished images, of `image build`. */
  readonly images: string;
  /** Debian and npm packages that the runtime is made of. */
  readonly packages: string;
  readonly node: string;
}

export function dataDirectoryPath(option: string | undefined, env: Environment): string {
  return resolve(option ?? (env["PINFERENCE_DATA_DIR"] || join(homedir(), ".pinference")));
}

/** Debian and npm packages take 85 MB: several data directories can share them. */
function packagesPath(path: string, env: Environment): string {
  const shared = env["PINFERENCE_PACKAGES_DIR"];
  return shared === undefined || shared === "" ? join(path, "packages") : resolve(shared);
}

/** Makes the directory if needed and proves that it can be written. Errors: `data_directory`, `disk_full`. */
export async function openDataDirectory(path: string, env: Environment = {}): Promise<DataDirectory> {
  const probe = join(path, `.probe-${randomBytes(6).toString("hex")}`);
  try {
    await makeDirectory(path);
    try {
      await writeFile(probe, "");
    } finally {
      await rm(probe, { force: true });
    }
  } catch (error) {
    throw toDataDirectoryError(error, path, PLACE_REASONS) ?? error;
  }
  return {
    path,
    build: join(path, "build"),
    models: join(path, "models"),
    images: join(path, "images"),
    packages: packagesPath(path, env),
    node: join(path, "node"),
  };
}

/**
 * Makes the directory and its parents, for the owner only: the signing key lies in it. Node's own `recursive` never
 * returns where a directory exists and still nothing can be made in it, as below /proc.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() === true) return;
    const parent = dirname(path);
    if (code !== "ENOENT" || (await isThere(parent))) throw error;
    await makeDirectory(parent);
    await mkdir(path, { mode: 0o700 });
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

const WRITE_REASONS: Readonly<Record<string, string>> = {
  EACCES: "it is not yours to write",
  EPERM: "it is not yours to write",
  EROFS: "it is on a read-only disk",
};

const PLACE_REASONS: Readonly<Record<string, string>> = {
  ...WRITE_REASONS,
  ENOTDIR: "a file is in its place",
  EEXIST: "a file is in its place",
  ENOENT: "it cannot be made there",
  ENAMETOOLONG: "its name is too long",
};

/** What a failed file operation means to the operator; undefined when it is about something else. */
export function toDataDirectoryError(error: unknown, path: string, reasons = WRITE_REASONS): CodedError | undefined {
  if (error instanceof CodedError) return withAdvice(error);
  if (!(error instanceof Error)) return undefined;
  const { code = "", path: failedPath = path } = error as NodeJS.ErrnoException;
  if (isDiskFull(error)) {
    const message = `no space is left for ${path}; free some, or give another place with --data-dir`;
    return new CodedError("disk_full", message, { cause: error });
  }
  const reason = reasons[code];
  if (reason === undefined || !(failedPath.startsWith(path) || path.startsWith(failedPath))) return undefined;
  const message = `the data directory ${path} cannot be used: ${reason}; give another one with --data-dir`;
  return new CodedError("data_directory", message, { cause: error });
}

/** The parts know their files, not the command's options. */
function withAdvice(error: CodedError): CodedError | undefined {
  const { code, message } = error;
  if ((code !== "disk_full" && code !== "data_directory") || /--(?:data-dir|api-server)/.test(message))
    return undefined;
  return new CodedError(code, `${message.replace(/\.$/, "")}. Another place can be given with --data-dir`, {
    cause: error,
  });
}
