"""Run with real bindings on the path: prints what classes, members and parameters they have."""

import importlib
import json
import sys

module = importlib.import_module(sys.argv[1])
api = {}
for name, value in vars(module).items():
    if name.startswith("_"):
        continue
    members = {}
    if isinstance(value, type):
        for member in dir(value):
            found = getattr(value, member, None)
            nested = [n for n in dir(found) if not n.startswith("_")]
            members[member] = {"doc": getattr(found, "__doc__", "") or "", "nested": nested}
    doc = value.__doc__ if isinstance(getattr(value, "__doc__", None), str) else ""
    api[name] = {"doc": doc or "", "members": members}
print(json.dumps(api))
