import { fileURLToPath } from "node:url";

/** The model that ships with the project. Compiled tests lie one folder deeper than their sources. */
export const DEMO_MODEL = fileURLToPath(
  new URL("../../../deploy/catalogue/demo/aleph-tiny-chat.Q8_0.gguf", import.meta.url),
);
export const DEMO_SHA256 = "ad0cbd6ae2b8f9adffc5f531c53f58a93a62445299a3d922aeb5496b84d5ced6";
export const DEMO_BYTES = 2_187_008;
