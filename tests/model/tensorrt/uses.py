"""How our source uses a library, read from its syntax tree.

A name of the library is ``trt.X`` (or ``cudart.X``). An object of it is a variable or attribute
that is annotated ``trt.X``: its members are checked as X's.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Call:
    """How something was called."""

    positional: int
    keywords: tuple[str, ...]


@dataclass
class Uses:
    """What was found. A use is its place, the name used, and the call if it is one."""

    names: list[tuple[str, list[str], Call | None]] = field(default_factory=list)
    members: list[tuple[str, str, str, Call | None]] = field(default_factory=list)
    overrides: list[tuple[str, str, str, list[str]]] = field(default_factory=list)
    untyped: list[tuple[str, str]] = field(default_factory=list)


def uses(file: Path, alias: str) -> Uses:
    """All uses of the module that the file calls ``alias``."""
    found = Uses()
    tree = ast.parse(file.read_text())
    for scope in [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]:
        for base in scope.bases:
            chain = _chain(base)
            if chain[:1] == [alias]:
                for method in [n for n in scope.body if isinstance(n, ast.FunctionDef)]:
                    parameters = [a.arg for a in method.args.args]
                    where = f"{file.name}:{method.lineno}"
                    found.overrides.append((where, chain[1], method.name, parameters))
    for top in tree.body:
        scopes = [n for n in ast.walk(top) if isinstance(n, ast.FunctionDef)] or [top]
        annotated = _annotated(top, alias) if isinstance(top, ast.ClassDef) else {}
        attributes = {name: kind for name, kind in annotated.items() if name.startswith("self.")}
        for scope in scopes:
            _in_scope(scope, {**attributes, **_annotated(scope, alias)}, alias, file.name, found)
        if isinstance(top, ast.ClassDef):
            for node in top.bases:
                _in_scope(node, {}, alias, file.name, found)
    return found


def _in_scope(scope: ast.AST, types: dict[str, str], alias: str, file: str, found: Uses) -> None:
    calls = {id(n.func): n for n in ast.walk(scope) if isinstance(n, ast.Call)}
    inner = {id(n.value) for n in ast.walk(scope) if isinstance(n, ast.Attribute)}
    for node in ast.walk(scope):
        if not isinstance(node, ast.Attribute):
            continue
        call = calls.get(id(node))
        how = call and Call(len(call.args), tuple(k.arg or "**" for k in call.keywords))
        where = f"{file}:{node.lineno}"
        chain = _chain(node)
        owner = ".".join(chain[:-1])
        if chain[:1] == [alias]:
            if id(node) not in inner or call:
                found.names.append((where, chain[1:], how))
        elif owner in types:
            found.members.append((where, types[owner], chain[-1], how))
        else:
            found.untyped.append((where, node.attr))


def _annotated(scope: ast.AST, alias: str) -> dict[str, str]:
    """Variables, parameters and ``self.x`` that are annotated with a class of the module."""
    types = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.AnnAssign):
            target, annotation = _chain(node.target), node.annotation
        elif isinstance(node, ast.arg) and node.annotation is not None:
            target, annotation = [node.arg], node.annotation
        else:
            continue
        kind = _chain(annotation)
        if kind[:1] == [alias]:
            types[".".join(target)] = kind[-1]
    return types


def _chain(node: ast.AST) -> list[str]:
    """The parts of ``a.b.c``; anything else than a name at the beginning is ``?``."""
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else ["?"]
