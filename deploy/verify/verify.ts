/** Walks from a program's hash to the bytes that run, and checks every link on the way. Trusts no answer of the node. */
import { storageEngineOf, parseFileHash, parseItemHash, type ItemHash } from "../../src/domain/hash.ts";
import { downloadAndHash } from "./download.ts";
import { checkFixed, checkMessage, type Delegations, type Finding, type FoundMessage } from "./message-checks.ts";

/** What stands at the end of the walk: an image, rebuilt from the source or from a model file. */
export interface RebuiltImage {
  readonly sha256: string;
  readonly cid: string;
  /** What it was built from, for the report. */
  readonly from: string;
}

export interface VerifyTools {
  readonly signal: AbortSignal;
  /** Of a download. */
  readonly idleMs: number;
  /** Undefined where the node does not know it. */
  readonly findMessage: (itemHash: ItemHash) => Promise<FoundMessage | undefined>;
  readonly delegationsOf: (owner: string) => Promise<Delegations>;
  readonly fileUrl: (fileHash: string) => string;
  /** Builds what the program should refer to; a string says why it cannot be built here. Undefined: not asked for. */
  readonly rebuild: Rebuild | undefined;
  readonly onFinding: (finding: Finding) => void;
  readonly onProgress: (link: string, doneBytes: number, totalBytes: number) => void;
}

export interface Rebuild {
  /** By what the program says of its runtime. */
  runtime(comment: string): Promise<RebuiltImage | string>;
  code(): Promise<RebuiltImage | string>;
  /** By the program's name, one for each volume in order. */
  volumes(model: string, count: number): Promise<readonly RebuiltImage[] | string>;
}

/** True when every finding is good. */
export async function verifyProgram(itemHash: ItemHash, tools: VerifyTools): Promise<boolean> {
  let allOk = true;
  const say = (finding: Finding) => {
    allOk &&= finding.ok;
    tools.onFinding(finding);
  };
  const program = await tools.findMessage(itemHash);
  if (program === undefined) {
    say({ link: "PROGRAM message", ok: false, evidence: `the network does not know ${itemHash}` });
    return false;
  }
  // Of what was forgotten or removed, the network keeps who sent it and when, and no text.
  if (program.envelope.item_content === undefined) {
    say({ link: "PROGRAM message", ok: false, evidence: withoutText(program.status) });
    return false;
  }
  const owner = String(program.content["address"]);
  const delegations = await tools.delegationsOf(owner);
  const isProgram = program.envelope.type === "PROGRAM";
  say({ link: "PROGRAM message", ok: isProgram, evidence: `it is a ${program.envelope.type} message` });
  for (const finding of checkMessage("PROGRAM message", itemHash, program, undefined, delegations)) say(finding);
  if (!isProgram) return false;
  for (const finding of checkFixed(program)) say(finding);

  for (const image of await imagesOf(program, tools)) await verifyImage(image, owner, delegations, tools, say);
  return allOk;
}

function withoutText(status: string): string {
  return `the network has no text of it and says that it is ${status}: nothing is left that could be checked`;
}

interface NamedImage {
  readonly link: string;
  /** Of its STORE message. */
  readonly ref: string;
  /** What the program's variables promise to the guest, which checks it before it serves. */
  readonly promised: string | undefined;
  readonly rebuild: () => Promise<RebuiltImage | string | undefined>;
}

