import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { dataDirectoryPath } from "../data-directory.ts";
import { command } from "./command.ts";

export const modelAdd = command({
  name: "model add",
  summary: "Write a hub's model into the catalogue: size, sha256, revision, licence, what it takes",
  positionals: {
    name: "MODEL",
    help: "hf:owner/repository/file.gguf, or a catalogue id whose facts shall be filled in",
  },
  options: {
    id: { type: "string", value: "ID", help: "its name in the catalogue (default: from the file's name)" },
    licence: { type: "string", value: "SPDX", help: "where the model does not say it, such as Apache-2.0" },
    publish: { type: "boolean", help: "publish it when `deploy` is given no model" },
    "dry-run": { type: "boolean", help: "show the entry, write nothing" },
    "data-dir": { type: "string", value: "PATH", help: "where the model's header is kept (default: ~/.pinference)" },
  },
  examples: [
    "pinference model add hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf --id qwen3-small",
    "pinference model add openhermes-2.5",
  ],
  async run(options, references, { env, signal, out, parts }) {
    const [reference, ...others] = references;
    if (reference === undefined || others.length > 0) throw new CodedError("usage", "name one model");
    const added = await parts.addModel(
      reference,
      {
        directory: join(dataDirectoryPath(options["data-dir"], env), "models"),
        id: options.id,
        licence: options.licence,
        publish: options.publish,
        dryRun: options["dry-run"],
      },
      signal,
    );
    out.emit({ event: "added", dryRun: options["dry-run"], ...added });
    if (!added.isDeployable) {
      out.emit({
        event: "note",
        message: "the hub does not tell the file's sha256: it cannot be deployed before it is set",
      });
    }
  },
});
