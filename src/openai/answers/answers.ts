import type { z } from "zod";

import { message, messageError, messageEvent, messageTokens } from "../../anthropic/answer-schemas.ts";
import { chatCompletion, chatCompletionChunk, inputTokens } from "./chat.ts";
import { errorBody } from "./common.ts";
import {
  appliedTemplate,
  detokenized,
  embeddingList,
  model,
  modelList,
  nativeEmbeddings,
  ranking,
  tokenList,
} from "./lists.ts";
import { deletedResponse, inputItems, response, responseEvent, responseEvents } from "./responses.ts";
import { adapters, erasedSlot, health, props, slots } from "./status.ts";
import { nativeCompletion, nativeEvent, textCompletion, textCompletionChunk } from "./text.ts";

/** Every answer and event, by the name that docs/openapi.json gives it. */
export const ANSWERS = {
  ChatCompletion: chatCompletion,
  ChatCompletionChunk: chatCompletionChunk,
  InputTokens: inputTokens,
  TextCompletion: textCompletion,
  TextCompletionChunk: textCompletionChunk,
  NativeCompletion: nativeCompletion,
  NativeEvent: nativeEvent,
  Response: response,
  ResponseEvent: responseEvent,
  ResponseEvents: responseEvents,
  DeletedResponse: deletedResponse,
  InputItems: inputItems,
  Message: message,
  MessageEvent: messageEvent,
  MessageTokens: messageTokens,
  EmbeddingList: embeddingList,
  NativeEmbeddings: nativeEmbeddings,
  Ranking: ranking,
  Model: model,
  ModelList: modelList,
  TokenList: tokenList,
  Detokenized: detokenized,
  AppliedTemplate: appliedTemplate,
  Health: health,
  Props: props,
  Slots: slots,
  ErasedSlot: erasedSlot,
  Adapters: adapters,
  Error: errorBody,
  MessageError: messageError,
} as const satisfies Readonly<Record<string, z.ZodType>>;

export type AnswerName = keyof typeof ANSWERS;
