"""The request DescribeQuorum, which aiokafka does not have."""

from typing import Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields


class _DescribeQuorumResponse(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY: ClassVar[int] = 55
    API_VERSION: ClassVar[int] = 0
    _REPLICAS = CompactArray(("id", Int32), ("end", Int64), ("tags", TaggedFields))
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("number", Int32),
                        ("error_code", Int16),
                        ("leader", Int32),
                        ("epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorumStruct(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    API_KEY: ClassVar[int] = 55
    API_VERSION: ClassVar[int] = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _DescribeQuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("partitions", CompactArray(("number", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeQuorum(Request[_DescribeQuorumStruct]):  # type: ignore[misc]  # aiokafka has no types
    """Asks any node which controllers there are, and who leads them. The leader of them answers."""

    API_KEY: ClassVar[int] = 55

    def build(self, request_struct_class: Any) -> Any:
        """See Request."""
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})
