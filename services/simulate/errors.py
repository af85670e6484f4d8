"""How a request of the simulator can fail."""


class RequestRejected(Exception):
    """The system rejected the request. `sentence` is the message for a person."""

    def __init__(self, status: int, sentence: str, field: str = "") -> None:
        super().__init__(f"{status}: {sentence}")
        self.status = status
        self.sentence = sentence
        self.field = field


class Unanswered(Exception):
    """There was no answer after the last attempt: the outcome of a write is unknown."""
