"""Print emotions as they come. Needs nothing but pyzmq: python subscribe.py [ENDPOINT]"""

import json
import os
import signal
import sys
import tempfile

import zmq

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it, without a traceback
runtime = os.environ.get("XDG_RUNTIME_DIR")
folder = f"{runtime}/edgeser" if runtime else f"{tempfile.gettempdir()}/edgeser-{os.getuid()}"
endpoint = sys.argv[1] if len(sys.argv) > 1 else f"ipc://{folder}/events.sock"
print(f"listening at {endpoint}", file=sys.stderr)
socket = zmq.Context().socket(zmq.SUB)
socket.connect(endpoint)
socket.subscribe("emotion.")
while True:
    topic, payload = socket.recv_multipart()
    event = json.loads(payload)
    if event["kind"] == "final":
        print(f"{event['start']:8.2f} s  {event['label']:<8} {event['confidence']:.0%}", flush=True)
