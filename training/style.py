"""Varies how people speak: politeness, contractions, hesitation, and errors of speech
recognition."""

from __future__ import annotations

import re
from random import Random

from training.spoken import NUMBER_WORDS

CALLS = (
    "um",
    "uh",
    "well",
    "so",
    "alright",
    "now",
    "hey there",
    "yo",
    "listen",
    "excuse me",
    "oh",
    "and",
)
REQUESTS = (
    "please",
    "please",
    "can you",
    "could you",
    "can you please",
    "could you please",
    "would you",
    "will you",
    "i want you to",
    "i would like you to",
    "i need you to",
    "you should",
    "go ahead and",
    "just",
    "now",
    "quickly",
    "kindly",
    "let's",
    "would you please",
    "will you please",
    "may i ask you to",
    "would you mind and",
    "help me",
    "please help me",
    "can we",
    "could we",
    "i want to",
    "can i get you to",
    "you can",
    "be so kind and",
    "i'd appreciate it if you could",
    "let us",
    "do me a favor and",
    "may i request you to",
    "would it be possible to",
    "i'd love for you to",
    "make sure to",
    "try to",
    "remember to just",
    "we need to",
)
THANKS = (
    "please",
    "please",
    "please",
    "thanks",
    "thank you",
    "ok",
    "would you",
    "my friend",
    "pretty please",
    "will you",
    "if you can",
    "if possible",
    "thank you very much",
    "buddy",
    "could you",
    "can you",
)
URGENCY = (
    "for me",
    "for me",
    "now",
    "right now",
    "immediately",
    "right away",
    "again",
    "for us",
    "quickly",
    "at once",
    "as soon as possible",
    "already",
    "this instant",
)
CONTRACTIONS = (
    ("what is", ("what's", "whats")),
    ("it is", ("it's", "its")),
    ("i am", ("i'm", "im")),
    ("do not", ("don't", "dont")),
    ("i would", ("i'd", "id")),
    ("let us", ("let's", "lets")),
    ("we are", ("we're",)),
    ("you are", ("you're",)),
    ("that is", ("that's", "thats")),
    ("there is", ("there's",)),
    ("who is", ("who's", "whos")),
    ("where is", ("where's", "wheres")),
    ("how is", ("how's",)),
    ("is not", ("isn't",)),
    ("does not", ("doesn't",)),
    ("i have", ("i've",)),
    ("i will", ("i'll",)),
    ("want to", ("wanna",)),
    ("going to", ("gonna",)),
)
MISHEARD = (
    ("off", ("of",)),
    ("to", ("too", "two")),
    ("lights", ("light's", "lites", "like")),
    ("light", ("lite", "like")),
    ("blinds", ("blind's", "blind")),
    ("lamp", ("lamb", "lap")),
    ("fan", ("van", "fen")),
    ("turn", ("turned", "term", "turns")),
    ("dim", ("dem", "dimmed")),
    ("set", ("sat", "said", "sit")),
    ("volume", ("volumes", "value")),
    ("vacuum", ("vacuumed", "vacume")),
    ("percent", ("per cent",)),
    ("brighter", ("bright her", "writer")),
    ("the", ("a", "de", "da")),
    ("in", ("and", "an")),
    ("play", ("played",)),
    ("timer", ("time her", "timers")),
    ("four", ("for",)),
    ("please", ("pleas", "peas")),
    ("and", ("an", "in")),
    ("lock", ("look",)),
    ("heating", ("eating", "heeding")),
    ("on", ("own", "un")),
    ("switch", ("which", "switched")),
)
# Nobody says "can i've".
_CONTRACTED = re.compile(
    r"(?<!can )(?<!may )(?<!could )\b(" + "|".join(long for long, _ in CONTRACTIONS) + r")\b"
)

