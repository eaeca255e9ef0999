import type { Sha256 } from "../../src/domain/hash.ts";
import type { ModelDefaults } from "../../src/domain/model-defaults.ts";
import type { AlephNetwork } from "../network/aleph.ts";
import type { Patience } from "../network/patience.ts";
import type { Asking } from "../network/read-message.ts";
import type { Endpoint } from "../client/endpoint.ts";
import type { Faults } from "../local/faults/faults.ts";
import type { ImageRecipe } from "../stages/pin-image.ts";
import type { VerifyTools } from "../verify/verify.ts";
import type { Output } from "./output.ts";

/** A model file on this machine, checked. */
export interface LocalModel {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly path: string;
  /** False: only the header was downloaded, `path` has no weights. */
  readonly isWhole: boolean;
  /** In the volume. */
  readonly fileName: string;
  readonly bytes: number;
  readonly sha256: Sha256;
  /** JSON data that the volume carries beside the file. */
  readonly card: object;
  /** As the catalogue or the file's header says; one short line. */
  readonly licence?: string;
  /** As the catalogue says. */
  readonly defaults?: ModelDefaults;
  /** The system prompt whose evaluated state ships in the volume. */
  readonly pinnedPrompt?: string | undefined;
  /** As asked for, or as the model proposes. */
  readonly contextLength: number;
  readonly slots: number;
  /** What it takes to run so. */
  readonly resources: { readonly vcpus: number; readonly memoryMiB: number };
  /** Why these numbers, in sentences. */
  readonly reasons: readonly string[];
}

export interface ModelRequest {
  /** Where downloads are kept. */
  readonly directory: string;
  readonly contextLength: number | undefined;
  readonly slots: number;
  /** Of the program; undefined for what the model needs. */
  readonly memoryMiB: number | undefined;
}

export interface CatalogueLine {
  readonly id: string;
  readonly bytes: number;
  readonly contextLength: number;
  readonly licence: string;
  readonly source: string;
  /** Whether it shall be published when no model is named. */
  readonly publish: boolean;
}

export interface NodeRequest {
  readonly directory: string;
  /** Addresses whose programs the node runs. */
  readonly owners: readonly string[];
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly asNetwork: boolean;
  /** Where the packages are that a virtual machine is made of; undefined runs programs as processes. */
  readonly vmPackages: string | undefined;
  /** Seconds without a request after which a program is stopped. */
  readonly idleSeconds: number | undefined;
  /** Of every address; undefined for plenty. */
  readonly credits?: number | undefined;
  /** What it does wrong on purpose. */
  readonly faults?: Faults | undefined;
}

export interface LocalNode {
  /** Without a trailing slash. */
  readonly url: string;
  /** What programs are here. Emulated machines are slow. */
  readonly runsOn: "processes" | "virtual machines (KVM)" | "virtual machines (emulated)";
  close(): Promise<void>;
}

/** The key that signs; its secret stays inside. */
interface Key {
  readonly source: "environment" | "file";
  readonly address: string;
  readonly privateKey: string;
}

export interface NetworkPlace {
  readonly directory: string;
  /** Whose messages they shall be; undefined for the key's own. */
  readonly owner?: string | undefined;
  /** Default: `PATIENCE`. */
  readonly patience?: Patience | undefined;
}

export interface AddModelRequest {
  /** Where headers are kept. */
  readonly directory: string;
  readonly id: string | undefined;
  readonly licence: string | undefined;
  readonly publish: boolean;
  readonly dryRun: boolean;
}

export interface AddedModel {
  /** Of the catalogue. */
  readonly path: string;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly isNew: boolean;
  /** Its sha256 is known. */
  readonly isDeployable: boolean;
}

/** Where a person types and reads. */
export interface Terminal {
  readonly isInteractive: boolean;
  /** The next line; undefined at the end of input. */
  ask(prompt: string, signal: AbortSignal): Promise<string | undefined>;
  write(text: string): void;
  /** Calls back at Ctrl-C instead of ending the command, until the returned function is called. */
  onInterrupt(callback: () => void): () => void;
  close(): void;
}

/** What commands are made of. deploy/parts.ts has the real ones, tests give fakes. */
export interface Parts {
  /** deploy/pins.json of this project. */
  readonly lockfilePath: string;
  /** The environment's key, or a throwaway one kept in the directory. Errors: `key_invalid`. */
  loadKey(directory: string): Promise<Key>;
  /** Errors: `port_in_use`. */
  startNode(request: NodeRequest, signal: AbortSignal): Promise<LocalNode>;
  /** Messages on their way are kept in `directory`. */
  connect(apiServer: string, key: Key, place: NetworkPlace): Promise<AlephNetwork>;
  /** Reads aggregates through a node, without a key. */
  aggregates(apiServer: string, timeoutMs?: number): AlephNetwork["aggregate"];
  /** What verifying asks of a node, without a key. */
  reader(apiServer: string, ask: Asking): Promise<Pick<VerifyTools, "findMessage" | "delegationsOf" | "fileUrl">>;
  catalogue(): Promise<readonly CatalogueLine[]>;
  /** As `findModel`, but downloads at most the header. Errors: `config_invalid` where the sha256 is not known. */
  describeModel(reference: string, request: ModelRequest, out: Output, signal: AbortSignal): Promise<LocalModel>;
  /** Finds, downloads where needed, and checks. Errors: `catalogue_unknown`, `model_file_*`, `download_failed`… */
  findModel(reference: string, request: ModelRequest, out: Output, signal: AbortSignal): Promise<LocalModel>;
  /** Errors: those of `describeModel`, `usage`. */
  addModel(reference: string, request: AddModelRequest, signal: AbortSignal): Promise<AddedModel>;
  /** A served program. Errors: `usage` for what is no address. */
  endpoint(url: string, apiKey: string | undefined): Promise<Endpoint>;
  openTerminal(): Terminal;
  /**
   * What a PROGRAM names as its runtime. "vm": the root of a virtual machine, made of packages that are kept in
   * `packages`, as is the image unless `anew` is asked for; the network runs nothing else. "host": what stands in for
   * it where programs are processes.
   */
  runtime(kind: "vm" | "host", packages: string, anew?: boolean): Promise<ImageRecipe>;
  codeVolume(): Promise<ImageRecipe>;
  /** One for each shard. `mostBytes` of a shard's file: the default is the same for everybody. */
  modelVolumes(model: LocalModel, mostBytes?: number): Promise<readonly ImageRecipe[]>;
  /** Asks the person at the terminal; undefined where there is none. */
  confirm(question: string, signal: AbortSignal): Promise<boolean | undefined>;
  /** Shows a page in the browser, where there is one. */
  openBrowser(url: string): void;
}
