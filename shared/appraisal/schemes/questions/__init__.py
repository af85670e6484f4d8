"""The kinds of questions (题型) on a questionnaire, one module each.

A kind reads what a respondent entered, validates it, says which answers enter the score, and
explains the tally. Pages and paper forms render it with the template that it names. To add a kind,
write its module and add it to `AnyQuestion`.

Answers travel and are counted as numbers (`option_no`); free text never leaves intake.
"""

from shared.appraisal.schemes.questions.base import Choice, Question
from shared.appraisal.schemes.questions.free_text import FreeTextQuestion
from shared.appraisal.schemes.questions.multiple_choice import MultipleChoiceQuestion
from shared.appraisal.schemes.questions.reason import ReasonQuestion
from shared.appraisal.schemes.questions.scale import ScaleQuestion
from shared.appraisal.schemes.questions.single_choice import SingleChoiceQuestion

__all__ = ["AnyQuestion", "Choice", "Question"]

AnyQuestion = (
    SingleChoiceQuestion
    | ScaleQuestion
    | MultipleChoiceQuestion
    | ReasonQuestion
    | FreeTextQuestion
)
"""A question of any kind, told apart by `kind` in the scheme document."""
