import type { Engine } from "../../src/domain/engine.ts";
import { startEngine, type EngineOptions } from "../../src/engine/load.ts";
import { demoModelPath } from "./demo-model.ts";

/** The real engine with the demo model, ready. */
export async function startDemoEngine({
  slots = 4,
  queueLength = 4,
  contextLength,
  bindings,
}: {
  readonly slots?: number;
  readonly queueLength?: number;
  readonly contextLength?: number;
  readonly bindings?: EngineOptions["bindings"];
} = {}): Promise<Engine> {
  const engine = startEngine({
    modelPath: demoModelPath,
    modelId: "aleph-tiny-chat",
    aliases: ["openhermes-2.5"],
    contextLength,
    slots,
    queueLength,
    threads: 1,
    ...(bindings && { bindings }),
  });
  await engine.ready;
  return engine;
}
