"""Presigned URLs (Signature Version 4 in the query, UNSIGNED-PAYLOAD), made fast because a run needs over 100,000 of them.

Source: "Authenticating Requests: Using Query Parameters", Amazon S3 API Reference.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote

REGION: Final = "us-east-1"
EXPIRES: Final = 3600  # seconds; longer than any run


@dataclass(frozen=True, slots=True)
class Signer:
    host: str  # as the Host header has it
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = REGION

    def presigned(self, method: str, bucket: str, keys: list[str], **query: str) -> list[str]:
        """Request targets (path and query), one for each key; the key "" names the bucket itself."""
        now = datetime.now(UTC)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        scope = f"{day}/{self.region}/s3/aws4_request"
        parameters = query | {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access_key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(EXPIRES),
            "X-Amz-SignedHeaders": "host",
        }
        asked = "&".join(f"{quote(name, safe='')}={quote(parameters[name], safe='')}" for name in sorted(parameters))
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        targets: list[str] = []
        for object_key in keys:
            path = f"/{bucket}/{quote(object_key)}" if object_key else f"/{bucket}"
            canonical = f"{method}\n{path}\n{asked}\nhost:{self.host}\n\nhost\nUNSIGNED-PAYLOAD"
            text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
            targets.append(f"{path}?{asked}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}")
        return targets
