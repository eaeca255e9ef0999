/** What an operator does about what a node says. Source of the codes: pyaleph 0.10, message_status.py. */

/** A reason to reject a message. A sentence; `address` owns and pays. */
export function adviceFor(code: number, address: string): string {
  switch (code) {
    case -1:
      return "The node had a fault of its own: try again, or use another --api-server";
    case 0:
      return "Its content breaks the network's schema: update pinference, or use another --api-server, for one of both is too old";
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
    case 100:
    case 101:
    case 102:
      return "It would change another post, which pinference never does: look at who sent it";
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

/** An HTTP status with which a node says nothing more. A sentence. */
export function adviceForStatus(status: number): string {
  if (status < 300) {
    return "That is no answer of an API node: check --api-server; where a proxy asks for a login, log in there first";
  }
  if (status === 429) return "The node has too much to do: run the same command again in some minutes";
  if (status >= 500) {
    return "The node has trouble of its own: run the same command again later, or use another --api-server";
  }
  if (status === 401 || status === 403 || status === 407) {
    return "The node, or a proxy before it, lets you not do this: check --api-server";
  }
  return "The node does not understand this: check --api-server, or update pinference";
}

/** A state in which a message is of no use any more. A sentence. */
export function adviceForState(status: string, address: string): string {
  switch (status) {
    case "forgotten":
      return "Its owner asked the network to forget it: run deploy again, which signs a new one";
    case "removing":
      return `The credits of ${address} did not cover it: add credits within a day and it stays; later, run deploy again`;
    case "removed":
      return `The credits of ${address} did not cover it: add credits, then run deploy again, which uploads and signs anew`;
    case "pending":
      return "The network is still at it: run the same command again later, which sends nothing twice";
    default:
      return "The node has lost it: run the same command again, which sends the very same message";
  }
}
