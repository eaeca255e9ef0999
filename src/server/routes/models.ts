import type { RequestHandler } from "express";

import { CodedError } from "../../domain/errors.ts";
import type { Engine } from "../../domain/engine.ts";
import { isNameOf, toModel, toModelList } from "../../openai/models.ts";

/** GET /v1/models */
export function models(engine: Engine): RequestHandler {
  return (_req, res) => {
    res.json(toModelList(engine.model));
  };
}

/** GET /v1/models/{id}, where slashes in the id may be percent-encoded or not. */
export function model(engine: Engine): RequestHandler<{ id: string | string[] }> {
  return (req, res) => {
    const name = [req.params.id].flat().join("/");
    if (!isNameOf(engine.model, name)) throw unknownModel(name);
    res.json(toModel(engine.model));
  };
}

export function unknownModel(name: string): CodedError {
  const given = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  return new CodedError(
    "model_not_found",
    `The model '${given}' does not exist here. GET /v1/models lists what does.`,
    {
      param: "model",
    },
  );
}
