import { cpus } from "node:os";

/** The middle value; of an even count the lower one of the two, so that it was really measured. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}

/** Prints rows under a heading as a Markdown table, ready for docs/benchmarks.md. */
export function printTable(title: string, rows: readonly Readonly<Record<string, string | number>>[]): void {
  const columns = Object.keys(rows[0] ?? {});
  console.log(`\n${title}\n${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}, Node.js ${process.version}\n`);
  console.log(`| ${columns.join(" | ")} |\n|${columns.map(() => " --- |").join("")}`);
  for (const row of rows) console.log(`| ${columns.map((column) => row[column]).join(" | ")} |`);
}
