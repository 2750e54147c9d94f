"""Goals in other words, written before anything was measured on them, for `benchmarks.meaning`."""

from __future__ import annotations

# Two for each attribute value; but for "no" and "old", no content word of them is one by which the
# grammar asks for the value.
PARAPHRASES: dict[str, tuple[str, str]] = {
    "cheerful": ("be chipper", "write like someone having the best day of their life"),
    "gloomy": ("sound cheerless", "come across as down in the dumps"),
    "angry": ("rant and snarl at everyone", "be in a foul temper"),
    "neutral": ("show no feelings either way", "stay objective"),
    "formal": ("address me as a butler would", "write like a diplomat"),
    "casual": ("talk as if we were old pals", "write the way teenagers text each other"),
    "plain": ("no frills, please", "cut the flowery phrases"),
    "garden": ("bring up lawns and hedges", "obsess over weeding and compost"),
    "sea": ("go on about whales and coral reefs", "mention voyages by yacht"),
    "kitchen": ("bring up soups and sauces", "be obsessed with frying pans"),
    "music": ("bring it all back to guitars and jazz", "go on about symphonies"),
    "football": ("always mention penalty kicks", "turn everything into the World Cup"),
    "space": ("talk about galaxies and comets", "go on about astronauts"),
    "forest": ("talk of oaks and squirrels", "keep mentioning pines and deer"),
    "school": ("bring up exams and blackboards", "go on about university lectures"),
    "english": ("answer as they speak in London", "use the tongue of Shakespeare"),
    "french": ("answer as they would in Paris", "use the tongue of Molière"),
    "german": ("answer as they would in Berlin", "use the tongue of Goethe"),
    "knight": ("speak like Sir Lancelot", "be a cavalier in shining armour"),
    "robot": ("talk like R2-D2", "answer as a thinking appliance would"),
    "wizard": ("speak like Merlin", "talk as Gandalf does"),
    "grandmother": ("talk like a sweet old nan", "answer the way my mother's mother would"),
}

# Goals that none of the values meets.
OTHERS = (
    "sound like a pirate",
    "answer in rhyme",
    "write nothing but JSON",
    "be sarcastic",
    "answer in Spanish",
    "talk about cars",
    "bring up politics",
    "use lots of emojis",
    "answer every question with a question",
    "flatter me",
    "talk like a baby",
    "go on about computers",
    "cite your sources",
    "write in the past tense",
    "be suspicious of everyone",
    "talk as a doctor would",
    "keep mentioning money",
    "tell lies",
    "sound afraid",
    "be boastful",
)

# Goals that ask for one of the values to stay away.
TURNED = (
    "never sound gloomy",
    "don't be formal",
    "stop being angry",
    "not cheerful at all",
    "anything but French",
    "without any slang",
    "less polite",
    "do not mention football",
    "avoid the sea",
    "no music, please",
    "nothing about trees",
    "not like a robot",
)
