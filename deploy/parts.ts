import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Parts } from "./commands/parts.ts";
import { askYesOrNo } from "./ask.ts";
import { openBrowser } from "./open-browser.ts";
import { openOutbox } from "./outbox.ts";
import { openTerminal } from "./terminal.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The real parts. Each is imported when it is used first, so that `--help` and usage errors answer at once: the SDK
 * alone takes longer to load than most commands to run.
 */
export function createParts(packageRootUrl: URL, env: Environment): Parts {
  const packageRoot = fileURLToPath(packageRootUrl);
  const images = () => import("./parts/images.ts");
  const models = () => import("./parts/models.ts");
  return {
    lockfilePath: join(packageRoot, "deploy", "pins.json"),
    async loadKey(dataDir) {
      const { loadOrCreateKey } = await import("./network/key.ts");
      return loadOrCreateKey({ dataDir, env });
    },
    async startNode(request, signal) {
      const { startNode } = await import("./parts/node.ts");
      return startNode(request, packageRoot, signal);
    },
    async connect(apiServer, { privateKey }, { directory, owner, patience }) {
      const { createAlephNetwork } = await import("./network/aleph.ts");
      return createAlephNetwork({ apiServer, privateKey, owner, patience, outbox: await openOutbox(directory) });
    },
    aggregates: (apiServer, timeoutMs) => async (address, key, signal) => {
      const { readAggregate } = await import("./network/read-message.ts");
      return readAggregate(apiServer, address, key, { signal, timeoutMs });
    },
    async reader(apiServer, ask) {
      const { createReader } = await import("./parts/reader.ts");
      return createReader(apiServer, ask);
    },
    catalogue: async () => (await models()).listCatalogue(env),
    describeModel: async (reference, request, out, signal) =>
      (await models()).describeModel(reference, { ...request, env, out, signal }),
    findModel: async (reference, request, out, signal) =>
      (await models()).findModel(reference, { ...request, env, out, signal }),
    addModel: async (reference, request, signal) =>
      (await import("./parts/add-model.ts")).addModel(reference, request, env, signal),
    endpoint: async (url, apiKey) => (await import("./client/endpoint.ts")).openEndpoint(url, apiKey),
    openTerminal,
    async runtime(kind, packages, anew) {
      const { hostRuntimeRecipe, runtimeRecipe } = await import("./parts/runtime.ts");
      return kind === "host" ? hostRuntimeRecipe() : await runtimeRecipe(packageRoot, packages, anew);
    },
    codeVolume: async () => (await images()).codeVolumeRecipe(packageRoot),
    modelVolumes: async (model, mostBytes) => (await images()).modelVolumeRecipes(model, packageRoot, mostBytes),
    confirm: askYesOrNo,
    openBrowser,
  };
}
