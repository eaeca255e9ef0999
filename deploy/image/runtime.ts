/**
 * The plan of the runtime, the root of the virtual machine: minimal Debian libraries and Node.js from locked packages,
 * and the guest init. Nothing of a package is executed.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { type Bundle, bundleProgram } from "./bundle.ts";
import { writeNotices } from "./notices.ts";
import { DIRECTORY_MODE, EXECUTABLE_MODE, FILE_MODE, planImage, type ImagePlan, type PlanContent } from "./plan.ts";
import { RUNTIME_FILES, type RuntimeFile } from "./runtime-files.ts";

const ROOTFS = join("deploy", "image", "rootfs");
const GUEST_INIT = "dist/src/guest/init.js";

export interface RuntimeInputs {
  /** Of this product, with its `dist`. */
  readonly packageRoot: string;
  /** The files of each locked package, by the package's name; paths as in the package. */
  readonly packages: ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;
}

/** Errors: `image_plan_invalid` when a package lacks a file, or the guest init is not compiled. */
export async function planRuntime(inputs: RuntimeInputs): Promise<ImagePlan> {
  const guestInit = await bundleProgram(inputs.packageRoot, GUEST_INIT);
  return planImage(
    await Promise.all(
      RUNTIME_FILES.map(async (file) => ({
        path: file.path,
        mode: modeOf(file),
        content: await load(file, inputs, guestInit),
      })),
    ),
  );
}

function modeOf({ source, isExecutable }: RuntimeFile): number {
  if (source.from === "directory") return DIRECTORY_MODE;
  return isExecutable ? EXECUTABLE_MODE : FILE_MODE;
}

async function load(
  { path, source }: RuntimeFile,
  { packageRoot, packages }: RuntimeInputs,
  { code, packageFolders }: Bundle,
): Promise<PlanContent> {
  switch (source.from) {
    case "directory":
      return { kind: "directory" };
    case "link":
      return { kind: "symlink", target: source.target };
    case "rootfs":
      return { kind: "bytes", content: await readFile(join(packageRoot, ROOTFS, path)) };
    case "guest":
      return { kind: "bytes", content: code };
    case "notices":
      return { kind: "bytes", content: Buffer.from(writeNotices(packageRoot, packageFolders)) };
    default:
      return { kind: "bytes", content: findFile(packages, source.name, source.file) };
  }
}

/** /lib and /usr/lib are one directory on Debian, and packages use either name. */
function findFile(packages: RuntimeInputs["packages"], name: string, file: string): Uint8Array {
  const files = packages.get(name);
  const content = files?.get(file) ?? files?.get(`usr/${file}`);
  if (content !== undefined) return content;
  throw new CodedError("image_plan_invalid", `package "${name}" of the runtime's lock has no file "${file}"`);
}
