"""The page ``docs/operations.md``: every operation of S3, S3 Control, KMS, IAM and STS of the models, and whether it is built.

Made from a register, so that it says what runs and not what is planned. Never knows how a register is built: as a command,
``python -m strongroom.api.coverage PACKAGE …`` collects the operations that the classes of the named packages declare.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Final, Literal, NamedTuple

from strongroom.api.coverage_notes import KEPT, PARTIAL, REFUSED, REFUSING
from strongroom.api.model import SERVICES, SUCCESSORS, operation_names
from strongroom.api.operation import Operation, Service

State = Literal["done", "partial", "kept", "refused", "not yet"]
_TITLES: Final[dict[Service, str]] = {"s3": "S3", "s3control": "S3 Control", "kms": "KMS", "iam": "IAM", "sts": "STS"}
#: Operations that S3 has and its model does not.
_UNMODELLED: Final[dict[Service, tuple[str, ...]]] = {
    "s3": ("PostObject", "Preflight"),
    "s3control": (),
    "kms": (),
    "iam": (),
    "sts": (),
}
_OPENING: Final = """# Operations

Which operations of AWS's models this version answers. This page is generated: `make docs` writes it from the operations that are
registered. *done*: as AWS documents it, but for `limitations.md`. *partial*: built, without what is said beside it. *kept*: checked, kept and
answered, without any effect but what is said beside it. *refused*: not built, on purpose. *not yet*: not built. What is refused or not yet built
answers 501 `NotImplemented`, where nothing else is said, and never does something else instead.
"""


class Line(NamedTuple):
    operation: str
    state: State
    note: str


def lines(service: Service, built: frozenset[tuple[str, str]]) -> list[Line]:
    """One line for each operation of a service's model. Raises ValueError for a note that contradicts what is built."""
    return [_line(service, name, built) for name in sorted((*operation_names(service), *_UNMODELLED[service]))]


def _line(service: Service, name: str, built: frozenset[tuple[str, str]]) -> Line:
    where = (service, name)
    if where in built:
        if where in REFUSED:
            raise ValueError(f"{where} is built and noted as refused")
        if where in REFUSING:
            return Line(name, "refused", REFUSING[where])
        if where in KEPT:
            return Line(name, "kept", KEPT[where])
        return Line(name, "partial" if where in PARTIAL else "done", PARTIAL.get(where, ""))
    if where in REFUSED:
        return Line(name, "refused", REFUSED[where])
    if where in PARTIAL or where in REFUSING or where in KEPT:
        raise ValueError(f"{where} is noted as built, and is not")
    successor = SUCCESSORS.get(name) if service == "s3" else None
    if successor is not None:
        return Line(name, _line(service, successor, built).state, f"the same request as {successor}")
    return Line(name, "not yet", "")


def page(built: Iterable[tuple[str, str]]) -> str:
    """The whole page, from (service, operation) pairs. Raises ValueError for an operation that no model has."""
    known = frozenset(built)
    modelled = {(service, name) for service in SERVICES for name in (*operation_names(service), *_UNMODELLED[service])}
    if known - modelled:
        raise ValueError(f"built, but in no model: {sorted(known - modelled)}")
    return "\n".join([_OPENING, *(_section(service, lines(service, known)) for service in SERVICES)])


def render(register: Iterable[Operation]) -> str:
    """The whole page, from a register."""
    return page((operation.service, operation.name) for operation in register)


def _section(service: Service, rows: list[Line]) -> str:
    counts = Counter(row.state for row in rows)
    summary = ", ".join(
        f"{counts[state]} {state}" for state in ("done", "partial", "kept", "refused", "not yet") if counts[state]
    )
    table = "\n".join(f"| {row.operation} | {row.state} | {row.note} |" for row in rows)
    return (
        f"## {_TITLES[service]}\n\n{len(rows)} operations: {summary}.\n\n| Operation | State | Note |\n|---|---|---|\n{table}\n"
    )


def declared(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The (service, operation) pairs that the classes of packages declare by ``@operation``."""
    for package in packages:
        for module in _modules(import_module(package)):
            for _, thing in inspect.getmembers(module, inspect.isclass):
                for _, method in inspect.getmembers(thing, inspect.isfunction):
                    for service, name, _need in getattr(method, "__operations__", []):
                        yield service, name


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
        yield import_module(found.name)


def main(arguments: list[str]) -> int:
    """Print the page for the packages named on the command line."""
    if not arguments:
        sys.stderr.write("usage: python -m strongroom.api.coverage PACKAGE …\n")
        return 2
    sys.stdout.write(page(declared(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
