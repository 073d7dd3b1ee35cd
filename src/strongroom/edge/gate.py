"""The gate: eight steps that every request takes, one under the other in ``Gate.handle``.

head, route, caller, verify, decode, decide, run, answer. Never knows an operation by name, where rows or bytes are, or what a
key is. Any failure that is not an ApiError is told to the log alone.
"""

from __future__ import annotations

import base64
import os
import time
from asyncio import CancelledError, sleep
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from uuid import UUID

import structlog

from strongroom.api.codec import Codec, Encoded
from strongroom.api.errors import ApiError
from strongroom.api.operation import About, Answer, Call, Caller, Operation, Register, Service, Told
from strongroom.api.request_payer import check_request_payer
from strongroom.api.routing import Route, Router, is_modelled
from strongroom.edge import sigv4
from strongroom.edge.body import NO_BODY, NoBody, RequestBody
from strongroom.edge.chunked import ChunkSigner
from strongroom.edge.claims import Claim, guess_service, read_claim
from strongroom.edge.condition_values import RequestValues
from strongroom.edge.cross_origin import PREFLIGHT, cross_origin_headers
from strongroom.edge.denial_log import DenialLog, Denied
from strongroom.edge.form import FormFile, PostedForm
from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.judge import Governed, Judge, Place, check_owner, has_policies
from strongroom.edge.limits import DOCUMENT_MOST, LIST_DOCUMENT_MOST, check_head, check_metadata
from strongroom.edge.load import Ceilings, Load, Overloaded, Ticket, hold_answer, until_sent
from strongroom.edge.promises import describes_body, has_no_body, read_promises, without_chunked
from strongroom.edge.refusals import REFUSALS, Refusals
from strongroom.edge.signing_key import SigningKeys
from strongroom.edge.stall import Pace
from strongroom.iam.callers import ANONYMOUS
from strongroom.iam.errors import BadToken
from strongroom.iam.sessions import PREFIX as SESSION_KEY
from strongroom.policy.decide import ROOT
from strongroom.store.contract import Unavailable

if TYPE_CHECKING:
    from strongroom.iam.callers import Callers, Credential
    from strongroom.policy.decide import Authority

_LOG = structlog.get_logger("strongroom.edge")
_SERVER: Final = ("server", "Strongroom")
_PLACELESS: Final = frozenset({"service", "nobody"})  # what an operation may be asked for where no bucket is
_S3: Final[frozenset[Service]] = frozenset({"s3", "s3control"})  # sign, number and word alike
_REFUSED: Final = frozenset({400, 401, 403})
_LOOPBACK: Final = ("127.", "::ffff:127.")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """The operator's choices that the edge looks at."""

    regions: tuple[str, ...] = ()  # served; empty: any of AWS's form
    domains: tuple[str, ...] = ()  # host names below which BUCKET.DOMAIN names a bucket
    plain_http_secrets: Literal["loopback", "refuse", "allow"] = "loopback"
    pace: Pace = field(default_factory=Pace)
    ceilings: Ceilings = field(default_factory=Ceilings)


class Seen(NamedTuple):
    """One answered request, as the access log and the metrics see it. ``seconds``: until the answer was ready to be sent."""

    request_id: str
    service: Service
    operation: str
    status: int
    code: str  # of the error, "" for none
    seconds: float
    received: int | None  # declared bytes of the payload
    sent: int | None  # bytes of the answer; of one that is streamed, those that were promised
    caller: Caller
    head: Head  # holds secrets: nothing of its query and headers is to be told
    headers: list[tuple[str, str]]  # of the answer


#: Told of a request and its answer before that is sent; it may put another body in the place of one that is streamed.
Observe = Callable[[Seen, Reply], None]


@dataclass(slots=True)
class _Trail:
    """What is known of a request so far, for the answer and the record of it."""

    service: Service = "s3"
    operation: str = ""
    request_id: str = ""
    caller: Caller = ANONYMOUS
    body: RequestBody | NoBody | None = None
    ticket: Ticket | None = None
    overloaded: bool = False
    code: str = ""
    denied: list[Denied] = field(default_factory=list[Denied])
    why: str = ""  # of an AccessDenied


