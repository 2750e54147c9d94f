"""Open user prompts of Pocket's corpus: requests to say something, in three languages.

Part of them are made of invented words, so that the model answers whatever it is asked instead of
leaning on the words of the question.
"""

from __future__ import annotations

from random import Random

from selfsteer.pocket.lexicon import LANGUAGES
from selfsteer.pocket.wordings import Split

OPEN: dict[str, tuple[str, ...]] = {
    "english": (
        "Tell me something.",
        "What is new?",
        "How are things?",
        "Say something.",
        "What do you see?",
        "Tell me a story.",
        "How is your day?",
        "Any news?",
        "What is going on?",
        "Go on.",
        "Describe your day.",
        "What are you thinking about?",
        "Write a few lines.",
        "What happened today?",
        "Please continue.",
        "Talk to me.",
        "Give me a short text.",
        "What comes to mind?",
        "Write me a note.",
        "How was the weekend?",
        "Could you say something?",
        "Tell me about yourself.",
        "What is up?",
        "Start wherever you like.",
        "Surprise me.",
        "Fill the page.",
        "Anything to report?",
        "What would you like to say?",
        "I have a minute, tell me something.",
        "Let us talk.",
        "Hello!",
        "Good morning.",
        "Write two sentences.",
        "Can you describe something?",
        "What should I know?",
    ),
    "french": (
        "Raconte-moi quelque chose.",
        "Quoi de neuf ?",
        "Comment ça va ?",
        "Dis quelque chose.",
        "Que vois-tu ?",
        "Raconte une histoire.",
        "Comment va ta journée ?",
        "Continue.",
        "À quoi penses-tu ?",
        "Écris quelques lignes.",
        "Que se passe-t-il ?",
        "Parle-moi.",
        "Bonjour !",
        "Surprends-moi.",
        "Écris un petit texte.",
    ),
    "german": (
        "Erzähl mir etwas.",
        "Was gibt es Neues?",
        "Wie geht es?",
        "Sag etwas.",
        "Was siehst du?",
        "Erzähl eine Geschichte.",
        "Wie ist dein Tag?",
        "Weiter.",
        "Woran denkst du?",
        "Schreib ein paar Zeilen.",
        "Was passiert gerade?",
        "Sprich mit mir.",
        "Guten Tag!",
        "Überrasche mich.",
        "Schreib einen kurzen Text.",
    ),
}
HELD_OUT: dict[str, tuple[str, ...]] = {
    "english": (
        "What is on your mind?",
        "Write a short paragraph.",
        "How has your week been?",
        "Tell me whatever you like.",
        "Share a thought.",
        "Describe a moment.",
        "What did you notice today?",
        "Please write something for me.",
        "Say a few words.",
        "Is there anything you want to tell me?",
        "Begin.",
        "Good evening, what is happening?",
    ),
    "french": ("Qu'as-tu en tête ?", "Écris un paragraphe.", "Raconte ce que tu veux."),
    "german": ("Was hast du im Sinn?", "Schreib einen Absatz.", "Erzähl, was du willst."),
}
_INVENTED = (
    "Tell me about {w}.",
    "What is {w}?",
    "{w}?",
    "Do you like {w}?",
    "Why {w}?",
    "{w} {v}.",
    "I heard of {w} and {v}.",
    "What do you think of {w}?",
    "Explain {w}.",
    "My {w} is {v}.",
    "Can you help me with {w}?",
    "How does {w} work?",
    "Write about {w}.",
    "Give me {w}.",
)
_SYLLABLES = tuple(
    "ba be bi bo da de di do fa fi ga go ka ke ki ko la le li lo ma me mi mo "
    "na ne ni no pa pe po ra re ri ro sa se si so ta te ti to va ve vi vo".split()
)


def open_prompt(rng: Random, split: Split = "train") -> str:
    """One open user prompt; half of them English, an eighth with invented words."""
    if split == "train" and rng.random() < 0.125:
        w, v = (_invented_word(rng) for _ in range(2))
        return rng.choice(_INVENTED).format(w=w, v=v)
    table = OPEN if split == "train" else HELD_OUT
    return rng.choice(table[rng.choices(LANGUAGES, (0.5, 0.25, 0.25))[0]])


def _invented_word(rng: Random) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))
