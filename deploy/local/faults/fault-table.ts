/** Every fault that a local node can be started with: its name, its argument, and what it does. */
import { CodedError } from "../../../src/domain/errors.ts";
import { REJECTION_CODES } from "../../messages/rejections.ts";

interface NumberArgument {
  readonly kind: "number";
  readonly name: string;
  readonly least: number;
  readonly most: number;
}

interface ChoiceArgument {
  readonly kind: "choice";
  readonly name: string;
  readonly choices: readonly (string | number)[];
}

interface FaultSpec {
  readonly argument?: NumberArgument | ChoiceArgument;
  readonly help: string;
}

const number = <const Name extends string>(name: Name, least: number, most: number) =>
  ({ kind: "number", name, least, most }) as const;
const choice = <const Choices extends readonly (string | number)[]>(name: string, choices: Choices) =>
  ({ kind: "choice", name, choices }) as const;

const STATUS = number("STATUS", 400, 599);
const MILLISECONDS = number("MS", 0, 3_600_000);
const MEBIBYTES = number("MIB", 0, 1_048_576);
const CODE = choice("CODE", REJECTION_CODES);

const STATE = choice("STATE", ["unknown", "pending", "forgotten", "removing", "removed"]);

/** What compute nodes say in a program's stead, and two ways of saying nothing. */
const REASON = choice("REASON", [
  "full",
  "strict",
  "draining",
  "download",
  "volume",
  "runtime",
  "setup",
  "crash",
  "garbled",
  "traceback",
  "timeout",
  "gateway",
  "cut",
  "silent",
]);

export const FAULTS = {
  "reject-store": { argument: CODE, help: "STORE messages are rejected; codes of what may still come, after a while" },
  "reject-program": { argument: CODE, help: "PROGRAM messages are rejected" },
  "reject-forget": { argument: CODE, help: "FORGET messages are rejected" },
  "reject-aggregate": { argument: CODE, help: "AGGREGATE messages are rejected" },
  stall: { help: "messages stay pending" },
  hurry: { argument: MILLISECONDS, help: "the node's own waits, of minutes, last so long at most" },
  "publish-status": { argument: STATUS, help: "POST /messages answers so, and keeps nothing" },
  "publish-lost": { help: "POST /messages says pending, and keeps nothing" },
  "publish-lies": {
    argument: choice("STATUS", ["processed", "pending", "rejected"]),
    help: "POST /messages answers 200 and says so, whatever became of the message",
  },
  "read-status": { argument: STATUS, help: "messages cannot be read or listed" },
  "message-status": { argument: STATE, help: "GET /messages/HASH says so of what is processed" },
  "program-status": { argument: STATE, help: "the same, of PROGRAM messages only" },
  "message-forged": { help: "GET /messages/HASH gives a text that has another hash" },
  "upload-status": { argument: STATUS, help: "uploads are answered so" },
  "upload-renamed": { help: "uploads are answered with another hash" },
  "upload-cut": { help: "uploads are cut off" },
  "upload-silent": { help: "uploads are taken and never answered" },
  "upload-lost": { help: "uploads are answered well, and their bytes are lost" },
  "download-status": { argument: STATUS, help: "files are answered so" },
  "download-corrupt": { help: "the first byte of a file is another one" },
  "download-cut": { help: "files break off after some bytes" },
  "download-stalled": { help: "files stop after some bytes, with the connection open" },
  "limits-missing": { help: "the node does not tell its limits, as old ones do not" },
  "storage-limit": { argument: MEBIBYTES, help: "larger files have to go by IPFS" },
  "upload-limit": { argument: MEBIBYTES, help: "larger files are not taken in any way" },
  "estimate-status": { argument: STATUS, help: "estimates are refused" },
  "estimate-garbled": { help: "estimates have no price in them" },
  "price-status": { argument: STATUS, help: "prices of messages are refused" },
  "balance-status": { argument: STATUS, help: "balances are refused" },
  balance: { argument: number("CREDITS", 0, 1e15), help: "balances are said to be so" },
  down: { help: "connections to the API are closed without an answer" },
  silent: { help: "the API takes requests and never answers" },
  slow: { argument: MILLISECONDS, help: "the API answers so much later" },
  "web-page": { help: "the API answers with a web page, as a proxy that asks for a login does" },
  "api-status": { argument: STATUS, help: "the API answers so" },
  crn: { argument: REASON, help: "programs are answered for as a compute node does for this reason" },
  "crn-chat": { argument: REASON, help: "the same, for chat completions only" },
  "crn-slow": { argument: MILLISECONDS, help: "programs are asked so much later" },
  "crn-down": { help: "connections to the compute node are closed without an answer" },
} as const satisfies Record<string, FaultSpec>;

export type FaultName = keyof typeof FAULTS;

type ArgumentIn<Spec> = Spec extends { argument: { kind: "number" } }
  ? number
  : Spec extends { argument: { choices: readonly (infer Choice)[] } }
    ? Choice
    : true;

/** What a fault is given with; true where it takes nothing. */
export type FaultArgument<Name extends FaultName> = ArgumentIn<(typeof FAULTS)[Name]>;

export interface Fault {
  readonly name: FaultName;
  /** A number or one of its choices, as the table says; true where it takes nothing. */
  readonly argument: string | number | true;
  /** How often it acts; `Infinity` for always. */
  readonly times: number;
}

/** Reads `NAME`, `NAME:ARGUMENT`, either with `*TIMES` behind. Errors: `usage`, which says what there is. */
export function parseFault(text: string): Fault {
  const [, name = "", argument, times] = /^([a-z-]+)(?::([\w-]+))?(?:\*([1-9]\d{0,5}))?$/.exec(text) ?? [];
  const spec = Object.hasOwn(FAULTS, name) ? (FAULTS as Readonly<Record<string, FaultSpec>>)[name] : undefined;
  if (spec === undefined) {
    throw new CodedError("usage", `there is no fault "${text.slice(0, 100)}"; \`pinference node --help\` lists them`);
  }
  return {
    name: name as FaultName,
    argument: readArgument(name, spec, argument),
    times: times === undefined ? Infinity : Number(times),
  };
}

function readArgument(name: string, { argument: spec }: FaultSpec, given: string | undefined): string | number | true {
  if (spec === undefined) {
    if (given === undefined) return true;
    throw new CodedError("usage", `the fault "${name}" takes no argument, got "${given}"`);
  }
  const found =
    spec.kind === "choice" ? spec.choices.find((one) => String(one) === given) : readNumber(spec, given ?? "");
  if (found !== undefined) return found;
  const wanted =
    spec.kind === "choice" ? `one of ${spec.choices.join(", ")}` : `a number ${spec.least} to ${spec.most}`;
  throw new CodedError("usage", `the fault "${name}" takes ${wanted}, as in ${name}:${exampleOf(spec)}`);
}

function readNumber({ least, most }: NumberArgument, given: string): number | undefined {
  const value = /^\d{1,16}$/.test(given) ? Number(given) : NaN;
  return value >= least && value <= most ? value : undefined;
}

function exampleOf(spec: NumberArgument | ChoiceArgument): string {
  return String(spec.kind === "choice" ? spec.choices[0] : spec.least);
}

/** For the help: how each is written, and what it does. */
export function listFaults(): readonly (readonly [string, string])[] {
  return Object.entries(FAULTS as Readonly<Record<string, FaultSpec>>).map(([name, { argument, help }]) => {
    const written = argument === undefined ? name : `${name}:${argument.name}`;
    const choices = argument?.kind === "choice" ? ` (${argument.choices.join(", ")})` : "";
    return [written, `${help}${choices}`] as const;
  });
}
