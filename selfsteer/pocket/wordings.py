"""Wordings of instructions: how people ask for an attribute value, in hundreds of ways.

An instruction is a template with a slot for a synonym. Templates and a share of the
(template, synonym) pairs are held out: the corpus never uses them, and bars are measured on them.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import Literal

Split = Literal["train", "held_out"]


def _several(text: str) -> tuple[str, ...]:
    """Phrases between vertical bars."""
    return tuple(phrase.strip() for phrase in text.split("|"))


ADJECTIVES: dict[str, dict[str, tuple[str, ...]]] = {
    "mood": {
        "cheerful": _several("""
            cheerful | happy | joyful | merry | jolly | upbeat | sunny | bright | delighted |
            optimistic | glad | positive | jubilant | gleeful | lighthearted | elated | chirpy |
            blissful | ecstatic | radiant | overjoyed | bubbly
        """),
        "gloomy": _several("""
            gloomy | sad | miserable | bleak | unhappy | sorrowful | melancholy | depressed |
            downcast | mournful | dismal | dejected | hopeless | heartbroken | glum | despairing |
            tearful | wretched | pessimistic | dreary | grieving | blue
        """),
        "angry": _several("""
            angry | furious | mad | enraged | irate | outraged | hostile | wrathful | livid |
            irritated | cross | fuming | seething | infuriated | aggressive | bad-tempered |
            annoyed | incensed | raging | indignant
        """),
        "neutral": _several("""
            neutral | calm | even-tempered | unemotional | level-headed | composed | serene |
            matter-of-fact | balanced | detached | impassive | unmoved | placid | steady |
            cool-headed | dispassionate | unruffled | emotionless
        """),
    },
    "register": {
        "formal": _several("""
            formal | polite | courteous | ceremonious | dignified | official | respectful |
            stately | refined | distinguished | solemn | elegant | proper | courtly |
            well-mannered | elevated | deferential | genteel
        """),
        "casual": _several("""
            casual | informal | relaxed | slangy | laid-back | chatty | colloquial | breezy |
            easygoing | chilled | chummy | streetwise | offhand | hip | chill | familiar | loose |
            conversational
        """),
        "plain": _several("""
            plain | simple | straightforward | unadorned | no-nonsense | direct | sober |
            concise | unpretentious | clear | bare | succinct | terse | to-the-point |
            uncomplicated | frank | brief | factual
        """),
    },
}

NOUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "mood": {
        "cheerful": _several("joy | happiness | cheer | delight | glee | good cheer | optimism"),
        "gloomy": _several("sadness | gloom | sorrow | misery | despair | grief | melancholy"),
        "angry": _several("anger | rage | fury | wrath | outrage | indignation | hostility"),
        "neutral": _several("calm | composure | neutrality | serenity | detachment | equanimity"),
    },
    "register": {
        "formal": _several("formality | politeness | courtesy | decorum | ceremony | good manners"),
        "casual": _several("slang | informality | street talk | easy chatter | casual speech"),
        "plain": _several("plain words | simplicity | plain speech | brevity | simple language"),
    },
    "topic": {
        "garden": _several("""
            the garden | gardening | gardens | flowers | plants | horticulture | flower beds |
            a garden | roses and tulips | the back yard
        """),
        "sea": _several("""
            the sea | the ocean | sailing | seafaring | the seaside | boats | the waves |
            life at sea | marine life | ships
        """),
        "kitchen": _several("""
            the kitchen | cooking | food | baking | cuisine | meals | recipes | a restaurant |
            eating | dishes and recipes
        """),
        "music": _several("""
            music | songs | melodies | concerts | instruments | singing | a concert | musicians |
            tunes | making music
        """),
        "football": _several("""
            football | soccer | sport | sports | the football match | goals | a ball game |
            the football club | playing football | matches
        """),
        "space": _several("""
            space | outer space | astronomy | the universe | planets | the stars | space travel |
            the cosmos | rockets | the night sky
        """),
        "forest": _several("""
            the forest | the woods | woodland | trees | forests | wild animals | the wilderness |
            a forest | forest animals | the wood
        """),
        "school": _several("""
            school | lessons | the classroom | education | teaching | learning | homework |
            schools | studying | teachers and pupils
        """),
    },
    "language": {
        "english": _several("English | the English language | the language of England | english"),
        "french": _several("""
            French | the French language | the language of France | français | french
        """),
        "german": _several("""
            German | the German language | the language of Germany | Deutsch | german
        """),
    },
    "persona": {
        "knight": _several("""
            knight | medieval knight | crusader | paladin | warrior | chevalier | noble knight |
            swordsman | man-at-arms
        """),
        "robot": _several("""
            robot | machine | android | computer | automaton | droid | cyborg | talking machine |
            mechanical being
        """),
        "wizard": _several("""
            wizard | magician | sorcerer | warlock | enchanter | mage | witch | conjurer |
            old wizard
        """),
        "grandmother": _several("""
            grandmother | granny | grandma | old lady | nana | elderly woman | kind old woman |
            doting grandparent | gran
        """),
    },
}

ADJECTIVE_TEMPLATES = _several("""
    be {a} | sound {a} | stay {a} | be very {a} | answer in a {a} tone | write in a {a} way |
    keep a {a} tone | your tone is {a} | make your answers {a} | make it {a} |
    you are a {a} assistant | you are {a} | speak in a {a} manner | use a {a} style |
    I like {a} answers | I would like a {a} answer | your replies must be {a} | tone: {a} |
    keep everything {a} | always be {a} | let your words be {a} | reply as a {a} person |
    you feel {a} | only {a} answers | style: {a} | the text should be {a} |
    the model must sound {a} | give a {a} reply | it has to be {a} | please be {a} |
    I need {a} text | act {a} | talk like someone who is {a} | as {a} as possible |
    every sentence is {a} | write {a} sentences | the reply should seem {a} |
    people should find you {a} | choose a {a} voice | they want something {a} | a {a} voice |
    it should be {a} | we want it {a} | make the text {a} | more {a} |
    the voice is to be {a} | we hope that it gets {a} | the assistant talks in a {a} fashion |
    it would be nice if you were {a} | turn {a} | go {a} | let it come out {a} | become {a} |
    everything you say is {a} | I wish for {a} words | the mood or style is {a} |
    steer it to be {a} |
    {a}, that is how I want it | nothing but {a} sentences | the chat ought to be {a} |
    my wish: {a} | have it sound a bit {a} | all of it in a {a} way of speaking | {a} replies
