/** What a MODEL argument means: a catalogue id, a file on this machine, or a file of a hub repository. */
import { statSync } from "node:fs";

import { CodedError } from "../../src/domain/errors.ts";
import type { HubSource } from "./catalogue.ts";
import { printable } from "../../src/gguf/header-cursor.ts";

export type ModelReference =
  { readonly kind: "catalogue"; readonly id: string } | { readonly kind: "file"; readonly path: string } | HubSource;

/** As the hub itself demands of names; none begins with a dot or a dash, so none can climb out of a directory. */
const HUB_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$/;
const HUB_PATH = /^(?:[A-Za-z0-9_][\w .+-]*\/)*[A-Za-z0-9_][\w .+-]*$/;
const REVISION = /^[A-Za-z0-9_][\w.-]{0,127}$/;
const HUB_FORM = "hf:owner/repository/file.gguf";

/**
 * A name that exists as a file, ends in .gguf or holds a separator is a path; whether the catalogue has an id, or the
 * machine a file, is not asked here. Errors: `usage`, saying what to write instead.
 */
export function parseModelReference(text: string, isFile: (path: string) => boolean = isFileHere): ModelReference {
  const wanted = `Write a catalogue id, a path to a .gguf file, or ${HUB_FORM}.`;
  if (text.trim() === "") throw new CodedError("usage", `no model is named. ${wanted}`);
  if (/\p{Cc}/u.test(text)) throw new CodedError("usage", `"${printable(text)}" holds control characters. ${wanted}`);
  if (isFile(text)) return { kind: "file", path: text };
  if (/^hf:/i.test(text)) return parseHubReference(text.slice(3), text);
  if (/^https?:\/\//i.test(text)) throw refuseUrl(text);
  // Two letters at least: one is a Windows drive.
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1];
  if (scheme !== undefined) {
    throw new CodedError("usage", `"${printable(text)}": models are not taken from "${printable(scheme)}:". ${wanted}`);
  }
  if (/\.gguf$/i.test(text) || /[/\\]/.test(text)) return { kind: "file", path: text };
  return { kind: "catalogue", id: text.toLowerCase() };
}

function parseHubReference(reference: string, text: string): HubSource {
  const refuse = (sentence: string) => new CodedError("usage", `"${printable(text, 200)}": ${sentence}`);
  const at = reference.lastIndexOf("@");
  const revision = at === -1 ? undefined : reference.slice(at + 1);
  const [owner = "", repository = "", ...rest] = (at === -1 ? reference : reference.slice(0, at)).split("/");
  const file = rest.join("/");

  if (revision !== undefined && !REVISION.test(revision)) {
    throw refuse("behind the @ stands no revision. Write a branch, a tag or a commit, as in @main.");
  }
  for (const [what, value] of [
    ["owner", owner],
    ["repository", repository],
  ] as const) {
    if (value === "") throw refuse(`the ${what} is missing. Write ${HUB_FORM}.`);
    if (!HUB_NAME.test(value)) throw refuse(`"${printable(value)}" cannot be the ${what}. Write ${HUB_FORM}.`);
  }
  if (file === "") {
    throw refuse(`the repository is ${owner}/${repository}, but the file is missing. Write ${HUB_FORM}.`);
  }
  if (!HUB_PATH.test(file)) throw refuse(`"${printable(file)}" cannot be a file of a repository. Write ${HUB_FORM}.`);
  if (!/\.gguf$/i.test(file)) throw refuse("only .gguf files can be run. Look for a GGUF conversion of this model.");
  const shards = /-\d{5}-of-(\d{5})\.gguf$/i.exec(file)?.[1];
  if (shards !== undefined && Number(shards) > 1) {
    throw refuse(`this is one of ${Number(shards)} shards; only models in one file can be fetched yet.`);
  }
  return { kind: "hub", owner, repository, file, revision };
}

/** The addresses that people copy from a browser. */
function refuseUrl(text: string): CodedError {
  const match = /^https?:\/\/[^/]+\/([^/?#]+)\/([^/?#]+)\/(?:resolve|blob|raw)\/([^/?#]+)\/([^?#]+)/i.exec(text);
  if (match === null) {
    return new CodedError(
      "usage",
      `"${printable(text, 200)}": models are not taken from addresses. Write ${HUB_FORM}.`,
    );
  }
  const [, owner = "", repository = "", revision = "", file = ""] = match;
  const suffix = revision === "main" ? "" : `@${revision}`;
  return new CodedError(
    "usage",
    `write ${printable(`hf:${owner}/${repository}/${file}${suffix}`, 300)} instead of its address.`,
  );
}

function isFileHere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
