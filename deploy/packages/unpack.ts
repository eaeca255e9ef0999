/** Files out of packages. Nothing of a package is executed, and nothing is written to the disk. */
import { gunzipSync } from "node:zlib";

import { parseTar } from "nanotar";
import xz from "xz-decompress";

import { CodedError } from "../../src/domain/errors.ts";

/** Regular files by their path, without a leading slash or "./". Links are not listed. */
export type PackageFiles = ReadonlyMap<string, Uint8Array>;

const AR_MAGIC = "!<arch>\n";
const AR_HEADER_BYTES = 60;

/**
 * The files that a Debian package installs. Source: deb(5).
 * Errors: `image_plan_invalid` on a package that is none, or of a compression other than xz and gzip.
 */
export async function unpackDeb(deb: Buffer): Promise<PackageFiles> {
  const [name, data] = findMember(deb, "data.tar");
  if (name === "data.tar.xz") return toFiles(await unxz(data));
  if (name === "data.tar.gz") return toFiles(gunzipSync(data));
  if (name === "data.tar") return toFiles(data);
  throw invalid(`its files are in ${name}, which is neither xz nor gzip`);
}

/** The files of npm's archive, below `package/`. Errors: `image_plan_invalid`. */
export function unpackNpm(tgz: Buffer): PackageFiles {
  return toFiles(gunzipSync(tgz));
}

/** Source: ar(5), the common form with names of up to 16 characters. */
function findMember(archive: Buffer, prefix: string): [name: string, content: Buffer] {
  if (archive.toString("latin1", 0, AR_MAGIC.length) !== AR_MAGIC) throw invalid("it is no ar archive");
  for (let at = AR_MAGIC.length; at + AR_HEADER_BYTES <= archive.byteLength;) {
    const name = archive.toString("latin1", at, at + 16).replace(/\/? *$/, "");
    const bytes = Number(archive.toString("latin1", at + 48, at + 58).trim());
    const start = at + AR_HEADER_BYTES;
    if (!Number.isSafeInteger(bytes) || start + bytes > archive.byteLength) throw invalid("it is cut off");
    if (name.startsWith(prefix)) return [name, archive.subarray(start, start + bytes)];
    // Members begin at even offsets.
    at = start + bytes + (bytes & 1);
  }
  throw invalid(`it has no ${prefix}`);
}

async function unxz(data: Uint8Array): Promise<Uint8Array> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(data);
      controller.close();
    },
  });
  return new Uint8Array(await new Response(new xz.XzReadableStream(source)).arrayBuffer());
}

function toFiles(tar: Uint8Array): PackageFiles {
  // The parser reads whole buffers: a Buffer may be a window on a larger one.
  const whole = tar.byteLength === tar.buffer.byteLength ? tar : Uint8Array.from(tar);
  const files = parseTar(whole).filter(({ type }) => type === "file");
  return new Map(files.map(({ name, data }) => [name.replace(/^(?:\.?\/)+/, ""), data ?? new Uint8Array()]));
}

function invalid(why: string): CodedError {
  return new CodedError("image_plan_invalid", `a package cannot be unpacked: ${why}`);
}