class Gate:
    """One a worker. ``authority`` raises ApiError NoSuchBucket for a bucket that does not exist; ``place`` gives None for it, and
    ``place_at_once`` for one that it would have to wait for, too.
    ``of_object`` is asked about objects in buckets where lists count: see ``Judge``.

    ``known`` gives, from an input, the condition values that are not in the request itself; ``existing``, from a resource and a
    version's id, those of what is there.
    """

    def __init__(
        self,
        *,
        register: Register,
        callers: Callers,
        place: Callable[[str], Awaitable[Place | None]],
        place_at_once: Callable[[str], Place | None],
        authority: Callable[[str, str, About | None], Awaitable[Authority]],
        of_object: Callable[[str, str | None], Awaitable[Governed | None]],
        known: Callable[[Mapping[str, Any]], Awaitable[Told]],
        existing: Callable[[str, str | None], Awaitable[Told]],
        settings: EdgeSettings,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes] = os.urandom,
        observe: Observe | None = None,
    ) -> None:
        self._register = register
        self._callers = callers
        self._place = place
        self._place_at_once = place_at_once
        self._authority = authority
        self._of_object = of_object
        self._known = known
        self._existing = existing
        self._settings = settings
        self._clock = clock
        self._random = random
        self._observe = observe
        self._router = Router(settings.domains)
        self._codec = Codec()
        self.load = Load(settings.ceilings)
        self._keys = SigningKeys()
        self._denials = DenialLog()
        self._host_id = base64.b64encode(random(48)).decode()

    # ---------------------------------------------------------------------------------------------------- the eight steps

    async def handle(self, head: Head, raw: RawBody) -> Reply:
        """Answer one request. Never raises but for cancellation; a streamed answer may fail later, and must then be cut off."""
        started = time.perf_counter()
        trail = _Trail(service=guess_service(head) if head.path == "/" else "s3")
        trail.request_id = self._request_id(trail.service)
        try:
            # 1. head
            ticket = trail.ticket = self.load.enter()
            check_head(head)
            now = self._clock()
            claim = None if head.method == PREFLIGHT else self._claim(head, trail.service)
            # 2. route
            asked = head.query if claim is None or claim.own_query is None else claim.own_query
            headers = sigv4.carried_headers(asked, head.headers) if asked else head.headers
            route = self._router.route(head.method, head.path, asked, headers, "" if claim is None else claim.service)
            trail.service, trail.operation = route.service, route.operation
            form: PostedForm | None = None
            if self._codec.takes_form(route):
                form = await self._form(trail, ticket, route, claim, head, headers, raw)
                claim, route, headers, asked = form.claim, form.route, form.headers, ""
            document: bytes | None = None
            if route.service not in _S3:
                route, document = await self._front_end(trail, ticket, route, claim, head, raw)
            operation = self._register.find(route.service, route.operation)
            place = None
            if route.bucket:
                place = self._place_at_once(route.bucket) or await self._place(route.bucket)
            # 3. caller
            credential = None
            if claim is not None:
                self._check_scope(claim, route, operation, place, now)
                credential = self._callers.cached(claim.access_key_id)
                if credential is None:
                    credential = await self._find(claim, REFUSALS[route.service])
                _check_credential(credential, claim, route, now)
            elif route.service != "s3":
                raise REFUSALS[route.service].missing()  # noqa: TRY301
            caller = trail.caller = ANONYMOUS if credential is None else credential.caller
            # 4. verify
            payload = sha256(document).hexdigest() if document is not None else sigv4.payload_hash(claim, headers)
            signer = None
            if claim is not None and credential is not None:
                signer = self._verify(claim, head, payload, credential, route.service)
                if form is not None:
                    form.check_policy(now)
            ticket.proven(caller.access_key_id, head.client_ip)
            if operation is None:
                raise self._codec.not_built(route.service, route.operation)  # noqa: TRY301 - the eight steps stand in one function
            if route.bucket and place is None and operation.need.on not in _PLACELESS:
                raise ApiError("NoSuchBucket", BucketName=route.bucket)  # noqa: TRY301 - before the body is read, whatever it holds
            kind = self._codec.body_kind(route.service, route.operation)
            if trail.body is None:
                bare = kind == "none" and has_no_body(headers, payload)
                trail.body = NO_BODY if bare else self._body(raw, headers, payload, signer, route, kind)
            body = trail.body
            if isinstance(body, RequestBody):
                body.turn = ticket.hold(body.length)
            # 5. decode
            if document is None:
                headers = without_chunked(headers)
                check_metadata(headers)
                if kind != "stream" and body is not NO_BODY:
                    document = await body.read(
                        LIST_DOCUMENT_MOST if head.method == "POST" else DOCUMENT_MOST, "MaxMessageLengthExceeded"
                    )
            given = self._codec.decode(route, asked, headers, None if kind == "stream" else document)
            # 6. decide
            region = self._region(claim, place)
            standing = ROOT if credential is None else credential.standing
            weighed = has_policies(standing) or (place is not None and place.authority.policies)
            known: Told = await self._known(given) if weighed else {}
            asked_of = partial(RequestValues, caller, head, headers, claim, given, route.key, region, now, known)
            version_id = given.get("VersionId")
            ways = (self._authority, asked_of, self._existing, trail.denied, self._of_object)
            judge = Judge(caller, standing, *ways, version_id)
            if "ExpectedBucketOwner" in given:
                check_owner(given["ExpectedBucketOwner"], route.bucket, place)
            if place is not None and place.requester_pays and operation.need.on not in _PLACELESS:
                check_request_payer(caller, place.account_id, headers)
            if not judge.decide_at_once(operation.need, route, place, with_version=bool(version_id)):
                await judge.decide(operation.need, route, place, with_version=bool(version_id))
            # 7. run
            call = Call(
                operation=operation,
                input=given,
                caller=caller,
                allow=judge,
                body=body,
                region=region,
                now=now,
                request_id=trail.request_id,
                base_url=f"{head.scheme}://{head.headers.get('host', '')}",
                virtual_host=route.virtual_host,
                secure=self._is_secure(head),
                source_ip=head.client_ip,
                headers=headers,
                signed_v4=claim is not None,
            )
            answer = await operation.run(call)
            if operation.need.on == "run" and not judge.asked:
                raise RuntimeError(f"{operation.name} ran without asking for the right it needs")  # noqa: TRY301
            # 8. answer
            encoded = self._codec.encode(route.service, route.operation, answer, trail.request_id, self._host_id)
            reply = _reply(encoded, answer, head)
            if reply.length is not None:
                await hold_answer(reply, ticket)
        except ApiError as error:
            reply = self._refuse(error, trail, head)
        except Overloaded:
            trail.overloaded = True
            reply = self._refuse(REFUSALS[trail.service].too_much(), trail, head)
        except Unavailable as error:
            _LOG.warning("store unavailable", request_id=trail.request_id, operation=trail.operation, exc_info=error)
            reply = self._refuse(ApiError("ServiceUnavailable"), trail, head)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client learns nothing but the request id
            _LOG.error("internal error", request_id=trail.request_id, operation=trail.operation, exc_info=error)
            reply = self._refuse(ApiError("InternalError"), trail, head)
        except CancelledError:
            if trail.ticket is not None:
                trail.ticket.release()
            raise
        finally:
            if trail.body is not None and not trail.body.ended:
                await trail.body.close()
            if trail.ticket is not None:
                trail.ticket.let_go()
        if trail.denied or trail.why:
            self._denials.tell(trail.denied, trail.why, trail.request_id, trail.operation, trail.caller.arn)
        if "origin" in head.headers and head.method != PREFLIGHT and trail.service == "s3":
            reply.headers += await cross_origin_headers(head, self._router, self._place)
        if self._observe is not None:
            self._record(self._observe, trail, head, reply, time.perf_counter() - started)
        if trail.ticket is not None:
            until_sent(reply, trail.ticket)
        if reply.status in _REFUSED or trail.overloaded:
            reply.refused = trail.overloaded or trail.ticket is None or not trail.ticket.caller
            wait = self.load.held_back(trail.ticket, head.client_ip, time.monotonic(), overloaded=trail.overloaded)
            if wait:
                await sleep(wait)
        return reply

    # ------------------------------------------------------------------------------------------------------ who is calling

    def _claim(self, head: Head, service: Service) -> Claim | None:
        if "authorization" in head.repeated:
            raise ApiError("NotImplemented", Header="Authorization")
        return read_claim(head, REFUSALS[service])

    def _check_scope(self, claim: Claim, route: Route, operation: Operation | None, place: Place | None, now: datetime) -> None:
        """Whether a claim is of now, and for this service and region. Raises ApiError."""
        refusals = REFUSALS[route.service]
        sigv4.check_time(claim, now, refusals)
        bound = place is not None and (operation is None or operation.need.on != "service")
        regions = self._settings.regions
        if regions and route.service in {"iam", "sts"}:
            regions = (*regions, "us-east-1")  # clients sign for the global endpoints with it
        scope = "s3" if route.service in _S3 else route.service
        sigv4.check_scope(claim, scope, place.region if bound and place else None, regions, refusals)

    async def _find(self, claim: Claim, refusals: Refusals) -> Credential:
        """The credential that a claim names. Raises ApiError."""
        if not claim.access_key_id.startswith(SESSION_KEY) or claim.token is None:
            credential = await self._callers.credential(claim.access_key_id)
        else:
            try:
                credential = await self._callers.session(claim.access_key_id, claim.token)
            except BadToken:
                raise refusals.bad_token(claim.token) from None
        if credential is None:
            raise refusals.unknown_access_key(claim.access_key_id)
        return credential

    def _verify(self, claim: Claim, head: Head, payload: str, credential: Credential, service: Service) -> ChunkSigner | None:
        """Check the signature; what the body's chunks are signed with, if they are."""
        refusals = REFUSALS[service]
        key = self._keys.find(claim.credential, credential.secret_access_key)
        if claim.policy is not None:
            sigv4.check_form_signature(claim, key, refusals)
        else:
            sigv4.check_signed_headers(claim, head.headers, refusals)
            sigv4.check_signature(claim, head, payload, key, refusals)
        sigv4.check_token(claim, credential.session_token, refusals)
        if payload in {sigv4.STREAMING_SIGNED, sigv4.STREAMING_SIGNED_TRAILER}:
            return ChunkSigner(key, claim.timestamp, claim.scope, claim.signature)
        return None

    def _region(self, claim: Claim | None, place: Place | None) -> str:
        if claim is not None:
            return claim.region
        if place is not None:
            return place.region
        return self._settings.regions[0] if self._settings.regions else "us-east-1"

    def _is_secure(self, head: Head) -> bool:
        if head.scheme == "https" or self._settings.plain_http_secrets == "allow":
            return True
        loopback = head.client_ip.startswith(_LOOPBACK) or head.client_ip == "::1"
        return self._settings.plain_http_secrets == "loopback" and loopback

    # ------------------------------------------------------------------------------------------------------------ the body

    async def _form(
        self, trail: _Trail, ticket: Ticket, route: Route, claim: Claim | None, head: Head, headers: dict[str, str], raw: RawBody
    ) -> PostedForm:
        """The form of a form upload, read up to its file: it says who signed what, and its fields stand for the headers."""
        refusals = REFUSALS[route.service]
        file = FormFile(headers, raw)
        if claim is not None:
            raise refusals.both(headers.get("authorization", ""))
        ticket.unproven(head.client_ip)
        ticket.hold(None)
        form = await PostedForm.read(file, route, headers, refusals, self._settings.pace)
        promises = read_promises(form.headers, sigv4.UNSIGNED)
        promises.wire_length = promises.length = None  # the end of the form tells
        trail.body = RequestBody(file, promises, self._settings.pace)
        return form

    async def _front_end(
        self, trail: _Trail, ticket: Ticket, route: Route, claim: Claim | None, head: Head, raw: RawBody
    ) -> tuple[Route, bytes]:
        """A KMS, IAM or STS call: its signature covers the digest of its whole body, and a form's body names the operation."""
        if route.service == "kms" and not is_modelled(route):
            raise self._codec.not_built(route.service, route.operation)
        if claim is None:
            raise REFUSALS[route.service].missing()
        if route.service == "kms" and not self._is_secure(head):
            raise ApiError("AccessDenied", "Requests to KMS must be made over a secure connection.")
        trail.body = RequestBody(raw, read_promises(head.headers, sigv4.UNSIGNED, checksummed=False), self._settings.pace)
        ticket.unproven(head.client_ip)
        trail.body.turn = ticket.hold(trail.body.length)
        document = await trail.body.read(DOCUMENT_MOST)
        if not route.operation:
            route = self._router.action(route, document)
            trail.service, trail.operation = route.service, route.operation
        return route, document

    def _body(
        self, raw: RawBody, headers: dict[str, str], payload: str, signer: ChunkSigner | None, route: Route, kind: str
    ) -> RequestBody:
        promises = read_promises(headers, payload, checksummed=describes_body(route.service, route.operation))
        if kind == "stream" and (promises.length is None or ("content-length" not in headers and promises.streaming is None)):
            raise ApiError("MissingContentLength")
        return RequestBody(raw, promises, self._settings.pace, signer)

    # ---------------------------------------------------------------------------------------------------------- the answer

    def _request_id(self, service: Service) -> str:
        """16 upper-case letters and digits for S3, a UUID for the others."""
        if service in _S3:
            return self._random(8).hex().upper()
        return str(UUID(bytes=self._random(16), version=4))

    def _refuse(self, error: ApiError, trail: _Trail, head: Head) -> Reply:
        trail.code = error.code
        if error.code == "AccessDenied":
            trail.why = error.why or error.message
        encoded = self._codec.encode_error(trail.service, error, trail.request_id, self._host_id, head=head.method == "HEAD")
        return Reply(encoded.status, [*encoded.headers, _SERVER], encoded.body)

    @staticmethod
    def _record(observe: Observe, trail: _Trail, head: Head, reply: Reply, seconds: float) -> None:
        seen = Seen(
            trail.request_id,
            trail.service,
            trail.operation,
            reply.status,
            trail.code,
            seconds,
            trail.body.length if trail.body is not None else None,
            len(reply.body) if isinstance(reply.body, bytes) else reply.length,
            trail.caller,
            head,
            reply.headers,
        )
        observe(seen, reply)


def _check_credential(credential: Credential, claim: Claim, route: Route, now: datetime) -> None:
    """Whether it is still good, and for this service. Raises ApiError."""
    if credential.expires_ms is not None and now.timestamp() * 1000 >= credential.expires_ms:
        raise REFUSALS[route.service].expired_token(claim.token or "")
    if route.service in credential.closed:
        raise REFUSALS[route.service].unknown_access_key(claim.access_key_id)


def _reply(encoded: Encoded, answer: Answer, head: Head) -> Reply:
    headers = encoded.headers
    headers.append(_SERVER)
    if isinstance(encoded.body, bytes):
        return Reply(encoded.status, headers, b"" if head.method == "HEAD" else encoded.body)
    if answer.length is None:
        raise RuntimeError("a streamed answer must tell its length, else a failure in its middle would look like its end")
    return Reply(encoded.status, headers, encoded.body, answer.length)
