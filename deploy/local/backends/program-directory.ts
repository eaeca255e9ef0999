import { mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";

import { CodedError } from "../../../src/domain/errors.ts";

/** What stands at a mount point of the guest, and the image that it comes from. */
export interface Mounted {
  readonly mount: string;
  readonly directory: string;
  /** As in the guest's configuration. */
  readonly device: string;
  readonly imagePath: string;
}

/** A directory of one running program, open to this user alone: what its guest calls root and /dev, and its sockets. */
export interface ProgramDirectory {
  readonly root: string;
  readonly devices: string;
  /** Where the guest listens, where it finds its host, and where its server speaks HTTP. */
  readonly guestSocket: string;
  readonly hostSocket: string;
  readonly serverSocket: string;
  remove(): Promise<void>;
}

// sun_path holds 104 bytes on macOS and 108 on Linux, the final zero included.
const MAX_SOCKET_PATH_BYTES = 103;
const PREFIX = "pinference-run-";
/** Below the root; the guest init makes it. */
const SERVER_SOCKET = "root/run/pinference/server.sock";
// Far more than a start takes.
const ABANDONED_AFTER_MS = 600_000;

/** Errors: `program_failed` for mount points that cannot stand together. */
export async function createProgramDirectory(mounts: readonly Mounted[]): Promise<ProgramDirectory> {
  checkMounts(mounts.map(({ mount }) => mount));
  const directory = await mkdtemp(join(parentDirectory(), PREFIX));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const root = join(directory, "root");
  const devices = join(directory, "dev");
  try {
    await mkdir(devices);
    for (const { mount, directory: target, device, imagePath } of mounts) {
      const link = join(root, mount);
      await mkdir(dirname(link), { recursive: true });
      await symlink(target, link);
      await symlink(imagePath, join(devices, device));
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    root,
    devices,
    guestSocket: join(directory, "s"),
    hostSocket: join(directory, "h"),
    serverSocket: join(directory, SERVER_SOCKET),
    remove,
  };
}

/** Removes what nodes that were killed have left. A program that has not answered yet is told by its age. */
export async function removeAbandoned(parent: string = parentDirectory()): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const directory = join(parent, name);
    try {
      const { mtimeMs, uid } = await stat(directory);
      if (uid !== process.getuid?.() || Date.now() - mtimeMs < ABANDONED_AFTER_MS) continue;
      const refusal = await connectionError(join(directory, "s"));
      // A busy program refuses with another code.
      if (refusal === "ECONNREFUSED" || refusal === "ENOENT") await rm(directory, { recursive: true });
    } catch {
      // Another node was faster.
    }
  }
}

/** Undefined when a server listens on the socket, else the system's code. */
export async function connectionError(socketPath: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

function parentDirectory(): string {
  const longest = join(tmpdir(), `${PREFIX}XXXXXX`, SERVER_SOCKET);
  return Buffer.byteLength(longest) <= MAX_SOCKET_PATH_BYTES ? tmpdir() : "/tmp";
}

/** Absolute, in normal form, and none at or below another: a link must not be made through a volume. */
function checkMounts(mounts: readonly string[]): void {
  for (const [at, mount] of mounts.entries()) {
    const isPlain = mount !== "/" && mount.startsWith("/") && posix.normalize(mount) === mount && !mount.endsWith("/");
    const meets = mounts.find((other, otherAt) => otherAt !== at && `${mount}/`.startsWith(`${other}/`));
    if (!isPlain || mount.includes("\0")) throw new CodedError("program_failed", `"${mount}" is not a mount point`);
    if (meets !== undefined) throw new CodedError("program_failed", `mount point ${mount} is taken by ${meets}`);
  }
}
