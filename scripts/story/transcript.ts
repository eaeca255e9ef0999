/** docs/transcript.md, from the chapters of a story that was played. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";

import { Rehearsal, type Scene } from "./rehearsal.ts";
import { tellStory, type Chapter } from "./story.ts";

export const TRANSCRIPT = fileURLToPath(new URL("../../../docs/transcript.md", import.meta.url));

const HEAD = `# The whole story, as it was played

Written by \`npm run story\`, which runs these commands on a local node with a model hub of its own and notes what they
print; a test plays it again and compares. In angle brackets stand names for what differs each time: hashes, addresses,
times. The port, the folders and \`--lockfile\`, which keep the rehearsal apart from this machine, are left
out, as is progress; of reports that find something wrong, the lines that say ok are counted.`;

/** Plays the story in a folder of its own; Markdown. `packages`: where the runtime's packages are kept. */
export async function playTranscript(packages: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "pinference-story-"));
  const stage = await Rehearsal.open(folder, packages);
  try {
    return await toMarkdown(await tellStory(stage));
  } finally {
    await stage.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function toMarkdown(chapters: readonly Chapter[]): Promise<string> {
  const parts = chapters.map(({ title, text, scenes }) => [
    `## ${title}`,
    ...(text === "" ? [] : [text]),
    ...scenes.map(toBlock),
  ]);
  const options = await resolveConfig(TRANSCRIPT);
  return format([HEAD, ...parts.flat()].join("\n\n"), { ...options, parser: "markdown" });
}

function toBlock({ command, output, code }: Scene): string {
  const end = code === null || code === 0 ? "" : `$ echo $?\n${code}\n`;
  const text = output.replaceAll(/[ \t]+$/gm, "").replace(/^\n+|\n+$/g, "");
  return `\`\`\`console\n$ ${command}\n${text}\n${end}\`\`\``;
}
