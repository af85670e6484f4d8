"""Creating Kafka's users and rules, which aiokafka's own client cannot do."""

from collections.abc import Collection, Iterable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
    DescribeAclsRequest_v1,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from shared.messaging.kafka_access import AccessRule, ScramCredential

SCRAM_SHA_512 = 2
ANY = 1
ANY_HOST = "*"
ALLOW = 3
NO_TAGS: dict[int, bytes] = {}


class KafkaAdmin:
    """Users and rules of a cluster, through a connection that the administrator opened."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def store_users(self, credentials: Iterable[ScramCredential]) -> None:
        """Create users or replace their passwords."""
        upserts = [_upsert(each) for each in credentials]
        response = await self._send(_AlterScram(upserts))
        for _, code, message, _ in response.results:
            _raise_for(code, message)

    async def rules_of(self, users: Collection[str]) -> set[AccessRule]:
        """Return the rules that these users have."""
        response = await self._send(_DescribeAcls())
        _raise_for(response.error_code, response.error_message)
        found: set[AccessRule] = set()
        for resource, name, pattern, acls in response.resources:
            for principal, _, operation, permission in acls:
                user = principal.removeprefix("User:")
                if user in users and permission == ALLOW:
                    found.add(AccessRule(user, operation, resource, name, pattern))
        return found

    async def add_rules(self, rules: Iterable[AccessRule]) -> None:
        """Add rules; those that exist stay."""
        response = await self._send(_CreateAcls([_acl(rule) for rule in sorted(rules)]))
        for code, message in response.creation_responses:
            _raise_for(code, message)

    async def remove_rules(self, rules: Iterable[AccessRule]) -> None:
        """Remove rules; those that do not exist are ignored."""
        response = await self._send(_DeleteAcls([_acl(rule) for rule in sorted(rules)]))
        for code, message, _ in response.filter_responses:
            _raise_for(code, message)

    async def _send(self, request: "Request[Any]") -> Any:
        # Brokers pass it on to the controller.
        return await self._client._send_request(request)  # noqa: SLF001


def _raise_for(code: int, message: str | None) -> None:
    if code:
        error: type[KafkaError] = for_code(code)
        raise error(message or "")


def _acl(rule: AccessRule) -> tuple[Any, ...]:
    principal = f"User:{rule.user}"
    return (rule.resource, rule.name, rule.pattern, principal, ANY_HOST, rule.operation, ALLOW)


def _upsert(credential: ScramCredential) -> tuple[Any, ...]:
    user, iterations, salt, salted_password = credential
    return (user, SCRAM_SHA_512, iterations, salt, salted_password, NO_TAGS)


class _AlterScramResponse(Response):  # type: ignore[misc]
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScramStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterScramResponse
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("tags", TaggedFields),
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterScram(Request[_AlterScramStruct]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, upserts: list[tuple[Any, ...]]) -> None:
        self._upserts = upserts

    def build(self, request_struct_class: type[_AlterScramStruct]) -> _AlterScramStruct:
        return request_struct_class([], self._upserts, NO_TAGS)


class _DescribeAcls(Request[DescribeAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = 29

    def build(self, request_struct_class: type[DescribeAclsRequest_v1]) -> DescribeAclsRequest_v1:
        return request_struct_class(ANY, None, ANY, None, None, ANY, ANY)


class _CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = 30

    def __init__(self, acls: list[tuple[Any, ...]]) -> None:
        self._acls = acls

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._acls)


class _DeleteAcls(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]
    API_KEY = 31

    def __init__(self, acls: list[tuple[Any, ...]]) -> None:
        self._acls = acls

    def build(self, request_struct_class: type[DeleteAclsRequest_v1]) -> DeleteAclsRequest_v1:
        return request_struct_class(self._acls)
