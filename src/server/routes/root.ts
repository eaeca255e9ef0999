import type { RequestHandler } from "express";

import type { Engine } from "../../domain/engine.ts";

/** GET /: what is here, for people and for programs. Links are relative, so that they hold under any prefix. */
export function root(engine: Engine): RequestHandler {
  return (req, res) => {
    const model = engine.isReady ? engine.model.id : null;
    res.vary("Accept");
    if (req.accepts(["json", "html"]) !== "html") {
      res.json({ model, base_url: "v1/", links: { models: "v1/models", health: "health" } });
      return;
    }
    res.type("html").send(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Pinference</title>
<h1>${escapeHtml(model ?? "Loading model")}</h1>
<p>OpenAI-compatible inference. Base URL: <a href="v1/models"><code>v1/</code></a>, relative to this page.
<p><a href="health">Health</a>
</html>
`);
  };
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
