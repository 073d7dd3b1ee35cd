"""AWS's service models, loaded once from botocore: what operations exist and what their shapes are.

Read at start-up by the compilers of routes and codecs; nothing of botocore is touched while a request is served. Never
knows which operations are built.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.loaders import Loader
from botocore.model import ServiceModel

from strongroom.api.operation import Service

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape, StructureShape

SERVICES: Final[tuple[Service, ...]] = ("s3", "s3control", "kms", "iam", "sts")

#: Operations that look exactly like another on the wire: the deprecated spellings of S3's model and the directory-bucket
#: listing, which only its own host name tells apart. Requests are given to the operation on the right.
SUCCESSORS: Final[dict[str, str]] = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}


@cache
def _loader() -> Loader:
    """One for all: the first model that it loads has it look through the folders of all services, and it remembers what it saw."""
    return Loader(include_default_search_paths=False, extra_search_paths=[Loader.BUILTIN_DATA_PATH])


@cache
def service_model(service: Service) -> ServiceModel:
    """The model of one service; the newest API version botocore ships."""
    return ServiceModel(_loader().load_service_model(service, "service-2"), service)


@cache
def operation_names(service: Service) -> tuple[str, ...]:
    """Every operation of the model, in alphabetical order."""
    return tuple(sorted(service_model(service).operation_names))


@cache
def is_operation(service: Service, name: str) -> bool:
    return name in operation_names(service)


def operation_model(service: Service, name: str) -> OperationModel:
    """Raises LookupError for an operation that the model does not have."""
    if name not in operation_names(service):
        raise LookupError(f"{service} has no operation {name}")
    return service_model(service).operation_model(name)


def members(shape: Shape | None) -> dict[str, Shape]:
    """The members of a structure by name, or none."""
    return dict(cast("StructureShape", shape).members) if shape is not None else {}


def required(shape: Shape | None) -> tuple[str, ...]:
    return tuple(cast("StructureShape", shape).required_members) if shape is not None else ()


def trait(shape: Shape, name: str) -> Any:
    """A serialization trait of a member (``location``, ``name``, ``flattened``, ``payload``, ``xmlNamespace`` …), or None."""
    return shape.serialization.get(name)


def constraint(shape: Shape, name: str) -> Any:
    """A constraint of a shape (``min``, ``max``, ``pattern``, ``enum``, ``sensitive`` …), or None."""
    return shape.metadata.get(name)
