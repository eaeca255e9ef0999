import { once } from "node:events";
import { mkdir } from "node:fs/promises";

import { dataDirectoryPath, openDataDirectory, toDataDirectoryError } from "../data-directory.ts";
import { acquireLock } from "../lock.ts";
import { listFaults } from "../local/faults/fault-table.ts";
import { Faults } from "../local/faults/faults.ts";
import { createCleanup } from "./cleanup.ts";
import { command } from "./command.ts";

export const node = command({
  name: "node",
  summary: "Run a local node alone, to practise deploying on: it checks what the network checks",
  options: {
    port: { type: "integer", value: "PORT", min: 0, max: 65_535, default: 4021, help: "port, 0 for a free one" },
    host: { type: "string", value: "HOST", default: "127.0.0.1", help: "address to listen on" },
    "data-dir": {
      type: "string",
      value: "DIR",
      help: "where it keeps files and messages (default ~/.pinference/node)",
    },
    owner: {
      type: "string",
      value: "ADDRESSES",
      help: "whose programs it runs, separated by commas (default: the key of ~/.pinference)",
    },
    credits: { type: "integer", value: "N", min: 0, max: 1_000_000_000_000, help: "credits of every address" },
    fault: {
      type: "list",
      value: "FAULT",
      help: "do something wrong on purpose, to try what comes of it; can be given several times",
    },
    generous: { type: "boolean", help: "stream answers, and keep to no limit of the network" },
  },
  notes: [{ title: "Faults, each NAME[:ARGUMENT][*TIMES], where without TIMES it acts always:", rows: listFaults() }],
  examples: ["pinference node --port 4021", "pinference plan demo --api-server http://127.0.0.1:4021"],
  async run(options, _positionals, { env, out, parts, signal }) {
    const home = dataDirectoryPath(undefined, env);
    const faults = options.fault.length === 0 ? undefined : new Faults(options.fault);
    const path = options["data-dir"] ?? `${home}/node`;
    const cleanup = createCleanup((message) => out.emit({ event: "note", message }));
    try {
      const directory = await openDataDirectory(path, env);
      cleanup.add(await acquireLock(directory.path));
      await mkdir(directory.node, { recursive: true });
      const owners = options.owner?.split(",").map((address) => address.trim()) ?? [
        (await parts.loadKey(home)).address,
      ];
      const started = await parts.startNode(
        {
          directory: directory.node,
          owners,
          host: options.host,
          port: options.port,
          asNetwork: !options.generous,
          idleSeconds: undefined,
          vmPackages: undefined,
          credits: options.credits,
          faults,
        },
        signal,
      );
      cleanup.add(() => started.close());
      out.emit({ event: "stage", stage: "local node", outcome: "started", detail: started.url });
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    } catch (error) {
      throw toDataDirectoryError(error, path) ?? error;
    } finally {
      await cleanup.run();
    }
  },
});
