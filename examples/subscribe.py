"""Print emotions as they come. Needs nothing but pyzmq: python subscribe.py [ENDPOINT]"""

import json
import os
import sys

import zmq

default = f"ipc://{os.environ.get('XDG_RUNTIME_DIR', '/run')}/edgeser/events.sock"
socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else default)
socket.subscribe("emotion.")
while True:
    topic, payload = socket.recv_multipart()
    event = json.loads(payload)
    if event["kind"] == "final":
        print(f"{event['start']:8.2f} s  {event['label']:<8} {event['confidence']:.0%}", flush=True)
