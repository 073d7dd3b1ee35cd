"""SSE-C outside of the choice: whose key a read or a listing brings, when one must be there, and what an answer says of it.

A customer's key lives for one request. Never knows how it locks a data key (``seal.customer``), or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.encryption import CUSTOMER_MEMBERS, CustomerKey, customer_key, sends_customer_key
from strongroom.seal.format import Mode

SOURCE_MEMBERS: Final = ("CopySourceSSECustomerAlgorithm", "CopySourceSSECustomerKey", "CopySourceSSECustomerKeyMD5")


def key_of_read(
    given: Mapping[str, Any], *, secure: bool, members: tuple[str, str, str] = CUSTOMER_MEMBERS
) -> CustomerKey | None:
    """The key that a read brings, or None. Its length is not looked at: a key of another length is a wrong key (facts 5.4.5).

    Raises ApiError as ``customer_key``.
    """
    if not sends_customer_key(given, members):
        return None
    algorithm, key, md5 = (given.get(member) for member in members)
    return customer_key(algorithm, key, md5, secure=secure, of_write=False)


def check_needed(mode: Mode, customer: CustomerKey | None) -> None:
    """An object under a customer's key is read with one, any other without (facts 4.8.2, 5.4.1). Raises ApiError InvalidRequest."""
    if mode == Mode.SSE_C and customer is None:
        raise ApiError(
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve "
            "the object.",
        )
    if mode != Mode.SSE_C and customer is not None:
        raise ApiError("InvalidRequest", "The encryption parameters are not applicable to this object.")


def wrong_key() -> ApiError:
    """Of a read (facts 5.4.3)."""
    text = "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
    return ApiError("AccessDenied", text)


def another_key() -> ApiError:
    """Of a part, or of the completion of an upload (facts 4.7.7)."""
    return ApiError("InvalidRequest", "The provided encryption parameters did not match the ones used originally.")


def customer_output(given: Mapping[str, Any]) -> dict[str, str]:
    """The members of an answer about an object under a customer's key: never the key (facts 4.1.2, 5.1.6)."""
    if given.get("SSECustomerKeyMD5") is None:
        return {}
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": given["SSECustomerKeyMD5"]}
