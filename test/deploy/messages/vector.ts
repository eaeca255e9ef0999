/** The network's own test vector: private key 0x11…11. */
export const VECTOR = {
  chain: "ETH",
  sender: "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
  type: "FORGET",
  time: 1_700_000_000.123,
  item_content:
    '{"address":"0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A","time":1700000000.123,"hashes":["cafecafecafecafecafecafecafecafecafecafecafecafecafecafecafecafe"],"reason":"r"}',
  item_hash: "4cff3db9551ecfa2e9faad21512a0a0eb902a7bbef3ae978ca14427da7f047ab",
  signature:
    "0x0d9b2a8b6196260a9eb6e11e17785186dcacb7119a14287327c49d6c76704f052b83c02fe3073b9b8ae88f8475c3209e14413bb0b99e27c5d3dd154a15df6bad1b",
};