SHORTEST_MISSPELT = 4  # a shorter word with an error may well be another word
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def polite(random: Random, text: str, imperative: bool, urgent: bool) -> str:
    """Returns `text` with polite words before and after it; urgent: whether "right now" makes
    sense."""
    if imperative and random.random() < 0.4:
        text = f"{random.choice(REQUESTS)} {text}"
    if random.random() < 0.06:
        text = f"{random.choice(CALLS)} {text}"
    if random.random() < 0.02:  # what some call their assistant, and no wake word of ours
        call = random.choice(("", "", "hey ", "ok "))
        text = f"{call}{assistant(random)}{random.choice((' ', ', '))}{text}"
    if imperative and urgent and random.random() < 0.14:
        text = f"{text} {random.choice(URGENCY)}"
    if random.random() < 0.18:
        text = f"{text}{random.choice(('', '', ','))} {random.choice(THANKS)}"
    return text


def assistant(random: Random) -> str:
    """Returns a name that somebody may give to an assistant."""
    letters = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "h", "j")
    vowels = ("a", "e", "i", "o", "u")
    start = random.choice((random.choice(letters), ""))
    middle = random.choice(letters) * random.choice((1, 2))
    end = random.choice(("a", "i", "o", "y", "ie", "er", "us"))
    return f"{start}{random.choice(vowels)}{middle}{end}"


def contracted(random: Random, text: str) -> str:
    """Returns `text` with some words contracted, as in "what's"."""
    table = dict(CONTRACTIONS)

    def shorter(found: re.Match[str]) -> str:
        return random.choice(table[found[0]]) if random.random() < 0.5 else found[0]

    return _CONTRACTED.sub(shorter, text)


def misheard(random: Random, text: str) -> str:
    """Returns `text` with errors of speech recognition: an article lost, a word twice, or a word
    that sounds alike."""
    if random.random() < 0.12:
        text = re.sub(
            r"\b(the|a|my) (?!\w+ (?:after|past|of))", "", text, count=random.choice((0, 1))
        )
    words = text.split(" ")
    at = random.randrange(len(words))
    if (
        random.random() < 0.02
        and not words[at].startswith("@")
        and words[at].isalpha()
        and words[at] not in NUMBER_WORDS
    ):
        words.insert(at, words[at])
    if random.random() < 0.025:
        word, wrong = random.choice(MISHEARD)
        if word in words:
            words[words.index(word)] = random.choice(wrong)
    if random.random() < 0.03:
        words.insert(
            random.randint(0, len(words) - 1), random.choice(("um", "uh", "like", "er", "just"))
        )
    return " ".join(words)


def misspelt(random: Random, text: str) -> str:
    """Returns `text` with a typing error in one word, if it has one that is long enough."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if _may_be_misspelt(word)]
    if not places:
        return text
    place = random.choice(places)
    words[place] = with_error(random, words[place])
    return " ".join(words)


# An error in one of these may give another one.
_KEPT = NUMBER_WORDS | {
    "monday",
    "tuesday",
    "sunday",
    "today",
    "hours",
    "hour",
    "minute",
    "minutes",
    "seconds",
    "second",
    "half",
    "past",
    "till",
    "quarter",
    "lock",
    "unlock",
    "locked",
    "unlocked",
    "mute",
    "unmute",
    "pause",
    "unpause",
    "open",
    "close",
    "lower",
    "louder",
    "light",
    "night",
}


def _may_be_misspelt(word: str) -> bool:
    return (
        len(word) >= SHORTEST_MISSPELT
        and word.isalpha()
        and word.isascii()
        and word.lower() not in _KEPT
    )


def with_error(random: Random, word: str) -> str:
    """Returns `word` with a letter dropped, doubled, exchanged with the next, or typed beside its
    key."""
    at = random.randrange(1, len(word))
    kind = random.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at - 1 :]
    if kind == 2:
        return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    row = next(row for row in KEYBOARD if word[at].lower() in row)
    key = row.index(word[at].lower())
    beside = random.choice(row[max(key - 1, 0) : key] + row[key + 1 : key + 2])
    return word[:at] + beside + word[at + 1 :]
