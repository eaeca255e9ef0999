/**
 * `node dist/scripts/check-api.js URL [--as-network] [--only TEXT]`: does a server keep the rules of the API? One check for
 * each rule, the failures by name, and the score. `--as-network`: it is reached through a compute node, or a local node
 * that does as they do; what can't hold there is left out by name, with the reason.
 */
import { checkApi } from "./check-api/run.ts";

const [url, ...flags] = process.argv.slice(2);
if (url === undefined) {
  console.error("usage: npm run check:api -- URL [--as-network] [--only TEXT]");
  process.exit(2);
}
const at = flags.indexOf("--only");
const { passed, failures, leftOut } = await checkApi(url, {
  asNetwork: flags.includes("--as-network"),
  only: at === -1 ? "" : (flags[at + 1] ?? ""),
  report: ({ section, rule }, failure) => {
    if (failure === undefined) return;
    const reason = failure instanceof Error ? failure.message : "not an error";
    console.log(`✖ ${section}: ${rule}\n    ${reason.slice(0, 600).replaceAll("\n", "\n    ")}`);
  },
});
for (const { section, rule, lost } of leftOut) console.log(`– ${section}: ${rule}\n    left out: ${lost}`);
console.log(
  `${passed} of ${passed + failures.length} checks passed${leftOut.length > 0 ? `, ${leftOut.length} left out` : ""}`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
