import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";
import { CodedError } from "../../domain/errors.ts";
import { abortWhenClientLeaves } from "../client.ts";
import type { PageFiles } from "../page-files.ts";

/**
 * GET /: what is here, for people and for programs. Links are relative, so that they hold under any prefix.
 *
 * Nothing of the page comes from elsewhere, nothing but its own files runs, and no text can become markup: the browser
 * itself refuses to make markup of strings (`trusted-types 'none'`).
 */
export function page(engine: Engine, { template, scriptHash }: PageFiles): RequestHandler {
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${scriptHash}`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  return (req, res) => {
    const model = engine.isReady ? engine.model.id : null;
    res.vary("Accept");
    // Who takes anything gets the page: JSON is for those who ask for it by name.
    if (req.accepts(["html", "json"]) === "json") {
      res.json({ model, base_url: "v1/", links: { about: "about.json", models: "v1/models", health: "health" } });
      return;
    }
    const html = template.replaceAll("{{model}}", () => escapeHtml(model ?? "A language model"));
    res.set({
      "Content-Security-Policy": policy,
      "Cache-Control": "no-cache",
      "Cross-Origin-Opener-Policy": "same-origin",
      "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
      ETag: `"${createHash("sha256").update(html).digest("base64url").slice(0, 16)}"`,
    });
    res.type("html").send(html);
  };
}

/** GET /assets/:name. A name stands for one content for ever. Errors: `not_found`. */
export function pageAsset({ assets }: PageFiles): RequestHandler<{ name: string }> {
  return (req, res) => {
    const asset = assets.get(req.params.name);
    if (asset === undefined)
      throw new CodedError("not_found", `Unknown path: ${req.method} ${req.path.slice(0, 100)}.`);
    res.set({
      "Cache-Control": "public, max-age=31536000, immutable",
      "Content-Type": asset.type,
      "X-Content-Type-Options": "nosniff",
    });
    res.end(req.method === "HEAD" ? undefined : asset.content);
  };
}

/** Between the two parts of `streamCheck`: longer than what a network or a busy browser adds. */
const PAUSE_MS = 700;

/** GET /stream-check: two lines with a pause between them, by which a page sees whether its host passes on streams. */
export const streamCheck: RequestHandler = async (_req, res) => {
  const left = abortWhenClientLeaves(res);
  res.set({
    "Cache-Control": "no-store, no-transform",
    "Content-Type": "text/event-stream",
    "X-Accel-Buffering": "no",
  });
  res.write(": first\n\n");
  await sleep(PAUSE_MS, undefined, { signal: left }).catch(() => undefined);
  res.end(": second\n\n");
};

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