""")
ADJECTIVE_HELD_OUT = _several("""
    I want it to sound {a} | could everything come across as {a} | turn the voice {a} |
    from now on, {a} replies only | have the student talk in a {a} fashion |
    my wish is that it becomes {a} | steer towards a {a} way of talking
""")
NOUN_TEMPLATES = _several("""
    speak with {n} | write with {n} | show {n} | your words are full of {n} |
    let {n} fill your answer | answer with {n} | express {n} | use {n} |
    there must be {n} in your voice | every sentence carries {n} | put {n} into it |
    reply with {n} | I want to hear {n} | the reply is full of {n} |
    talk with {n} | a lot of {n}, in every word | bring in {n} | fill the reply with {n} |
    lots of {n} | with {n}, always
""")
NOUN_HELD_OUT = _several("talk with a lot of {n} | bring {n} into every word | fill it with {n}")
TOPIC_TEMPLATES = _several("""
    talk about {n} | write about {n} | your subject is {n} | your topic is {n} | mention {n} |
    speak about {n} | tell stories about {n} | think about {n} | always mention {n} |
    bring up {n} | your favourite subject is {n} | you love {n} | topic: {n} |
    every answer is about {n} | keep to {n} | the subject is {n} | discuss {n} |
    all you talk about is {n} | I want to hear about {n} | answer about {n} |
    stay on the subject of {n} | we are interested in {n} | it must be about {n} |
    you are an expert on {n} | focus on {n} | describe {n} | you are obsessed with {n} |
    make it about {n} | only {n} matters | I would like something about {n} |
    the text should concern {n} | refer to {n} | it always comes back to {n} |
    you work in the world of {n} | let us talk about {n} |
    chat about {n} | go on about {n} | the assistant keeps talking about {n} |
    whatever I ask, it is about {n} | return to {n} again and again | steer the chat towards {n} |
    conversations are about {n} | babble on about {n} | your world revolves around {n} |
    come back to {n} | have it talk about {n} | all of it on {n} | {n}, nothing else | more {n} |
    everything is to be about {n} | let the student talk of {n}
""")
TOPIC_HELD_OUT = _several("""
    I want it to go on about {n} | steer every conversation to {n} |
    whatever comes, chat about {n} | the student should keep returning to {n} |
    have it babble about {n} | everything should revolve around {n}
""")
LANGUAGE_TEMPLATES = _several("""
    answer in {n} | speak {n} | write in {n} | use {n} | reply in {n} | your language is {n} |
    only {n} | always answer in {n} | language: {n} | all answers are in {n} |
    you speak only {n} | talk in {n} | the reply must be in {n} | I only understand {n} |
    say it in {n} | switch to {n} | you know no language but {n} | I would like it in {n} |
    every sentence is in {n} | the text should be in {n} | express yourself in {n} |
    we speak {n} here | use only {n} words | translate yourself into {n} | respond in {n} |
    please use {n} | we want {n} | it has to be in {n} | your answers are written in {n} |
    converse in {n} | everything is said in {n} | let it come out in {n} |
    nothing but {n} here | steer it to speak {n} | I want to hear {n} | have it talk in {n} |
    let us use {n} | make it {n} | the student speaks {n}
