import type { ModelCard, ProgramFacts } from "../domain/model.ts";
import { supportsTools } from "./status.ts";

/** What is served: the model as loaded, and what the program's variables say of it and of its volumes. */
export function toAbout(
  loaded: { readonly card: ModelCard; readonly slots: number } | undefined,
  { licence, codeSha256, modelSha256 = [] }: ProgramFacts,
) {
  return {
    model: loaded === undefined ? null : toFacts(loaded.card, loaded.slots, licence),
    volumes: [
      ...(codeSha256 === undefined ? [] : [{ kind: "code", sha256: codeSha256 }]),
      ...modelSha256.map((sha256) => ({ kind: "model", sha256 })),
    ],
  };
}

function toFacts(card: ModelCard, slots: number, licence: string | undefined) {
  return {
    id: card.id,
    aliases: card.aliases,
    licence: licence ?? null,
    quantization: card.quantization,
    parameters: card.parameters,
    bytes: card.bytes,
    context_length: card.contextLength,
    trained_context_length: card.trainedContextLength,
    file_name: card.fileName,
    fingerprint: card.fingerprint,
    slots,
    supports_tools: supportsTools(card),
  };
}
