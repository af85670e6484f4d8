"""Errors that domain rules raise, whoever calls them: a page, an API, a handler or a job."""


class Rejected(Exception):
    """A domain rule rejects a command; `sentence` (Chinese) tells a person why.

    Pages and APIs answer with `status` and name the form field `field`; a handler dead-letters
    the event with the sentence as its reason.
    """

    def __init__(
        self,
        sentence: str,
        *,
        status: int = 409,
        field: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.field = field


class DependencyMissing(Exception):
    """An event refers to something that another topic has not delivered yet.

    The consumer retries the event and dead-letters it after the last attempt.
    """
