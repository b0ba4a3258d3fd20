"""Emotion events as Open Sound Control messages: python examples/osc.py HOST PORT [ENDPOINT]

Needs `pip install python-osc`. `/edgeser/STREAM/emotion` has the kind, the label, its confidence
and the scores in the order of the model's labels; `/edgeser/STREAM/speech` is 1 while speech lasts.
"""

import signal
import sys

from pythonosc.udp_client import SimpleUDPClient

import edgeser

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it, without a traceback
client = SimpleUDPClient(sys.argv[1], int(sys.argv[2]))
endpoint = sys.argv[3] if len(sys.argv) > 3 else None

for event in edgeser.Subscriber(endpoint, topics=["emotion.", "speech."]):
    if isinstance(event, edgeser.Gap):
        continue
    if event.type == "emotion":
        scores = list(event.scores.values())
        values = [event.kind, event.label, event.confidence, *scores]
    else:
        values = int(event.state == "start")
    client.send_message(f"/edgeser/{event.stream}/{event.type}", values)
