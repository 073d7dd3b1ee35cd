"""A small world around the KMS API: a catalog, a clock that tests set, callers, and the real judge, with what was asked written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from strongroom.api.codec_json import JsonCodec
from strongroom.api.errors import ApiError
from strongroom.api.operation import Call, Holds, Register
from strongroom.edge.condition_values import RequestValues
from strongroom.edge.head import Head
from strongroom.edge.judge import Judge
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.key_use_last import LastUses
from strongroom.kms.names import KeyName
from strongroom.kms.records import KEY_KIND, KeyRecord
from strongroom.kms.rooms import kms_rooms
from strongroom.policy.decide import ROOT, Authority, Standing
from strongroom.policy.identity_documents import read_identity_policy

A = "111122223333"
B = "444455556666"
REGION = "eu-central-1"
KMS_KEY = bytes(range(32))
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class FakeCaller:
    account_id: str
    anonymous: bool = False
    user_id: str = ""
    canonical_id: str = ""
    display_name: str = ""
    access_key_id: str = ""
    name: str = "root"  # or user/ann, or the whole ARN of a session
    principal_arn: str = ""  # of a session: its role
    session: Any = None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return self.name if self.name.startswith("arn:") else f"arn:aws:iam::{self.account_id}:{self.name}"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def days(self, count: float) -> None:
        self.now += timedelta(days=count)


HIDDEN = (
    "User: arn:aws:iam::{}:root is not authorized to perform: {} on this resource because the resource does not exist in this "
    "Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
)
CIPHERTEXT = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
    "or you are not allowed to access."
)


_HEAD = Head("POST", "/", "/", "", {}, "http", "127.0.0.1")
EVERYTHING = Standing((read_identity_policy('{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}', "everything"),))


async def no_object(_resource: str, _version_id: str | None) -> Any:
    raise AssertionError("nothing about a key is an object's")


@dataclass
class World:
    """``asked`` has every (action, resource); ``denied`` actions are denied to all, ``shared`` accounts may what they like.

    ``standings`` by the caller's ARN; a user or session that has none there may everything, as far as its account is concerned.
    """

    catalog: Any
    clock: Clock = field(default_factory=Clock)
    asked: list[tuple[str, str]] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    standings: dict[str, Standing] = field(default_factory=dict)
    principals: set[str] = field(default_factory=lambda: {f"arn:aws:iam::{account}:root" for account in (A, B)})

    unique_ids: dict[str, str] = field(default_factory=dict)  # of users and roles that have one, by ARN

    def __post_init__(self) -> None:
        self.data_keys = DataKeys(self.catalog, KMS_KEY, self.clock)
        self.last_uses = LastUses(self.catalog, KMS_KEY)
        self.rooms = kms_rooms(self.data_keys.ring, KMS_KEY, self, self.last_uses)
        self.register = Register(self.rooms)

    async def exists(self, principal_arn: str) -> bool:
        """As the room of identities would answer."""
        return principal_arn in self.principals

    async def ids_of(self, principal_arns: Iterable[str]) -> dict[str, str]:
        return {arn: self.unique_ids[arn] for arn in principal_arns if arn in self.unique_ids}

    async def names_of(self, ids: Mapping[str, str]) -> dict[str, str]:
        now = {unique_id: arn for arn, unique_id in self.unique_ids.items()}
        return {arn: now.get(unique_id, unique_id) for arn, unique_id in ids.items() if now.get(unique_id) != arn}

    def values(self, caller: FakeCaller, region: str, given: dict[str, Any]) -> RequestValues:
        return RequestValues(caller, _HEAD, {}, None, given, "", region, self.clock(), {})

    def judge(self, caller: FakeCaller, region: str, given: dict[str, Any]) -> Judge:
        def values() -> RequestValues:
            return self.values(caller, region, given)

        async def authority(_action: str, arn: str, about: Any) -> Authority:
            return await self.data_keys.authority(arn, about)

        standing = self.standings.get(caller.arn, ROOT if caller.name == "root" else EVERYTHING)
        return Judge(caller, standing, authority, values, no_object, [], no_object)

    def call(
        self,
        operation: str,
        /,
        *,
        account: str = A,
        region: str = REGION,
        anonymous: bool = False,
        who: str = "root",
        role: str = "",
        user_id: str = "",
        **given: Any,
    ) -> Call:
        found = self.register.find("kms", operation)
        assert found is not None, operation
        caller = FakeCaller(account, anonymous, user_id, name=who, principal_arn=role)
        judge = self.judge(caller, region, given)

        async def allow(action: str, resource: str, /, *, version_id: str | None = None, about: Any = None) -> Holds:
            holds = Holds.THIS_REQUEST
            self.asked.append((action, resource))
            owner = account if resource == "*" else resource.split(":")[4]
            if owner == account or account not in self.shared:
                holds = await judge(action, resource, about=about)
            if action in self.denied:
                raise ApiError("AccessDenied", f"{action} on {resource}")
            return holds

        return Call(
            operation=found,
            input=given,
            caller=caller,
            allow=allow,
            body=None,  # type: ignore[arg-type]
            region=region,
            now=self.clock(),
            request_id="0",
            base_url="http://localhost",
            virtual_host=False,
            secure=True,
            source_ip="127.0.0.1",
            headers={},
        )

    async def ask(self, operation: str, /, **given: Any) -> dict[str, Any]:
        call = self.call(operation, **given)
        answer = await call.operation.run(call)
        JsonCodec().encode(operation, answer, "0", "0")  # every member is one of the model, of its type
        return dict(answer.output)

    async def refusal(self, operation: str, /, **given: Any) -> tuple[str, str]:
        with pytest.raises(ApiError) as caught:
            await self.ask(operation, **given)
        encoded = JsonCodec().encode_error(caught.value, "0", "0", head=False, resource="")
        assert encoded.status == (500 if caught.value.code in {"KMSInternalException", "KeyUnavailableException"} else 400)
        return caught.value.code, caught.value.message

    async def key(self, **given: Any) -> tuple[str, str]:
        """A new key: its id and its ARN."""
        metadata = (await self.ask("CreateKey", **given))["KeyMetadata"]
        return metadata["KeyId"], metadata["Arn"]

    async def remake(self, key_id: str, **fields: Any) -> None:
        """A key of account A becomes one of another kind or state, as the catalog would have it."""
        name = KeyName(A, REGION, key_id)

        def work(transaction: Any) -> None:
            record = KeyRecord.read(name, transaction.document(name.scope, KEY_KIND))
            transaction.set_document(name.scope, KEY_KIND, replace(record, **fields).document())

        await self.catalog.write(work)