async function imagesOf({ content }: FoundMessage, { rebuild }: VerifyTools): Promise<readonly NamedImage[]> {
  const { runtime, code, volumes, variables, metadata } = content as {
    runtime: { ref: string; comment?: string };
    code: { ref: string };
    volumes?: readonly { ref?: string }[];
    variables?: Readonly<Record<string, string>>;
    metadata?: { name?: string };
  };
  const promised = (variables?.["PINFERENCE_MODEL_SHA256"] ?? "").split(",");
  const refs = (volumes ?? []).flatMap(({ ref }) => (ref === undefined ? [] : [ref]));
  let built: Promise<readonly RebuiltImage[] | string> | undefined;
  const volumeAt = async (index: number) => {
    built ??= rebuild?.volumes(metadata?.name ?? "", refs.length);
    const images = await built;
    if (typeof images !== "object") return images;
    return images.length === refs.length ? images[index] : otherCount(images.length, refs.length);
  };
  return [
    {
      link: "runtime",
      ref: runtime.ref,
      promised: undefined,
      rebuild: async () => rebuild?.runtime(runtime.comment ?? ""),
    },
    {
      link: "code volume",
      ref: code.ref,
      promised: variables?.["PINFERENCE_CODE_SHA256"],
      rebuild: async () => rebuild?.code(),
    },
    ...refs.map((ref, index) => ({
      link: refs.length === 1 ? "model volume" : `model volume ${index + 1}`,
      ref,
      promised: promised[index],
      rebuild: () => volumeAt(index),
    })),
  ];
}

function otherCount(here: number, there: number): string {
  const volumes = (count: number) => `${count} volume${count === 1 ? "" : "s"}`;
  return `the model gives ${volumes(here)} here, and the program has ${there}: if a limit was given to deploy, give it here too, with --volume-mib`;
}

async function verifyImage(
  image: NamedImage,
  owner: string,
  delegations: Delegations,
  tools: VerifyTools,
  say: (finding: Finding) => void,
): Promise<void> {
  const { link } = image;
  const store = await tools.findMessage(parseItemHash(image.ref));
  if (store === undefined) {
    return say({ link: `STORE of the ${link}`, ok: false, evidence: `the network does not know ${image.ref}` });
  }
  for (const finding of checkMessage(`STORE of the ${link}`, image.ref, store, owner, delegations)) say(finding);
  const fileHash = String(store.content["item_hash"]);
  say({
    link: `STORE of the ${link}`,
    ok: store.envelope.type === "STORE",
    evidence: `it is a ${store.envelope.type} message that keeps the file ${fileHash}`,
  });
  if (store.envelope.type !== "STORE") return;

  const engine = storageEngineOf(parseFileHash(fileHash));
  const url = tools.fileUrl(fileHash);
  const onProgress = (done: number, total: number) => tools.onProgress(link, done, total);
  const found = await downloadAndHash(url, { signal: tools.signal, idleMs: tools.idleMs, onProgress });
  if (found === undefined) say({ link, ok: false, evidence: `the network has no file ${fileHash}` });
  else {
    const hash = engine === "storage" ? found.sha256 : found.cid;
    const size = `${found.bytes.toLocaleString("en-US")} bytes were downloaded`;
    const good = `${size} and hashed: they are the file ${fileHash}`;
    say({
      link,
      ok: hash === fileHash,
      evidence: hash === fileHash ? good : `${size}, but they have the hash ${hash}, not ${fileHash}`,
    });
  }
  if (found !== undefined && image.promised !== undefined) {
    const isPromised = image.promised === found.sha256;
    const what = isPromised
      ? "is the sha256 that the guest checks before it serves"
      : "is not what the guest checks for";
    say({ link, ok: isPromised, evidence: `${found.sha256} ${what}${isPromised ? "" : `, ${image.promised}`}` });
  }
  const rebuilt = await image.rebuild();
  if (rebuilt === undefined) return;
  if (typeof rebuilt === "string") return say({ link, ok: false, evidence: `it could not be built here: ${rebuilt}` });
  const hash = engine === "storage" ? rebuilt.sha256 : rebuilt.cid;
  const evidence =
    hash === fileHash
      ? `built again here from ${rebuilt.from}, it is the same file to the last bit`
      : `built again here from ${rebuilt.from}, it is ${hash}, not ${fileHash}: other sources, or another version of them`;
  say({ link, ok: hash === fileHash, evidence });
}
