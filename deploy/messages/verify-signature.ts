import { utils } from "ethers";

import { verificationText, type Envelope } from "./envelope.ts";

/**
 * EIP-191 over the message's verification text; the recovered address must be the sender's. The SDK signs as ETH
 * whatever EVM network its wallet uses, so other chains are not verified here, and their messages are refused.
 */
export function isSignedBySender(envelope: Envelope): boolean {
  if (envelope.chain !== "ETH") return false;
  try {
    const signer = utils.verifyMessage(verificationText(envelope), envelope.signature);
    return signer.toLowerCase() === envelope.sender.toLowerCase();
  } catch {
    return false;
  }
}
