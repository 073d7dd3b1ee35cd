"""``strongroom explain``: who may do what, by which statement, with which key; whether a server runs on the folder or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strongroom.cli.rooms import with_rooms
from strongroom.cli.settings import ConfigOption, DataOption
from strongroom.cli.tables import one_line, print_table

if TYPE_CHECKING:
    from strongroom.cli.explaining import Asked, Explained, Judged
    from strongroom.startup.opening import LowerRooms

PrincipalOption = Annotated[
    str | None,
    typer.Option(
        "--principal",
        help="ARN of a root, user, role or session, an account id, or anonymous. Left out: everybody who may is listed.",
        metavar="ARN",
        show_default=False,
    ),
]
ContextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        help="Value of a condition key, as the request would bring it: aws:SourceIp=10.0.0.1. May be repeated, also for one key.",
        metavar="KEY=VALUE",
        show_default=False,
    ),
]


def explain(
    action: Annotated[str, typer.Option("--action", help="For example s3:GetObject.", show_default=False)],
    resource: Annotated[str, typer.Option("--resource", help="Its ARN, or *.", metavar="ARN", show_default=False)],
    principal: PrincipalOption = None,
    context: ContextOption = None,
    version_id: Annotated[str | None, typer.Option(help="Of the object; else the newest.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Say who may do what, and by which statement; for an object's bytes also with which key. Exit code 0: allowed, 1: denied."""
    from strongroom.cli.explaining import Asked, BadQuestion, Explaining, with_version

    async def work(lower: LowerRooms) -> tuple[list[Explained], int]:
        explaining = Explaining(lower)
        if principal is not None:
            return [await explaining.one(principal, asked)], 1
        every = [one async for one in explaining.everybody(asked)]
        return [one for one in every if one.allowed], len(every)

    try:
        asked = with_version(Asked(action, resource, _context(context or []), version_id))
        found, of = with_rooms(data, config, work)
    except BadQuestion as error:
        raise typer.BadParameter(str(error)) from None
    if principal is not None:
        _show_one(asked, found[0], as_json=as_json)
    elif as_json:
        document = {"action": asked.action, "resource": asked.resource, "allowed": [_document(one) for one in found], "of": of}
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(f"{len(found)} of {of} principals may {asked.action} on {one_line(asked.resource)}")
        rows = [(one.principal.arn, "; ".join(_why(judged) for judged in one.judged), _key(one)) for one in found]
        if rows:
            print_table(("principal", "because", "with the key"), rows)
    if not found or not found[0].allowed:
        raise typer.Exit(1)


def _context(given: list[str]) -> dict[str, str | tuple[str, ...]]:
    values: dict[str, tuple[str, ...]] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{each} is not KEY=VALUE", param_hint="--context")
        values[key.lower()] = (*values.get(key.lower(), ()), value)
    return {key: several if len(several) != 1 else several[0] for key, several in values.items()}


def _show_one(asked: Asked, one: Explained, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"action": asked.action, "resource": asked.resource, **_document(one)}, indent=2))
        return
    rows = [("allowed" if one.allowed else "denied", f"{asked.action} on {one_line(asked.resource)}", f"for {one.principal.arn}")]
    rows += [("because" if judged.decision.allowed else "but", _why(judged), "") for judged in one.judged]
    if one.wrapping is not None and one.wrapping.mode:
        rows.append(("key", _key(one), one.wrapping.mode + (" with a bucket key" if one.wrapping.bucket_key else "")))
    rows += [("note", one_line(text), "") for text in one.notes]
    rows += [
        ("absent", f"{key} has no value: give it with --context", "") for key in sorted({k for j in one.judged for k in j.absent})
    ]
    print_table(
        ("", "", ""), rows, {"allowed": "bold green", "denied": "bold red", "but": "red", "note": "yellow", "absent": "yellow"}
    )
    typer.echo()
    looked_at = [
        (row["verdict"], judged.action, row["policy"], f"{row.get('statement', '')}{_sid(row)}", row["policy_type"])
        for judged in one.judged
        for row in _looked_at(judged)
    ]
    if looked_at:
        colours = {"allows": "green", "denies": "red", "says nothing": "dim"}
        print_table(("says", "of", "policy", "statement", "which is a"), looked_at, colours)
    else:
        typer.echo("No policy was looked at: there is none.")


def _sid(row: dict[str, Any]) -> str:
    return f" ({row['sid']})" if "sid" in row else ""


def _key(one: Explained) -> str:
    wrapping = one.wrapping
    if wrapping is None:
        return ""
    return f"{wrapping.key_arn} ({wrapping.state})" if wrapping.key_arn else wrapping.mode


def _why(judged: Judged) -> str:
    from strongroom.policy.reasons import sentence

    return one_line(sentence(judged.decision, judged.action))


def _looked_at(judged: Judged) -> list[dict[str, Any]]:
    from strongroom.policy.reasons import fields, verdict

    return [{"verdict": verdict(each), **fields(each)} for each in judged.decision.looked_at]


def _document(one: Explained) -> dict[str, Any]:
    from strongroom.policy.reasons import fields

    decisions = [
        {
            "action": judged.action,
            "resource": judged.resource,
            "allowed": judged.decision.allowed,
            "reason": _why(judged),
            "decided_by": None if judged.decision.decided_by is None else fields(judged.decision.decided_by),
            "looked_at": _looked_at(judged),
            "absent": list(judged.absent),
        }
        for judged in one.judged
    ]
    document: dict[str, Any] = {"principal": one.principal.arn, "allowed": one.allowed, "decisions": decisions}
    if one.wrapping is not None and one.wrapping.mode:
        wrapping = one.wrapping
        document["encryption"] = {
            "mode": wrapping.mode,
            "kms_key": wrapping.key_arn or None,
            "state": wrapping.state or None,
            "bucket_key": wrapping.bucket_key,
            "version_id": wrapping.version_id,
            "context": dict(wrapping.context),
        }
    return {**document, "notes": list(one.notes)}
