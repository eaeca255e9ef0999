/**
 * `node dist/scripts/check-api.js URL [--gateway] [--only TEXT]`: does a server keep the rules of the API? One check for
 * each rule, the failures by name, and the score. `--gateway`: behind a host that drops headers and buffers streams.
 */
import { checkApi } from "./check-api/run.ts";

const [url, ...flags] = process.argv.slice(2);
if (url === undefined) {
  console.error("usage: npm run check:api -- URL [--gateway] [--only TEXT]");
  process.exit(2);
}
const at = flags.indexOf("--only");
const { passed, failures } = await checkApi(url, {
  isBehindGateway: flags.includes("--gateway"),
  only: at === -1 ? "" : (flags[at + 1] ?? ""),
  report: ({ section, rule }, failure) => {
    if (failure === undefined) return;
    const reason = failure instanceof Error ? failure.message : "not an error";
    console.log(`✖ ${section}: ${rule}\n    ${reason.slice(0, 600).replaceAll("\n", "\n    ")}`);
  },
});
console.log(`${passed} of ${passed + failures.length} checks passed`);
process.exitCode = failures.length === 0 ? 0 : 1;
