import { spawn } from "node:child_process";

const OPENERS: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ["open"],
  // The empty word is the window's title.
  win32: ["cmd", "/c", "start", ""],
};

/** Shows the page in the browser. A machine without one is no failure. */
export function openBrowser(url: string): void {
  const [opener, ...args] = OPENERS[process.platform] ?? ["xdg-open"];
  const { ALEPH_PRIVATE_KEY: _secret, ...env } = process.env;
  const child = spawn(opener, [...args, url], { env, stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}
