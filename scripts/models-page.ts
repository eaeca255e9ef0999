/** docs/models.md: every published model with its address and the hashes behind it, from the lockfile. */
import type { LockedModel } from "../deploy/pins.ts";

/** Markdown. */
export function modelsPage(models: ReadonlyMap<string, LockedModel>): string {
  const rows = [...models].map(([id, model]) => {
    const size = `${(model.gguf.bytes / 1e6).toFixed(1)} MB`;
    return `| \`${id}\` | ${size} | [\`${model.itemHash.slice(0, 12)}…\`](${model.url}/) | \`${model.url}/v1\` | \`${model.gguf.sha256}\` | ${model.publishedAt.slice(0, 10)} |`;
  });
  const table =
    rows.length === 0
      ? ["No model is published yet."]
      : [
          "| model | size | program | base URL | sha256 of the GGUF | since |",
          "| --- | --- | --- | --- | --- | --- |",
          ...rows,
        ];
  return [
    "# Published models",
    "",
    "Written from `deploy/pins.json` by `npm run publish:ci -- deploy` and `npm run regenerate`. Each can be checked by anybody:",
    "`npx pinference verify <base URL>`.",
    "",
    ...table,
    "",
  ].join("\n");
}
