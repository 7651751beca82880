import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection whose answers come after another that is not sent yet, in their order. */
type Line = { readonly request: IncomingMessage; readonly response: ServerResponse }[];

/** As many may wait on any connection. apt sends 10 in advance: Acquire::http::Pipeline-Depth, apt-transport-http(1). */
const FEW = 16;

/** As many may wait on all connections together; each takes some 4 KB. */
const MANY = 4096;

/**
 * A server that lets requests which a client sends in advance (RFC 9112, 9.3.2) wait for their turn. Node hands over each
 * as soon as it is read, so that a client that takes no answers would have thousands of them made at a time. Once many
 * wait, a connection on which more than a few do is cut off.
 *
 * An answer that is begun before its turn also gets the event `close` when its connection ends, which Node forgets.
 *
 * @param atOnce how many answers of one connection are made at a time. With 1, none is begun before its turn.
 */
export function createServerInTurn(
  options: ServerOptions,
  atOnce: number,
  work: RequestListener,
): Server {
  const listener = inTurn(atOnce, (request, response) => {
    if (request.httpVersion === '1.1' && request.headers.host === undefined) {
      response.writeHead(400, { Connection: 'close' }).end();
    } else work(request, response);
  });
  // What Node refuses by itself, it answers at once, however many wait. No expectation has to be known (RFC 9110, 10.1.1).
  const server = createServer({ ...options, requireHostHeader: false }, listener);
  server.on('checkExpectation', listener);
  closeIdleOnly(server);
  return server;
}

/**
 * Makes `closeIdleConnections`, and so `close`, spare the connections on which something is left to send. Node takes them
 * for idle as soon as the last answer has ended.
 */
function closeIdleOnly(server: Server): void {
  const connections = new Map<Socket, { answers: number; bytesRead: number }>();
  server.on('connection', (socket: Socket) => {
    connections.set(socket, { answers: 0, bytesRead: 0 });
    socket.once('close', () => connections.delete(socket));
  });
  const count = ({ socket }: IncomingMessage, response: ServerResponse) => {
    const connection = connections.get(socket);
    if (connection === undefined) return;
    connection.answers += 1;
    response.once('close', () => {
      connection.answers -= 1;
      connection.bytesRead = socket.bytesRead;
    });
  };
  for (const event of ['request', 'checkExpectation']) server.prependListener(event, count);
  server.closeIdleConnections = () => {
    for (const [socket, { answers, bytesRead }] of connections) {
      // More than the last request had: a request that is not whole yet, or a tunnel.
      if (answers === 0 && socket.bytesRead === bytesRead) socket.destroy();
    }
  };
}

function inTurn(atOnce: number, work: RequestListener): RequestListener {
  const lines = new WeakMap<Socket, Line>();
  let waiting = 0;
  const makeLine = (socket: Socket): Line => {
    const line: Line = [];
    lines.set(socket, line);
    socket.once('close', () => {
      const begun = line.splice(0, atOnce - 1);
      waiting -= line.length;
      line.length = 0;
      for (const { response } of begun) {
        response.destroy();
        response.emit('close');
      }
    });
    return line;
  };
  return (request, response) => {
    // Node gives the connection to an answer when it is its turn.
    if (response.socket !== null) {
      work(request, response);
      return;
    }
    const { socket } = request;
    const line = lines.get(socket) ?? makeLine(socket);
    if (waiting >= MANY && line.length >= FEW) socket.destroy();
    // What was read before it was cut off is handed over all the same.
    if (socket.destroyed) return;
    line.push({ request, response });
    response.once('socket', () => {
      const next = line[atOnce - 1];
      line.shift();
      if (next === undefined) return;
      waiting -= 1;
      work(next.request, next.response);
    });
    if (line.length < atOnce) work(request, response);
    else waiting += 1;
  };
}
