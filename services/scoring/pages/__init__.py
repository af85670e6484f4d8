"""The pages of scoring, by whom they are for."""

from shared.web import Door

doors: list[Door] = []
