import { command } from "./command.ts";

export const modelList = command({
  name: "model list",
  summary: "List the models of the catalogue",
  options: {},
  async run(_options, _positionals, { out, parts }) {
    for (const line of await parts.catalogue()) out.emit({ event: "model", ...line });
  },
});
