import type { Response } from "express";

import type { Engine } from "../domain/engine.ts";
import { isNameOf } from "../openai/models.ts";
import { unknownModel } from "./routes/models.ts";

/** Longer names help nobody, and a header has to stay short. */
const MAX_REPORTED = { names: 50, characters: 64 };

/** Errors: `model_not_found` for a name that is not the served model's; undefined is the served model. */
export function requireModel(engine: Engine, name: string | undefined, anyModel: boolean): void {
  if (name !== undefined && !anyModel && !isNameOf(engine.model, name)) throw unknownModel(name);
}

/** Tells the client which members of its body had no effect. */
export function reportIgnored(res: Response, names: readonly string[]): void {
  if (names.length > 0) res.set("X-Ignored-Params", toHeader(names));
}

/** Names come from the client: only what a header may hold is repeated. */
function toHeader(names: readonly string[]): string {
  return names
    .slice(0, MAX_REPORTED.names)
    .map((name) => name.slice(0, MAX_REPORTED.characters).replaceAll(/[^\w.$-]/g, "?"))
    .join(", ");
}
