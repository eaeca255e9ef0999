/** What can be said of messages by looking at them alone: whose they are, and that nothing in them can change. Pure. */
import type { Envelope } from "../messages/envelope.ts";
import { hashItemContent } from "../messages/envelope.ts";
import { strictProgramProblems } from "../messages/strict.ts";
import { isSignedBySender } from "../messages/verify-signature.ts";

/** One claim, and what was seen. */
export interface Finding {
  /** What it is about: `PROGRAM message`, `code volume`. */
  readonly link: string;
  readonly ok: boolean;
  /** A sentence for a stranger. */
  readonly evidence: string;
}

/** As a node gives it. */
export interface FoundMessage {
  readonly status: string;
  readonly envelope: Envelope;
  readonly content: Readonly<Record<string, unknown>>;
}

export interface Delegations {
  /** Whether the owner lets this address send messages of this type and channel. */
  allows(sender: string, type: string, channel: string | null): boolean;
}

/** Hash, signature, owner, status. `owner` undefined: whoever the message names. */
export function checkMessage(
  link: string,
  itemHash: string,
  { status, envelope, content }: FoundMessage,
  owner: string | undefined,
  delegations: Delegations,
): readonly Finding[] {
  const { sender, type, channel, item_content: text } = envelope;
  const hash = text === undefined ? undefined : hashItemContent(text);
  const address = String(content["address"]);
  const isOwn = sender.toLowerCase() === address.toLowerCase();
  return [
    {
      link,
      ok: hash === itemHash,
      evidence:
        hash === itemHash
          ? `its text has the sha256 ${itemHash}, which is its name`
          : `its text has the sha256 ${hash ?? "of nothing: it is not inline"}, and it was asked for as ${itemHash}`,
    },
    {
      link,
      ok: isSignedBySender(envelope),
      evidence: isSignedBySender(envelope)
        ? `its signature recovers to ${sender}`
        : `its signature is not that of ${sender}, who is said to have sent it`,
    },
    {
      link,
      ok: (isOwn || delegations.allows(sender, type, channel)) && (owner === undefined || same(address, owner)),
      evidence: ownerEvidence(address, sender, owner, isOwn || delegations.allows(sender, type, channel)),
    },
    {
      link,
      ok: status === "processed",
      evidence: `the network says that it is ${status}`,
    },
  ];
}

function ownerEvidence(address: string, sender: string, owner: string | undefined, isAllowed: boolean): string {
  if (owner !== undefined && !same(address, owner)) return `it belongs to ${address}, the program to ${owner}`;
  if (same(address, sender)) return `it belongs to ${address}, who signed it`;
  return isAllowed
    ? `it belongs to ${address}, who lets ${sender} sign in its name`
    : `it belongs to ${address}, who does not let ${sender} sign in its name`;
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

interface Ref {
  readonly ref?: unknown;
  readonly use_latest?: unknown;
}

/** Every way in which a program could come to run something else later. */
export function checkFixed({ content, envelope }: FoundMessage): readonly Finding[] {
  const link = "immutability";
  const { code, runtime, data } = content as { code?: Ref; runtime?: Ref; data?: Ref };
  const volumes = Array.isArray(content["volumes"]) ? (content["volumes"] as readonly Ref[]) : [];
  const refs: readonly (readonly [string, Ref])[] = [
    ["runtime", runtime ?? {}],
    ["code", code ?? {}],
    ...(data === undefined ? [] : ([["data", data]] as const)),
    ...volumes.map((volume, index) => [`volume ${index}`, volume] as const),
  ];
  const environment = content["environment"] as { internet?: unknown } | undefined;
  const problems = strictProgramProblems(envelope.item_content ?? "");
  return [
    claim(link, content["allow_amend"] === false, "no later message may amend it", "later messages may amend it"),
    claim(link, content["replaces"] === undefined, "it replaces no other program", "it says that it replaces another"),
    ...refs.map(([name, { ref, use_latest: latest }]) =>
      claim(
        link,
        typeof ref === "string" && latest === false,
        `its ${name} is fixed to ${String(ref)}`,
        typeof ref === "string"
          ? `its ${name} follows newer versions of ${ref}`
          : `its ${name} refers to no file: it is a volume that can be written`,
      ),
    ),
    claim(
      link,
      environment?.internet === false,
      "it has no network: it can load nothing else, and send prompts nowhere",
      "it has a network: what it loads at run time is not fixed",
    ),
    claim(
      link,
      problems.length === 0,
      "compute nodes accept its content as it is written",
      `compute nodes would refuse it: ${problems.join("; ")}`,
    ),
  ];
}

function claim(link: string, ok: boolean, yes: string, no: string): Finding {
  return { link, ok, evidence: ok ? yes : no };
}
