"""Reading the key-use record: every line checked against its chain, and every chain against the heads that are kept of it.

Works beside running servers: what they write meanwhile is read or not, and is no fault. Never changes anything.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from strongroom.kms.key_use_chain import Chain, ChainError, Head
from strongroom.kms.key_use_files import FILE_NAME, FOLDER, HEAD_SUFFIX
from strongroom.kms.key_use_lines import FORMAT, uses_of

_MOST_FAULTS: Final = 1000  # a file of somebody else's would have one on every line


@dataclass(slots=True)
class Report:
    chains: int = 0
    files: int = 0
    lines: int = 0
    uses: int = 0
    faults: list[str] = field(default_factory=list[str])  # what was edited, removed, reordered or put in
    notices: list[str] = field(default_factory=list[str])  # what a crash leaves

    def fault(self, text: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(text)


class _Claim(NamedTuple):
    """Somebody kept that a chain had that hash after so many lines."""

    lines: int
    hash: str
    by: str


class Line(NamedTuple):
    """One checked use. ``time`` first: those of several chains are merged by it."""

    time: str
    chain_id: str
    number: int  # of the line in its chain
    place: int  # in its line, from 0
    entry: dict[str, Any]


class Audit:
    """One look at a record. ``registered``: the sealed heads that the catalog keeps, by chain; read them before this is made."""

    def __init__(self, data_folder: Path, key_use_key: bytes, registered: Mapping[str, bytes]) -> None:
        self._folder = data_folder / FOLDER
        self._key = key_use_key
        self.report = Report()
        self._claims: dict[str, list[_Claim]] = defaultdict(list)
        # Heads before files: a head is never ahead of its file.
        self._headed = self._read_heads()
        for chain_id, sealed in registered.items():
            self._claim(chain_id, sealed, f"the catalog's head of {chain_id}")
        self._files = self._list_files()
        self._registered = set(registered)
        self._read_first_lines()

    # --- what is claimed

    def _read_heads(self) -> set[str]:
        found: set[str] = set()
        for path in sorted(self._folder.glob(f"*{HEAD_SUFFIX}")):
            self._claim(path.stem, path.read_bytes(), path.name)
            found.add(path.stem)
        return found

    def _claim(self, chain_id: str, sealed: bytes, by: str) -> None:
        try:
            head = Head.open(self._key, chain_id, sealed)
        except ChainError as error:
            self.report.fault(f"{by}: {error}")
            self._claims[chain_id]  # the chain must be there all the same
        else:
            self._claims[chain_id].append(_Claim(head.count, head.hash, by))

    def _list_files(self) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self._folder.glob("*.jsonl")):
            found = FILE_NAME.fullmatch(path.name)
            if found is None:
                self.report.fault(f"{path.name}: is no file of the record")
            else:
                files[found[1]].append(path)
        return dict(files)

    def _read_first_lines(self) -> None:
        """What files say of other chains. It counts once the line itself has been checked, which ``lines`` does."""
        for paths in self._files.values():
            for path in paths:
                with path.open("rb") as file:
                    line = file.readline()
                try:
                    heads = orjson.loads(line)["heads"]
                    claims = [(str(name), _Claim(int(count), str(last), path.name)) for name, (count, last) in heads.items()]
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
                for chain_id, claim in claims:
                    self._claims[chain_id].append(claim)

    # --- what is there

    def lines(self) -> Iterator[Line]:
        """Every use that checks out, about in the order of time; ``report`` is complete when all have been read."""
        chains = sorted({*self._files, *self._claims})
        yield from heapq.merge(*(_in_order(self._chain(chain_id)) for chain_id in chains), key=lambda line: line[:4])

    def verify(self) -> Report:
        for _ in self.lines():
            pass
        return self.report

    def _chain(self, chain_id: str) -> Iterator[list[Line]]:
        """The uses of each line that checks out."""
        report = self.report
        paths = self._files.get(chain_id)
        if paths is None:
            if self._folder.joinpath(f"{chain_id}-000001.jsonl").exists():
                return  # begun after the files were listed
            report.fault(f"chain {chain_id} is missing, of which {', '.join(c.by for c in self._claims[chain_id])} tells")
            return
        report.chains += 1
        chain = Chain.begin(self._key, chain_id)
        hashes = {claim.lines: "" for claim in self._claims[chain_id]}
        ended = False
        for number, path in enumerate(paths, 1):
            report.files += 1
            if path.name != f"{chain_id}-{number:06d}.jsonl":
                report.fault(f"{chain_id}-{number:06d}.jsonl is missing")
                return
            for entry in self._file(path, chain, last=number == len(paths)):
                if entry is None:
                    return
                report.lines += 1
                if chain.count in hashes:
                    hashes[chain.count] = chain.head.hex()
                ended = entry["kind"] == "end"
                if entry.get("format", FORMAT) > FORMAT:
                    report.fault(f"{path.name} has format {entry['format']}: a later Strongroom wrote it")
                    return
                uses = uses_of(entry)
                report.uses += len(uses)
                yield [Line(use["time"], chain_id, chain.count, place, use) for place, use in enumerate(uses)]
        self._check_claims(chain_id, chain, hashes)
        if not ended:
            report.notices.append(f"chain {chain_id} has no end: its server is running, or stopped without warning")

    def _file(self, path: Path, chain: Chain, *, last: bool) -> Iterator[dict[str, Any] | None]:
        """Each line's entry; None, and nothing further, at the first that is wrong: it vouches for none behind it."""
        at = 0
        with path.open("rb") as file:
            for line in file:
                at += 1
                if not line.endswith(b"\n"):
                    if last:
                        self.report.notices.append(f"{path.name}: the last line is unfinished")
                        return
                    self.report.fault(f"{path.name}, line {at}: is cut off")
                    yield None
                    return
                try:
                    entry = chain.follow(line[:-1])
                except ChainError as error:
                    self.report.fault(f"{path.name}, line {at}: {error}")
                    yield None
                    return
                yield entry

    def _check_claims(self, chain_id: str, chain: Chain, hashes: dict[int, str]) -> None:
        begun = chain.count > 1 or chain_id in self._registered
        if begun and chain_id not in self._headed and not (self._folder / f"{chain_id}{HEAD_SUFFIX}").exists():
            self.report.fault(f"{chain_id}{HEAD_SUFFIX} is missing")
        for claim in self._claims[chain_id]:
            if claim.lines > chain.count:
                text = f"chain {chain_id} has {chain.count} lines, but {claim.by} tells of {claim.lines}: the end is missing"
                self.report.fault(text)
            elif hashes[claim.lines] != claim.hash:
                self.report.fault(f"chain {chain_id} is not the one that {claim.by} tells of")


def _in_order(chain: Iterator[list[Line]]) -> Iterator[Line]:
    """The uses of a chain about in the order of time: uses that share a line were written together with others, which came in between.

    Lines are in the order of their first uses, so what came before the first use of a line is in no line behind it.
    """
    held: list[Line] = []
    for uses in chain:
        while held and uses and held[0] < uses[0]:
            yield heapq.heappop(held)
        for use in uses:
            heapq.heappush(held, use)
    while held:
        yield heapq.heappop(held)
