"""The page ``docs/facts.md``: which statement about AWS's behaviour is shown by which test. Made from the marks of the tests.

A test says what it shows by ``@pytest.mark.fact("4.2.5", "11.F52")``; a whole module by ``pytestmark``. As a command, ``python -m
tests.facts`` prints the page.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
#: Ideas for tests (section 11), by their letter: number of the first and of the last.
IDEAS = {
    "A": ("core of default encryption", 1, 15),
    "B": ("header rules", 16, 25),
    "C": ("ETags, checksums, copies", 26, 35),
    "D": ("SSE-C", 36, 45),
    "E": ("blocking", 46, 51),
    "F": ("KMS", 52, 57),
    "G": ("policy", 58, 60),
    "H": ("UpdateObjectEncryption", 61, 64),
    "I": ("robustness", 65, 68),
}
SECTIONS = {
    "1": "GetBucketEncryption",
    "2": "PutBucketEncryption",
    "3": "DeleteBucketEncryption",
    "4": "Effect on object operations",
    "5": "SSE-C",
    "6": "DSSE-KMS",
    "7": "Bucket keys",
    "8": "UpdateObjectEncryption",
    "9": "Failures of KMS as S3 tells them",
    "10": "Conditions of policies",
    "12": "Answers to open questions",
}
LETTERS = {
    "A": "KMS: API",
    "B": "KMS: identifiers",
    "C": "Policies",
    "D": "KMS for S3",
    "E": "S3: signatures and access",
    "F": "STS and IAM",
    "G": "Record of key use",
    "H": "More",
}
_STATEMENT = re.compile(r"(1[02]|[1-9])(\.[0-9]{1,2}){1,3}")
_LETTERED = re.compile(r"([A-H])\.?([0-9]{1,2})")
_IDEA = re.compile(r"11\.([A-I])([0-9]{1,2})")
_OPENING = """# Facts and the tests that show them

AWS's behaviour around encryption is written down in numbered statements, and Strongroom is built by them; comments and tests name them by their
numbers. Here is each statement that a test shows, with the test. This page is generated: `make docs` writes it from the marks `@pytest.mark.fact` of
the tests. A statement that is not here is shown by no test that says so.
"""


def collect(folder: Path = TESTS) -> dict[str, list[str]]:
    """Statement -> the tests that are marked with it, as pytest names them. Raises ValueError for a mark that is no number."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.rglob("test_*.py")):
        name = f"tests/{path.relative_to(folder).as_posix()}"
        for test, numbers in _marked(ast.parse(path.read_text("utf-8"))):
            for number in numbers:
                check(number, name)
                found[number].add(f"{name}::{test}")
    return {number: sorted(tests) for number, tests in found.items()}


def check(number: str, where: str) -> None:
    idea = _IDEA.fullmatch(number)
    if idea is not None:
        _, first, last = IDEAS[idea[1]]
        if first <= int(idea[2]) <= last:
            return
    elif _STATEMENT.fullmatch(number) or _LETTERED.fullmatch(number):
        return
    raise ValueError(f"{where}: {number!r} is the number of no statement")


def _marked(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for_all: list[str] = []
    tests: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "pytestmark" for name in node.targets):
            for_all += [number for part in ast.walk(node.value) for number in _numbers(part)]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            tests.append(node.name)
            yield node.name, [number for decorator in node.decorator_list for number in _numbers(decorator)]
        elif isinstance(node, ast.ClassDef):
            own = [number for decorator in node.decorator_list for number in _numbers(decorator)]
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name.startswith("test"):
                    more = [number for decorator in method.decorator_list for number in _numbers(decorator)]
                    yield f"{node.name}::{method.name}", own + more
    for test in tests if for_all else ():
        yield test, for_all


def _numbers(node: ast.AST) -> list[str]:
    """The arguments of a call ``pytest.mark.fact(…)``; of anything else, none."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "pytest.mark.fact":
        return []
    return [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]


def page(facts: dict[str, list[str]]) -> str:
    lines = [_OPENING, "## Ideas for tests (section 11)\n", "| idea | shown by |", "|---|---|"]
    for letter, (title, first, last) in IDEAS.items():
        ideas = [f"{letter}{number}" for number in range(first, last + 1)]
        lines += [f"| {idea}, {title} | {_shown(facts.get(f'11.{idea}', []))} |" for idea in ideas]
    for section, title in SECTIONS.items():
        numbers = [number for number in facts if number.partition(".")[0] == section]
        lines += _table(f"{section}. {title}", sorted(numbers, key=_order), facts)
    for letter, title in LETTERS.items():
        numbers = [number for number in facts if number.startswith(letter)]
        lines += _table(f"{letter}. {title}", sorted(numbers, key=lambda number: int(number.strip("ABCDEFGH."))), facts)
    return "\n".join(lines) + "\n"


def _table(title: str, numbers: list[str], facts: dict[str, list[str]]) -> list[str]:
    if not numbers:
        return []
    return [
        f"\n## {title}\n",
        "| statement | shown by |",
        "|---|---|",
        *(f"| {each} | {_shown(facts[each])} |" for each in numbers),
    ]


def _order(number: str) -> list[int]:
    return [int(part) for part in number.split(".")]


def _shown(tests: list[str]) -> str:
    return "<br>".join(f"`{test}`" for test in tests) or "not shown yet"


if __name__ == "__main__":
    sys.stdout.write(page(collect()))
