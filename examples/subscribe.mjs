// Print emotions as they come. Needs zeromq.js: npm install zeromq@6; node subscribe.mjs [ENDPOINT]
import { tmpdir } from "node:os";
import { Subscriber } from "zeromq";

const runtime = process.env.XDG_RUNTIME_DIR;
const folder = runtime ? `${runtime}/edgeser` : `${tmpdir()}/edgeser-${process.getuid()}`;
const endpoint = process.argv[2] ?? `ipc://${folder}/events.sock`;
console.error(`listening at ${endpoint}`);
const socket = new Subscriber();
socket.connect(endpoint);
socket.subscribe("emotion.");
for await (const [topic, payload] of socket) {
  const event = JSON.parse(payload);
  if (event.kind === "final") {
    console.log(`${event.start.toFixed(2)} s  ${event.label}  ${Math.round(event.confidence * 100)}%`);
  }
}
