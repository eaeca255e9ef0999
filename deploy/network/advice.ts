/** What an operator does about each of the network's reasons to reject a message. Source: pyaleph 0.10, message_status.py. */

/** A sentence; `address` owns and pays. */
export function adviceFor(code: number, address: string): string {
  switch (code) {
    case -1:
      return "The node had a fault of its own: try again, or use another --api-server";
    case 0:
      return "Its content breaks the network's schema: this is a bug of pinference, or the node is of another version";
    case 1:
      return "The node does not accept the signature: check ALEPH_PRIVATE_KEY, or use another --api-server";
    case 2:
      return `This key may not sign for ${address}: its owner runs \`pinference keys authorize\` with the key's address`;
    case 3:
    case 4:
      return "The node could not fetch the file for minutes: run deploy again, which uploads it once more";
    case 5:
      return `Paying by holding ALEPH is not covered: add credits to ${address}, this product pays with those`;
    case 6:
      return `Add credits to ${address}: a day of everything that runs must be covered`;
    case 200:
    case 201:
      return "It refers to another file as its first version, which pinference never does: look at who sent it";
    case 202:
      return "The network does not take this kind of payment any more: update pinference";
    case 300:
    case 302:
    case 303:
      return "It would replace another program, which pinference never does: look at who sent it";
    case 301:
      return "A file that it refers to is not kept: run deploy again, which pins what is missing";
    case 304:
      return "It has a volume that can be written, which pinference never makes: look at who sent it";
    case 500:
    case 501:
      return "There is nothing to forget under this hash: run `pinference status`";
    case 502:
      return "What was forgotten is itself a request to forget: that cannot be undone";
    case 503:
      return "A program still refers to this file: forget the program first, then the file";
    case 504:
      return "This very message was forgotten: run deploy again, which signs a new one";
    default:
      return "The network has a reason that this version does not know: update pinference";
  }
}
