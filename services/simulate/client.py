"""A client of the public HTTP API, as patient as a phone: each write carries a key, and is repeated
with the same key until it is answered.

What it learns from an answer is all it knows: no service's code, no database.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx2

ATTEMPTS_MAX: Final = 10
PAUSE_SECONDS: Final = 0.2
PAUSE_SECONDS_MAX: Final = 5.0
TIMEOUT_SECONDS: Final = 15.0
CONNECTIONS_MAX: Final = 64
PAGE_MAX: Final = 200
_ROOT: Final = uuid5(NAMESPACE_URL, "fengping/simulate")

Json = dict[str, Any]
Ballot = Sequence[tuple[int, int, int]]
"""(unit_no, item_no, option_no) for each answer."""


def id_of(*words: object) -> UUID:
    """The id or idempotency key that always belongs to these words: the same intention is the same
    request, whoever sends it again.
    """
    return uuid5(_ROOT, "/".join(map(str, words)))


class RequestRejected(Exception):
    """The system understood and said no. `sentence` is what a person would read."""

    def __init__(self, status: int, sentence: str, field: str = "") -> None:
        super().__init__(f"{status}: {sentence}")
        self.status, self.sentence, self.field = status, sentence, field


class Unanswered(Exception):
    """No answer after the last attempt: whether the write took place is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `replayed`: the system recognised a repetition. `attempts`: how often it was
    sent.
    """

    status: int
    body: Any = field(repr=False)
    replayed: bool
    attempts: int


class Client:
    """One visitor, or one person signed in. Those made by `sign_in` share the connections of the
    client they come from.

    `source` is the local address to connect from; several loopback addresses stand for several
    places.
    """

    def __init__(
        self,
        base_url: str,
        *,
        source: str | None = None,
        attempts_max: int = ATTEMPTS_MAX,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url, self.attempts_max = base_url.rstrip("/"), attempts_max
        limits = httpx2.Limits(
            max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX
        )
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            transport=transport or httpx2.AsyncHTTPTransport(local_address=source, limits=limits),
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
        """The bearer token of whoever is signed in, for programs that send requests of their own."""
        if self._token is None:
            raise RequestRejected(401, "nobody is signed in")
        return self._token

    async def close(self) -> None:
        await self._http.aclose()

    async def sign_in(self, name: str, password: str) -> "Client":
        """The same door, entered by this person. A session that was lost is opened again. Raises
        RequestRejected (401).
        """
        person = object.__new__(Client)
        person.base_url, person.attempts_max, person._http = (
            self.base_url,
            self.attempts_max,
            self._http,
        )
        person._token, person._credentials, person._signing_in = (
            None,
            (name, password),
            asyncio.Lock(),
        )
        await person._open_session(None)
        return person

    async def _open_session(self, lost: str | None) -> None:
        """Sign in again, once, however many requests found the session `lost`: more at once would
        be taken for guesses at the password.
        """
        assert self._credentials, "only a person can sign in"
        name, password = self._credentials
        async with self._signing_in:
            if self._token != lost:
                return
            self._token = None
            answer = await self._send(
                "POST", "/intake/api/sessions", json={"name": name, "password": password}
            )
            self._token, self.account = answer.body["token"], answer.body["account"]

    # ── sending ───────────────────────────────────────────────────────────────────────────────────

    async def read(self, path: str, **query: Any) -> Any:
        """The JSON at `path`. Parameters that are None are left out. Raises RequestRejected, Unanswered."""
        return (
            await self._as_person(
                "GET",
                path,
                params={name: value for name, value in query.items() if value is not None},
            )
        ).body

    async def write(self, path: str, body: Any, *, key: object, method: str = "POST") -> Answer:
        """Send `body` under the idempotency key `key`, again and again until there is an answer.
        Raises RequestRejected, Unanswered.
        """
        return await self._as_person(method, path, json=body, headers={"Idempotency-Key": str(key)})

    async def text(self, path: str, **query: Any) -> str:
        """A page or metrics, as text."""
        return str((await self._as_person("GET", path, params=query)).body)

    async def form(self, path: str, fields: Mapping[str, str]) -> tuple[int, str]:
        """Send a public form as a browser would and follow where it leads; gives status and page.
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

    async def _as_person(self, method: str, path: str, **options: Any) -> Answer:
        token = self._token
        try:
            return await self._send(method, path, **options)
        except RequestRejected as rejected:
            if rejected.status != 401 or not self._credentials:
                raise
        await self._open_session(token)
        return await self._send(method, path, **options)

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        signed = {
            **(headers or {}),
            **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        }
        for attempt in range(1, self.attempts_max + 1):
            pause = min(PAUSE_SECONDS * 2 ** (attempt - 1), PAUSE_SECONDS_MAX)
            try:
                response = await self._http.request(method, path, headers=signed, **options)
            except httpx2.TransportError:
                response = None
            if response is not None and response.status_code == 429:
                pause = min(float(response.headers.get("retry-after", pause)), 60.0)
            elif response is not None and response.status_code < 500:
                return _answer(response, attempt)
            if attempt < self.attempts_max:
                await asyncio.sleep(pause)
        raise Unanswered(
            f"{method} {path}: {f'status {response.status_code}' if response is not None else 'no answer'}"
        )

    # ── intake ────────────────────────────────────────────────────────────────────────────────────

    async def register_complaint(self, complaint: Json, *, key: object) -> Answer:
        """登记; the body has `id`, `number`, `query_code`, `redacted_summary`."""
        return await self.write("/intake/api/complaints", complaint, key=key)

    async def ask_progress(self, number: str, query_code: str) -> tuple[int, str]:
        """办理进度, as a complainant asks for it; status and page."""
        return await self.form("/p/query", {"number": number, "code": query_code})

    async def rate_handling(
        self, number: str, query_code: str, *, option: int, reason: str = ""
    ) -> int:
        """来件人评价; the status of the answer."""
        asked = {"number": number, "code": query_code, "option": str(option), "reason": reason}
        return (await self.form("/p/rating", asked))[0]

    async def issue_tokens(
        self, campaign_id: str, instrument: str, group: str, count: int, point: str | None = None
    ) -> list[str]:
        """Questionnaire codes of one use. An answer that was lost leaves a batch that nobody uses."""
        body = {
            "campaign_id": campaign_id,
            "instrument": instrument,
            "group": group,
            "point": point,
            "count": count,
        }
        answer = await self.write("/intake/api/token-batches", body, key=id_of(body))
        return [str(code) for code in answer.body["codes"]]

    async def submit_ballot(self, token: str, answers: Ballot, *, key: object) -> Answer:
        """Cast a ballot with a code."""
        return await self.write(
            "/intake/api/ballots", {"token": token, "answers": list(answers)}, key=key
        )

    async def submit_visit(self, visit_id: UUID, visit: Json) -> Answer:
        """Hand an inspection visit in; its id is its key."""
        return await self.write(f"/intake/api/visits/{visit_id}/commit", visit, key=visit_id)

    async def campaigns(self) -> list[Json]:
        """Campaigns that intake knows."""
        found: list[Json] = await self.read("/intake/api/campaigns")
        return found

    # ── casework ──────────────────────────────────────────────────────────────────────────────────

    async def cases(self, **query: Any) -> tuple[list[Json], int]:
        """(cases of the page, how many there are in all); `state` may be a list."""
        page = await self.read("/casework/api/cases", **{"size": PAGE_MAX, **query})
        return page["cases"], page["total"]

    async def case(self, number: str) -> Json:
        """A case, whole."""
        found: Json = await self.read(f"/casework/api/cases/{number}")
        return found

    async def act(self, number: str, what: str, body: Json, *, key: object) -> Answer:
        """Do something with a case; `what` is the last part of its address: acceptance, submission,
        extension/approval …
        """
        return await self.write(f"/casework/api/cases/{number}/{what}", body, key=key)

    async def accept_case(self, number: str, *, key: object) -> Answer:
        """签收."""
        return await self.act(number, "acceptance", {}, key=key)

    async def submit_result(self, number: str, result: Json, *, key: object) -> Answer:
        """办结送审: account, finding, measures, reply."""
        return await self.act(number, "submission", result, key=key)

    async def review_case(self, number: str, *, approve: bool, opinion: str, key: object) -> Answer:
        """审核."""
        return await self.act(number, "review", {"approve": approve, "opinion": opinion}, key=key)

    async def obligations(self) -> list[Json]:
        """Obligations of units (方案、自评报告 …)."""
        found: list[Json] = await self.read("/casework/api/obligations")
        return found

    # ── scoring ───────────────────────────────────────────────────────────────────────────────────

    async def publish_campaign(self, campaign: Json, *, key: object) -> Json:
        """Make and publish a campaign."""
        made: Json = (await self.write("/scoring/api/campaigns", campaign, key=key)).body
        return made

    async def campaign(self, campaign_id: str) -> tuple[Json, str]:
        """(a campaign with its units, its rules as JSON text)."""
        rules = await self.read(f"/scoring/api/campaigns/{campaign_id}/rules")
        return await self.read(f"/scoring/api/campaigns/{campaign_id}"), json.dumps(
            rules, ensure_ascii=False
        )

    async def board(self, campaign_id: str, category: str = "") -> list[Json]:
        """Running scores by category: each with `units`, best first."""
        found: list[Json] = (
            await self.read(f"/scoring/api/campaigns/{campaign_id}/board", category=category)
        )["categories"]
        return found

    # ── notify ────────────────────────────────────────────────────────────────────────────────────

    async def unread(self) -> int:
        """How many open notifications this person has not seen; counting stops at 100."""
        return int((await self.read("/notify/api/notifications/unread"))["unread"])

    async def notifications(
        self, *, number: str | None = None, after: str | None = None
    ) -> list[Json]:
        """Notifications for this person, oldest first."""
        page = await self.read(
            "/notify/api/notifications", number=number, after=after, limit=PAGE_MAX
        )
        found: list[Json] = page["notifications"]
        return found


def _answer(response: httpx2.Response, attempts: int) -> Answer:
    kind = response.headers.get("content-type", "")
    body = response.json() if "json" in kind and response.content else response.text
    if response.status_code >= 400:
        told = body if isinstance(body, dict) else {}
        wrong: Json = next(iter(told.get("errors") or ()), {})
        raise RequestRejected(
            response.status_code,
            str(told.get("detail") or response.reason_phrase),
            str(wrong.get("field") or ""),
        )
    return Answer(
        response.status_code, body, response.headers.get("idempotency-replayed") == "true", attempts
    )
