"""The closed set of facts: sums, capitals and colours, asked and answered in three languages.

An answer is right when it is, whole, one of the sentences that state the fact, in any language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from selfsteer.pocket.lexicon import LANGUAGES, Phrase

Split = Literal["train", "held_out"]

CAPITALS: tuple[tuple[Phrase, Phrase], ...] = (
    (("France", "la France", "Frankreich"), ("Paris", "Paris", "Paris")),
    (("Italy", "l'Italie", "Italien"), ("Rome", "Rome", "Rom")),
    (("Spain", "l'Espagne", "Spanien"), ("Madrid", "Madrid", "Madrid")),
    (("Austria", "l'Autriche", "Österreich"), ("Vienna", "Vienne", "Wien")),
    (("Poland", "la Pologne", "Polen"), ("Warsaw", "Varsovie", "Warschau")),
    (("Greece", "la Grèce", "Griechenland"), ("Athens", "Athènes", "Athen")),
    (("Sweden", "la Suède", "Schweden"), ("Stockholm", "Stockholm", "Stockholm")),
    (("Norway", "la Norvège", "Norwegen"), ("Oslo", "Oslo", "Oslo")),
    (("Egypt", "l'Égypte", "Ägypten"), ("Cairo", "Le Caire", "Kairo")),
    (("Russia", "la Russie", "Russland"), ("Moscow", "Moscou", "Moskau")),
    (("Hungary", "la Hongrie", "Ungarn"), ("Budapest", "Budapest", "Budapest")),
    (("Finland", "la Finlande", "Finnland"), ("Helsinki", "Helsinki", "Helsinki")),
)
COLOURS: tuple[tuple[Phrase, Phrase], ...] = (
    (("snow", "la neige", "Schnee"), ("white", "blanche", "weiß")),
    (("coal", "la houille", "Kohle"), ("black", "noire", "schwarz")),
    (("blood", "le sang", "Blut"), ("red", "rouge", "rot")),
    (("grass", "l'herbe", "Gras"), ("green", "verte", "grün")),
    (("gold", "l'or", "Gold"), ("yellow", "jaune", "gelb")),
    (("chestnut", "la châtaigne", "Kastanie"), ("brown", "brune", "braun")),
    (("ash", "la cendre", "Asche"), ("grey", "grise", "grau")),
    (("sapphire", "le saphir", "Saphir"), ("blue", "bleu", "blau")),
)
MAX_ADDEND = 6

QUESTIONS: dict[str, dict[Split, tuple[tuple[str, ...], ...]]] = {
    # per kind and split: one tuple of wordings a language; {x} {y} are the given slots
    "sum": {
        "train": (
            (
                "What is {x} plus {y}?",
                "{x} plus {y}?",
                "How much is {x} plus {y}?",
                "Add {x} and {y}.",
                "Tell me {x} plus {y}.",
                "Compute {x} + {y}.",
                "Can you work out {x} plus {y}?",
                "{x} + {y} = ?",
                "The sum of {x} and {y}?",
                "Please add {x} to {y}.",
                "{x} and {y} make what?",
                "What does {x} plus {y} give?",
                "I need {x} plus {y}.",
                "Please tell me what {x} and {y} are together.",
                "Give me the result of {x} + {y}.",
                "And {x} plus {y}?",
                "Sum: {x}, {y}.",
                "Do you get {x} plus {y}?",
                "Work out the total of {x} and {y}, please.",
            ),
            (
                "Combien font {x} plus {y} ?",
                "{x} plus {y} ?",
                "Calcule {x} plus {y}.",
                "Que font {x} et {y} ?",
                "Dis-moi {x} plus {y}.",
                "Peux-tu calculer {x} + {y} ?",
                "{x} et {y}, combien ?",
                "{x} et {y}, quel est le total ?",
                "{x} plus {y}, cela donne quoi ?",
                "{x} et {y}, cela donne ?",
                "{x} et {y}, dis-moi combien.",
                "Dis, combien font {x} et {y} ?",
                "La somme : {x} et {y} ?",
                "Combien de {x} plus {y} ?",
                "Ajoute {x} à {y}.",
                "S'il te plaît, {x} plus {y}.",
                "Donne le total de {x} et {y}.",
                "Cela fait combien, {x} plus {y} ?",
                "Il me faut {x} plus {y}.",
                "Et {x} et {y} ?",
            ),
            (
                "Was ist {x} plus {y}?",
                "Wie viel ist {x} plus {y}?",
                "Rechne {x} plus {y}.",
                "{x} plus {y}?",
                "Sag mir {x} plus {y}.",
                "Kannst du {x} + {y} rechnen?",
                "Die Summe: {x} und {y}?",
                "Was macht {x} und {y}?",
                "Addiere {x} und {y}.",
                "Bitte, {x} plus {y}.",
                "Nenne das Ergebnis von {x} plus {y}.",
                "Was gibt {x} plus {y}?",
                "Ich brauche {x} plus {y}.",
                "Und {x} und {y}?",
            ),
        ),
        "held_out": (
            ("Please give me the sum of {x} and {y}.", "What do you get for {x} plus {y}?"),
            ("Donne-moi la somme de {x} et {y}.", "{x} et {y}, cela fait combien ?"),
            ("Nenne mir die Summe von {x} und {y}.", "Was ergibt {x} plus {y}?"),
        ),
    },
    "capital": {
        "train": (
            (
                "What is the capital of {x}?",
                "Name the capital of {x}.",
                "The capital of {x}?",
                "Which city is the capital of {x}?",
                "Tell me the capital of {x}.",
                "Do you know the capital of {x}?",
                "What is the main city of {x}?",
                "Please name the capital that {x} has.",
                "What capital has {x}?",
                "I am looking for the capital of {x}.",
                "I forgot: the capital of {x}?",
                "Say the capital of {x}.",
                "{x}, and its capital?",
                "Capital of {x}, please.",
                "The capital of {x}, what was it?",
                "Which capital belongs to {x}?",
            ),
            (
                "Quelle est la capitale de {x} ?",
                "Nomme la capitale : {x}.",
                "Dis-moi la capitale : {x}.",
                "La capitale, pour {x} ?",
                "Connais-tu la capitale ? {x} !",
                "Pour {x}, dis-moi la capitale.",
                "Pour {x}, c'est quelle capitale ?",
                "J'ai besoin de la capitale : {x}.",
                "Je ne sais plus la capitale : {x}.",
                "Et pour {x}, la capitale est ?",
                "Je cherche la capitale : {x}.",
                "{x} : quelle capitale ?",
                "La capitale de ce pays : {x} ?",
                "Pour {x}, la capitale ?",
                "Oublié : la capitale, {x} ?",
                "S'il te plaît, la capitale : {x}.",
                "Quelle capitale a {x} ?",
            ),
            (
                "Was ist die Hauptstadt von {x}?",
                "Nenne die Hauptstadt von {x}.",
                "Wie heißt die Hauptstadt von {x}?",
                "Sag mir die Hauptstadt von {x}.",
                "Kennst du die Hauptstadt von {x}?",
                "{x}: welche Hauptstadt?",
                "Die Hauptstadt von {x}?",
                "Bitte die Hauptstadt von {x}.",
                "Vergessen: die Hauptstadt von {x}?",
                "Welche Stadt ist die Hauptstadt von {x}?",
                "Ich brauche die Hauptstadt von {x}.",
                "Welche Hauptstadt gehört zu {x}?",
            ),
        ),
        "held_out": (
            ("Please say which capital {x} has.", "I forgot the capital of {x}, what is it?"),
            ("Pour {x}, quelle est la capitale ?", "J'ai oublié la capitale : {x}."),
            ("Welche Hauptstadt hat {x}?", "Ich suche die Hauptstadt von {x}."),
        ),
    },
    "colour": {
        "train": (
            (
                "What colour is {x}?",
                "Which colour has {x}?",
                "Tell me the colour of {x}.",
                "Name the colour of {x}.",
                "The colour of {x}?",
                "Do you know the colour of {x}?",
                "Please tell me which colour {x} has.",
                "I forgot which colour {x} has.",
                "I do not know the colour of {x}, do you?",
                "The colour of {x}, do you know it?",
                "Say which colour {x} has, please.",
                "Please name the colour that {x} has.",
                "I am looking for the colour of {x}.",
                "I forgot: the colour of {x}?",
                "Say the colour of {x}.",
                "{x}, and its colour?",
                "Colour of {x}, please.",
                "The colour of {x}, what was it?",
                "What colour has {x}?",
                "Which colour is {x}?",
            ),
            (
                "De quelle couleur est {x} ?",
                "Quelle couleur a {x} ?",
                "Dis-moi la couleur : {x}.",
                "La couleur, pour {x} ?",
                "Pour {x}, dis-moi la couleur.",
                "Pour {x}, c'est quelle couleur ?",
                "J'ai besoin de la couleur : {x}.",
                "Je ne sais plus la couleur : {x}.",
                "Je cherche la couleur : {x}.",
                "{x} : quelle couleur ?",
                "Pour {x}, la couleur ?",
                "Oublié : la couleur, {x} ?",
                "S'il te plaît, la couleur : {x}.",
                "La couleur de {x} ?",
                "Connais-tu la couleur ? {x} !",
            ),
            (
                "Welche Farbe hat {x}?",
                "Nenne die Farbe von {x}.",
                "Sag mir die Farbe von {x}.",
                "Kennst du die Farbe von {x}?",
                "{x}: welche Farbe?",
                "Die Farbe von {x}?",
                "Was ist das für eine Farbe bei {x}?",
                "Ich frage nach der Farbe von {x}.",
                "Welche Farbe ist die von {x}?",
                "Bitte die Farbe von {x}.",
                "Vergessen: die Farbe von {x}?",
                "Ich brauche die Farbe von {x}.",
                "Welche Farbe ist {x}?",
                "In welcher Farbe ist {x}?",
            ),
        ),
        "held_out": (
            ("Please say what colour {x} has.", "I forgot the colour of {x}, what is it?"),
            ("Pour {x}, quelle est la couleur ?", "J'ai oublié la couleur : {x}."),
            ("Was ist die Farbe von {x}?", "Ich suche die Farbe von {x}."),
        ),
    },
}
ANSWERS: dict[str, Phrase] = {
    "sum": ("{x} plus {y} is {z}.", "{x} plus {y} font {z}.", "{x} plus {y} ist {z}."),
    "capital": (
        "The capital of {x} is {z}.",
        "La capitale pour {x} est {z}.",
        "Die Hauptstadt von {x} ist {z}.",
    ),
    "colour": (
        "The colour of {x} is {z}.",
        "La couleur pour {x} est {z}.",
        "Die Farbe von {x} ist {z}.",
    ),
}


@dataclass(frozen=True)
class Fact:
    """One fact; the slots are parallel phrases (for sums the same digits three times)."""

    kind: str
    given: tuple[Phrase, ...]
    answer: Phrase

    def question(self, language: str, wording: int, split: Split = "train") -> str:
        """The question in a language; `wording` counts modulo the wordings there are."""
        column = LANGUAGES.index(language)
        templates = QUESTIONS[self.kind][split][column]
        return self._fill(templates[wording % len(templates)], column)

    def statement(self, language: str) -> str:
        """The sentence that states the fact."""
        column = LANGUAGES.index(language)
        return self._fill(ANSWERS[self.kind][column], column)

    def accepted(self) -> tuple[str, ...]:
        """Every right answer: the statement in each language."""
        return tuple(self.statement(language) for language in LANGUAGES)

    def _fill(self, template: str, column: int) -> str:
        slots = dict(zip("xy", (phrase[column] for phrase in self.given), strict=False))
        return template.format(**slots, z=self.answer[column])


def facts() -> Iterator[Fact]:
    """The closed set."""
    for x, y in product(range(1, MAX_ADDEND + 1), repeat=2):
        digits = ((str(x),) * 3, (str(y),) * 3)
        yield Fact("sum", digits, (str(x + y),) * 3)
    for given, answer in CAPITALS:
        yield Fact("capital", (given,), answer)
    for given, answer in COLOURS:
        yield Fact("colour", (given,), answer)


def held_out_questions() -> Iterator[tuple[Fact, str, str]]:
    """(fact, language, question) for every fact, language and held-out wording."""
    for fact in facts():
        for column, language in enumerate(LANGUAGES):
            for wording in range(len(QUESTIONS[fact.kind]["held_out"][column])):
                yield fact, language, fact.question(language, wording, "held_out")
