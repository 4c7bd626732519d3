"""Lists the words that should not be in a command that unlocks, opens or disarms: those that are
neither names of the home nor commonly said in such commands.

A model may take "unlock the shed" for a door that exists. So any such word is taken for the thing
to be unlocked, and the command is refused. A misspelt or unusual command is rather not carried
out.
"""

from __future__ import annotations

from host.grammar.devices import COLOURS, DEVICE_SYMBOLS, MUSIC, PLACE_SYMBOLS
from host.home.home import Home
from host.home.marking import mark_names
from host.home.names import list_words
from host.home.words import GENERIC

# Words around such a command, and of commands joined with it; besides those of GENERIC.
_SAID = """
    activate after afternoon again ahead alright amp anyone as away bit both brighter buddy but
    ceiling celsius change channel closed colder colour conditioner conditioners cooler could
    deactivate dear degree dim dimmer disarm disarmed disarming eighty evening everybody fifty
    first five forty friday friend give go going gonna gotta great guys half hands have hear
    higher homes hours hundred id if im immediately instant it its just kindly later let lets
    like little loud louder low lower make man mate maybe medium midnight mind mins minutes moment
    morning need needed needs night ninety noon now oclock oh okay once onto opened opens ours
    past percent pick place places playback plus pm pretty put quarter quarters quick quickly
    quiet raise really right rooms run running saturday sec seconds secs seventy should shut
    silence sir sixty skip so some song songs soon sound sounds straight sunday sure sweetie
    take takes thank thanks thats them these thirty this those tonight twice uh um unbolt
    unbolted unlatch unlatched unlocked unlocking until us using wait wanna want wanted warm
    warmer way we well whole will would yeah
"""
# Words of GENERIC that name rooms and things too: "the music room", "the red door".
_NAMING = """
    music radio radios stereo stereos switch switches outlet outlets heat bulb bulbs shade shades
    shutter shutters scene scenes
"""


def list_unknown_words(text: str, home: Home) -> list[str]:
    """Returns the words of a command that are neither names of the home nor words that dangerous
    commands need."""
    words = list_words(mark_names(text, home).text)
    return [word for word in words if word not in _SYMBOLS and word.casefold() not in _KNOWN]


def _known() -> frozenset[str]:
    single = {part for word in GENERIC for part in word.split()}
    naming = {*_NAMING.split(), *MUSIC, *(part for each in COLOURS for part in each.split("_"))}
    return frozenset((single - naming) | set(_SAID.split()))


_SYMBOLS = frozenset(PLACE_SYMBOLS + DEVICE_SYMBOLS)
_KNOWN = _known()
