import type { Sha256 } from "../../src/domain/hash.ts";
import { readGgufHeader, type GgufHeader } from "../../src/gguf/gguf-header.ts";
import { sha256OfFile, type HashOptions } from "./hash-file.ts";

export interface InspectedModelFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: Sha256;
  readonly header: GgufHeader;
}

/**
 * What a model file is and which bytes it has. The header comes first, so that a wrong file is refused at once.
 * Errors: those of `readGgufHeader` and `sha256OfFile`.
 */
export async function inspectModelFile(path: string, options: HashOptions = {}): Promise<InspectedModelFile> {
  const header = readGgufHeader(path);
  const sha256 = await sha256OfFile(path, options);
  return { path, bytes: header.fileBytes, sha256, header };
}