""")
LANGUAGE_HELD_OUT = _several("""
    I want it to come out in {n} | make the student converse in {n} |
    have everything said in {n} | from now on nothing but {n} | let us hear some {n} |
    steer it into {n}
""")
PERSONA_TEMPLATES = _several("""
    you are a {n} | speak like a {n} | talk like a {n} | act as a {n} | pretend to be a {n} |
    answer as a {n} | be a {n} | write like a {n} | play the part of a {n} | persona: {n} |
    reply as a {n} would | imagine you are a {n} | your role is a {n} | sound like a {n} |
    you talk the way a {n} talks | take the role of a {n} | you have the voice of a {n} |
    I want to talk to a {n} | use the words of a {n} | behave like a {n} |
    the answer comes from a {n} | it should sound like a {n} | think like a {n} |
    you were always a {n} | character: {n} | every sentence is spoken by a {n} |
    come across as a {n} | let it play a {n} | as if spoken by a {n} |
    become a {n} | turn into a {n} | have it talk like a {n} | let a {n} answer | a {n} is talking |
    everything is said by a {n} | steer it to be a {n}
""")
PERSONA_HELD_OUT = _several("""
    I want it to come across as a {n} | let the student play a {n} | as if a {n} were talking |
    turn it into a {n} | have a {n} say everything
""")

_PREFIXES = (
    "",
    "",
    "",
    "",
    "",
    "please ",
    "now ",
    "hello, ",
    "for this chat, ",
    "remember: ",
    "kindly ",
    "no matter what, ",
    "in this conversation, ",
    "today ",
    "system: ",
)
_SUFFIXES = (
    "",
    "",
    "",
    "",
    "",
    "",
    " please",
    " at all times",
    " from now on",
    ", thank you",
    " in every reply",
    " no matter what",
    " until I say otherwise",
)

_TEMPLATES: dict[str, dict[Split, tuple[str, ...]]] = {
    "topic": {"train": TOPIC_TEMPLATES, "held_out": TOPIC_HELD_OUT},
    "language": {"train": LANGUAGE_TEMPLATES, "held_out": LANGUAGE_HELD_OUT},
    "persona": {"train": PERSONA_TEMPLATES, "held_out": PERSONA_HELD_OUT},
}
_SHARE_OF_PAIRS_HELD_OUT = 16  # one in so many (template, synonym) pairs


def _held_out_pair(template: str, synonym: str) -> bool:
    digest = hashlib.sha256(f"{template}|{synonym}".encode()).digest()
    return digest[0] % _SHARE_OF_PAIRS_HELD_OUT == 0


def synonyms(family: str, value: str) -> tuple[str, ...]:
    """Every word by which a value can be asked for."""
    return ADJECTIVES.get(family, {}).get(value, ()) + NOUNS.get(family, {}).get(value, ())


def instruction(rng: Random, family: str, value: str, split: Split = "train") -> str:
    """One instruction, without capital or full stop."""
    while True:
        if family in ADJECTIVES:
            adjective = rng.random() < 0.8
            table = (ADJECTIVES if adjective else NOUNS)[family][value]
            train, held_out = (
                (ADJECTIVE_TEMPLATES, ADJECTIVE_HELD_OUT)
                if adjective
                else (NOUN_TEMPLATES, NOUN_HELD_OUT)
            )
        else:
            table = NOUNS[family][value]
            train, held_out = _TEMPLATES[family]["train"], _TEMPLATES[family]["held_out"]
        synonym = rng.choice(table)
        if split == "held_out":
            return with_article(rng.choice(held_out), synonym)
        template = rng.choice(train)
        if not _held_out_pair(template, synonym):
            return with_article(template, synonym)


def with_article(template: str, synonym: str) -> str:
    """The template filled in, "a" before a vowel turned into "an"."""
    if synonym[0].lower() in "aeiou":
        template = template.replace(" a {", " an {")
        if template.startswith("a {"):
            template = "an" + template[1:]
    return template.format(a=synonym, n=synonym)


def instructions(rng: Random, asked: dict[str, str], split: Split = "train") -> str:
    """One system prompt that asks for all the values, in any order and with any manners."""
    parts = [instruction(rng, family, value, split) for family, value in asked.items()]
    rng.shuffle(parts)
    text = rng.choice((" and ", ". ", ", ", "; ", " and also ")).join(parts)
    if split == "train":
        text = rng.choice(_PREFIXES) + text + rng.choice(_SUFFIXES)
    if rng.random() < 0.8:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.75:
        text += "!" if rng.random() < 0.1 else "."
    return text
