"""Manners of speaking: politeness, hesitation, punctuation, capitals and typing errors."""

from __future__ import annotations

from random import Random

from training.spoken import NUMBER_WORDS

CALLS = (
    "hey", "ok", "okay", "hello", "hey house", "ok house", "um", "uh", "well", "so", "alright",
)  # fmt: skip
REQUESTS = (
    "please", "can you", "could you", "can you please", "could you please", "would you",
    "will you",
    "i want you to", "i would like you to", "i'd like you to", "you should", "go ahead and",
    "just",
    "now", "quickly", "kindly", "let's", "would you please",
)  # fmt: skip
THANKS = ("please", "thanks", "thank you", "ok", "would you", "my friend", "pretty please")
URGENCY = ("for me", "now", "right now", "immediately", "right away", "again")

SHORTEST_MISSPELT = 4  # a shorter word with an error may well be another word
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def polite(random: Random, text: str, imperative: bool, urgent: bool) -> str:
    """`text` with what may go before and after it; `urgent`: "right now" makes sense."""
    if imperative and random.random() < 0.5:
        text = f"{random.choice(REQUESTS)} {text}"
    if random.random() < 0.15:
        text = f"{random.choice(CALLS)} {text}"
    if imperative and urgent and random.random() < 0.12:
        text = f"{text} {random.choice(URGENCY)}"
    if random.random() < 0.2:
        text = f"{text} {random.choice(THANKS)}"
    return text


def written(random: Random, text: str) -> str:
    """`text` as some write it: a capital, a comma after the call, a mark at the end."""
    if random.random() < 0.1:
        words = text.split(" ")
        words.insert(random.randint(0, len(words) - 1), random.choice(("um", "uh", "like")))
        text = " ".join(words) if random.random() < 0.2 else text
    if random.random() < 0.15:
        text = text[0].upper() + text[1:]
    if random.random() < 0.15:
        text += random.choice((".", "?", "!", "."))
    return text


def misspelt(random: Random, text: str) -> str:
    """`text` with a typing error in one word, where it has one that is long enough."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if _may_be_misspelt(word)]
    if not places:
        return text
    place = random.choice(places)
    words[place] = _with_error(random, words[place])
    return " ".join(words)


def _may_be_misspelt(word: str) -> bool:
    return len(word) >= SHORTEST_MISSPELT and word.isalpha() and word.lower() not in NUMBER_WORDS


def _with_error(random: Random, word: str) -> str:
    """`word` with a letter dropped, doubled, exchanged with the next, or typed beside its key."""
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
