// Print emotions as they come. Needs zeromq.js: npm install zeromq@6; node subscribe.mjs [ENDPOINT]
import { Subscriber } from "zeromq";

const folder = process.env.XDG_RUNTIME_DIR ?? "/run";
const socket = new Subscriber();
socket.connect(process.argv[2] ?? `ipc://${folder}/edgeser/events.sock`);
socket.subscribe("emotion.");
for await (const [topic, payload] of socket) {
  const event = JSON.parse(payload);
  if (event.kind === "final") {
    console.log(`${event.start.toFixed(2)} s  ${event.label}  ${Math.round(event.confidence * 100)}%`);
  }
}
