"""A client of the public HTTP API. Each write carries an idempotency key and is retried with the
same key until it is answered.
"""

import asyncio
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx2

from services.simulate.errors import RequestRejected, Unanswered

ATTEMPTS_MAX: Final = 10
PAUSE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 5.0
TIMEOUT_SECONDS: Final = 15.0
RETRY_AFTER_SECONDS_MAX: Final = 60.0
CONNECTIONS_MAX: Final = 64
PAGE_MAX: Final = 200
_ROOT: Final = uuid5(NAMESPACE_URL, "fengping/simulate")

Json = dict[str, Any]
Ballot = Sequence[tuple[int, int, int]]
"""(unit_no, item_no, option_no) for each answer."""


def id_of(*words: object) -> UUID:
    """Return an id or idempotency key that is always the same for the same words."""
    return uuid5(_ROOT, "/".join(map(str, words)))


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response. `replayed`: the system recognised a repetition; `attempts`: requests sent."""

    status: int
    body: Any = field(repr=False)
    replayed: bool
    attempts: int


class Client:
    """An anonymous or signed-in client. Clients made by `sign_in` share its connections.

    `source` is the local address to connect from.
    """

    def __init__(
        self,
        base_url: str,
        *,
        source: str | None = None,
        attempts_max: int = ATTEMPTS_MAX,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.attempts_max = attempts_max
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            transport=transport or _transport(source),
        )
        self._token: str | None = None
        self._credentials: tuple[str, str] | None = None
        self._signing_in = asyncio.Lock()
        self.account: Json = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def session_token(self) -> str:
        """The bearer token, for programs that send their own requests."""
        if self._token is None:
            raise RequestRejected(401, "not signed in")
        return self._token

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self, name: str, password: str) -> "Client":
        """Return a client signed in as this account; a lost session is opened again.

        Raises RequestRejected (401).
        """
        client = copy.copy(self)
        await client.authenticate(name, password)
        return client

    async def authenticate(self, name: str, password: str) -> None:
        """Sign this client in. Raises RequestRejected (401)."""
        self._token = None
        self._credentials = (name, password)
        self._signing_in = asyncio.Lock()
        await self._open_session(None)

    async def _open_session(self, lost: str | None) -> None:
        """Sign in again, once for all requests that found the session `lost`.

        Concurrent attempts would count as guesses at the password.
        """
        assert self._credentials, "an anonymous client has no session"
        name, password = self._credentials
        async with self._signing_in:
            if self._token != lost:
                return
            self._token = None
            credentials = {"name": name, "password": password}
            answer = await self._send("POST", "/intake/api/sessions", json=credentials)
            self._token = answer.body["token"]
            self.account = answer.body["account"]

    # ── sending ───────────────────────────────────────────────────────────────────────────────────

    async def read(self, path: str, **query: Any) -> Any:
        """Return the JSON at `path`; parameters that are None are left out.

        Raises RequestRejected, Unanswered.
        """
        params = {name: value for name, value in query.items() if value is not None}
        response = await self._with_session("GET", path, params=params)
        return response.body

    async def write(
        self,
        path: str,
        body: Any,
        *,
        key: object,
        method: str = "POST",
    ) -> ApiResponse:
        """Send `body` under the idempotency key `key` until there is an answer.

        Raises RequestRejected, Unanswered.
        """
        return await self._with_session(
            method,
            path,
            json=body,
            headers={"Idempotency-Key": str(key)},
        )

    async def text(self, path: str, **query: Any) -> str:
        """Return a page or metrics as text."""
        response = await self._with_session("GET", path, params=query)
        return str(response.body)

    async def form(self, path: str, fields: Mapping[str, str]) -> tuple[int, str]:
        """Submit a public form as a browser does and return the final status and page.

        Raises Unanswered.
        """
        try:
            response = await self._http.post(
                path,
                data=dict(fields),
                headers={"sec-fetch-site": "same-origin"},
                follow_redirects=True,
            )
        except httpx2.TransportError as error:
            raise Unanswered(f"POST {path}") from error
        return response.status_code, response.text

    async def _with_session(self, method: str, path: str, **options: Any) -> ApiResponse:
        token = self._token
        try:
            return await self._send(method, path, **options)
        except RequestRejected as rejected:
            if rejected.status != 401 or not self._credentials:
                raise
        await self._open_session(token)
        return await self._send(method, path, **options)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ApiResponse:
        headers = self._with_token(headers or {})
        reason = "no answer"
        for attempt in range(1, self.attempts_max + 1):
            response = await self._request(method, path, headers=headers, **options)
            if response is not None:
                if not _is_retryable(response):
                    return _parse(response, attempt)
                reason = f"status {response.status_code}"
            if attempt < self.attempts_max:
                await asyncio.sleep(_pause_seconds(response, attempt))
        raise Unanswered(f"{method} {path}: {reason}")

    def _with_token(self, headers: Mapping[str, str]) -> dict[str, str]:
        if self._token is None:
            return dict(headers)
        return {**headers, "Authorization": f"Bearer {self._token}"}

    async def _request(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        try:
            return await self._http.request(method, path, **options)
        except httpx2.TransportError:
            return None

    # ── intake ────────────────────────────────────────────────────────────────────────────────────

    async def register_complaint(self, complaint: Json, *, key: object) -> ApiResponse:
        """登记. The response has `id`, `number` and `query_code`."""
        return await self.write("/intake/api/complaints", complaint, key=key)

    async def ask_progress(self, number: str, query_code: str) -> tuple[int, str]:
        """Return status and page of 办理进度, as a complainant queries it."""
        return await self.form("/p/query", {"number": number, "code": query_code})

    async def rate_handling(
        self,
        number: str,
        query_code: str,
        *,
        option: int,
        reason: str = "",
    ) -> int:
        """来件人评价. Return the status of the response."""
        fields = {"number": number, "code": query_code, "option": str(option), "reason": reason}
        status, _ = await self.form("/p/rating", fields)
        return status

    async def request_codes(
        self,
        campaign_id: str,
        instrument: str,
        group: str,
        count: int,
    ) -> str:
        """Request a batch of single-use questionnaire codes; return its id."""
        body = {
            "campaign_id": campaign_id,
            "instrument": instrument,
            "group": group,
            "count": count,
        }
        answer = await self.write("/intake/api/token-batches", body, key=id_of(body))
        return str(answer.body["id"])

    async def open_codes(self, batch_id: str) -> list[str]:
        """Open a batch that another account requested; return its codes."""
        path = f"/intake/api/token-batches/{batch_id}/codes"
        answer = await self.write(path, {}, key=id_of(path))
        return [str(code) for code in answer.body["codes"]]

    async def submit_ballot(self, token: str, answers: Ballot, *, key: object) -> ApiResponse:
        """Submit a ballot with a code."""
        ballot = {"token": token, "answers": list(answers)}
        return await self.write("/intake/api/ballots", ballot, key=key)

    async def submit_visit(self, visit_id: UUID, visit: Json) -> ApiResponse:
        """Submit an inspection visit; its id is the idempotency key."""
        return await self.write(f"/intake/api/visits/{visit_id}/commit", visit, key=visit_id)

    async def campaigns(self) -> list[Json]:
        """Return the campaigns that intake knows."""
        found: list[Json] = await self.read("/intake/api/campaigns")
        return found

    # ── casework ──────────────────────────────────────────────────────────────────────────────────

    async def cases(self, **query: Any) -> tuple[list[Json], int]:
        """Return the cases of a page and their total number; `state` may be a list."""
        filters = {"size": PAGE_MAX, **query}
        page = await self.read("/casework/api/cases", **filters)
        return page["cases"], page["total"]

    async def case(self, number: str) -> Json:
        """Return a case with all its details."""
        found: Json = await self.read(f"/casework/api/cases/{number}")
        return found

    async def act(self, number: str, resource: str, body: Json, *, key: object) -> ApiResponse:
        """Post to a resource of a case: acceptance, submission, extension/approval …"""
        return await self.write(f"/casework/api/cases/{number}/{resource}", body, key=key)

    async def accept_case(self, number: str, *, key: object) -> ApiResponse:
        """签收."""
        return await self.act(number, "acceptance", {}, key=key)

    async def submit_result(self, number: str, result: Json, *, key: object) -> ApiResponse:
        """办结送审: account, finding, measures, reply."""
        return await self.act(number, "submission", result, key=key)

    async def review_case(
        self,
        number: str,
        *,
        approve: bool,
        opinion: str,
        key: object,
    ) -> ApiResponse:
        """审核."""
        review = {"approve": approve, "opinion": opinion}
        return await self.act(number, "review", review, key=key)

    async def obligations(self) -> list[Json]:
        """Return the obligations of units (方案、自评报告 …)."""
        found: list[Json] = await self.read("/casework/api/obligations")
        return found

    # ── scoring ───────────────────────────────────────────────────────────────────────────────────

    async def publish_campaign(self, campaign: Json, *, key: object) -> Json:
        """Create and publish a campaign."""
        response = await self.write("/scoring/api/campaigns", campaign, key=key)
        created: Json = response.body
        return created

    async def campaign(self, campaign_id: str) -> tuple[Json, str]:
        """Return a campaign with its units, and its rules as JSON text."""
        rules = await self.read(f"/scoring/api/campaigns/{campaign_id}/rules")
        campaign = await self.read(f"/scoring/api/campaigns/{campaign_id}")
        return campaign, json.dumps(rules, ensure_ascii=False)

    async def board(self, campaign_id: str, category: str = "") -> list[Json]:
        """Return the running scores by category, each with its `units`, best first."""
        board = await self.read(f"/scoring/api/campaigns/{campaign_id}/board", category=category)
        categories: list[Json] = board["categories"]
        return categories

    # ── notify ────────────────────────────────────────────────────────────────────────────────────

    async def unread(self) -> int:
        """Return the number of unseen open notifications; counting stops at 100."""
        counted = await self.read("/notify/api/notifications/unread")
        return int(counted["unread"])

    async def notifications(
        self,
        *,
        number: str | None = None,
        after: str | None = None,
    ) -> list[Json]:
        """Return the notifications of the account, oldest first."""
        page = await self.read(
            "/notify/api/notifications",
            number=number,
            after=after,
            limit=PAGE_MAX,
        )
        found: list[Json] = page["notifications"]
        return found


def _transport(source: str | None) -> httpx2.AsyncHTTPTransport:
    limits = httpx2.Limits(
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX,
    )
    return httpx2.AsyncHTTPTransport(local_address=source, limits=limits)


def _is_retryable(response: httpx2.Response) -> bool:
    return response.status_code == 429 or response.status_code >= 500


def _pause_seconds(response: httpx2.Response | None, attempt: int) -> float:
    backoff: float = min(PAUSE_SECONDS * 2 ** (attempt - 1), PAUSE_SECONDS_MAX)
    if response is not None and response.status_code == 429:
        retry_after = float(response.headers.get("retry-after", backoff))
        return min(retry_after, RETRY_AFTER_SECONDS_MAX)
    return backoff


def _parse(response: httpx2.Response, attempts: int) -> ApiResponse:
    body = _body_of(response)
    if response.status_code >= 400:
        raise _rejection(response, body)
    replayed = response.headers.get("idempotency-replayed") == "true"
    return ApiResponse(response.status_code, body, replayed, attempts)


def _body_of(response: httpx2.Response) -> Any:
    is_json = "json" in response.headers.get("content-type", "")
    return response.json() if is_json and response.content else response.text


def _rejection(response: httpx2.Response, body: Any) -> RequestRejected:
    problem: Json = body if isinstance(body, dict) else {}
    errors = problem.get("errors") or ()
    first_error: Json = next(iter(errors), {})
    sentence = problem.get("detail") or response.reason_phrase
    field = first_error.get("field") or ""
    return RequestRejected(response.status_code, str(sentence), str(field))
