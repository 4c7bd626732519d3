"""Ways to ask televisions and speakers."""

from __future__ import annotations

from random import Random

from training.actions import Action
from training.spoken import Said, highest, number, percentage, silent
from training.vocabulary import MUSIC

LOUDER = (
    "turn up {target}", "turn {target} up", "make {target} (louder|less quiet)",
    "(raise|increase|turn up|boost) the volume (of|on|for) {target}", "volume up on {target}",
    "{target} (louder|up|volume up)", "i (can not|can't|cannot) hear {target}",
    "{target} is too quiet",
    "(raise|increase|turn up) {target} (volume|sound)", "turn {target} volume up",
    "turn the volume (of|on) {target} up",
    "(raise|increase) {target}", "{target} is not loud enough",
)  # fmt: skip
QUIETER = (
    "turn down {target}", "turn {target} down", "make {target} (quieter|softer|less loud)",
    "(lower|reduce|decrease|turn down|cut) the volume (of|on|for) {target}",
    "volume down on {target}",
    "{target} (quieter|softer|down|volume down)", "{target} is too loud",
    "(lower|reduce|decrease|turn down) {target} (volume|sound)",
    "turn {target} volume down", "turn the volume (of|on) {target} down",
    "(lower|decrease|reduce) {target}", "{target} is way too loud",
)  # fmt: skip
VOLUME = (
    "(set|turn|put) {target} to volume {value}",
    "(set|change|put|turn) {target} volume (to|at) {value}",
    "(set|change|put|turn) the volume (of|on) {target} (to|at) {value}",
    "turn (up|down) {target} to {value}",
    "{target} volume {value}",
    "(raise|lower|turn|increase|decrease|reduce) the volume (of|on) {target} to {value}",
    "volume {value} on {target}", "turn (up|down) the volume (of|on) {target} to {value}",
    "turn {target} (up|down) to {value}",
    "turn (up|down) the volume to {value} on {target}",
    "turn the volume (up|down) to {value} on {target}",
    "(set|turn) the volume to {value} on {target}", "volume of {target} (to|at) {value}",
    "turn {target} volume (up|down) to {value}",
)  # fmt: skip
VOLUME_WORDS = (
    "(set|turn|put|change) {target} volume to {value}",
    "(set|turn|put) the volume (of|on) {target} (to|at) {value}",
    "(turn|set) {target} to {value} volume", "{target} {value} volume",
)  # fmt: skip
HOW_LOUD = (
    "how loud (is|are) {target}", "what is the volume (of|on|level of) {target}",
    "what volume (is|are) {target} (at|set to)", "tell me the volume of {target}",
    "(check|read) the volume of {target}",
    "what is {target} volume", "how (quiet|loud) is {target} now",
)  # fmt: skip
PAUSE = (
    "pause {target}",
    "(hold|freeze) {target}",
    "put {target} on (pause|hold)",
    "pause playback on {target}",
)
RESUME = (
    "(resume|unpause|continue) {target}", "(resume|continue|unpause) playback on {target}",
    "(play|continue|go on with) {target} again",
    "keep playing on {target}",
)  # fmt: skip
NEXT = (
    "(next|skip) (song|track|item|one) on {target}", "play the next (song|track|one) on {target}",
    "skip {target}",
    "{target} (next|skip) (song|track)",
    "(skip|go|move) to the next (song|track|item|one) on {target}", "{target} next",
    "skip (this|the) (song|track) on {target}", "on {target} (play|go to) the next (song|track)",
)  # fmt: skip
PREVIOUS = (
    "(previous|last) (song|track|item) on {target}",
    "play the (previous|last) (song|track) (again|) on {target}",
    "go back to the (previous|last) (song|track) on {target}", "{target} previous (song|track|)",
    "replay the last (song|track) on {target}",
    "{target} (play|replay|go back to) the (previous|last) (song|track)",
    "go back (one|a) (song|track) on {target}",
)  # fmt: skip
STOP = (
    "stop (playing|playback|the music|the song) on {target}", "{target} stop playing",
    "stop playback (of|on) {target}",
)  # fmt: skip
MUTE = (
    "mute {target}", "silence {target}", "(take|turn) the sound off {target}",
    "mute the sound (of|on) {target}",
    "no sound on {target}", "{target} mute", "put {target} on mute",
    "turn off the sound (of|on) {target}", "mute the volume on {target}",
)  # fmt: skip
UNMUTE = (
    "unmute {target}", "turn the sound (of|on) {target} (back|) on", "{target} unmute",
    "sound (back|) on {target}",
    "(turn|switch|bring) back the sound (of|on) {target}", "take {target} off mute",
)  # fmt: skip


def _channel(random: Random) -> Said:
    channel = random.randint(1, 99)
    return Said(number(random, channel), str(channel))


def _genre(random: Random) -> Said:
    genre = random.choice(MUSIC)
    return Said(genre, genre)


def _player(device: str) -> tuple[Action, ...]:
    return (
        Action(device, "volume={value}", "level", VOLUME, percentage),
        Action(device, "volume={value}", "level", VOLUME_WORDS, highest),
        Action(device, "volume=up", "step", LOUDER),
        Action(device, "volume=down", "step", QUIETER),
        Action(device, "volume?", "question", HOW_LOUD),
        Action(device, "pause", "media", PAUSE),
        Action(device, "resume", "media", RESUME),
        Action(device, "stop", "media", STOP),
        Action(device, "next", "media", NEXT),
        Action(device, "previous", "media", PREVIOUS),
        Action(device, "mute", "media", MUTE),
        Action(device, "unmute", "media", UNMUTE),
    )


TV = (
    *_player("tv"),
    Action("tv", "channel={value}", "level", (
        "(put|switch|set|turn|change|tune) {target} to channel {value}",
        "channel {value} on {target}",
        "put channel {value} on {target}", "{target} channel {value}",
        "(turn|switch|put) on channel {value} {where}",
        "(go|switch|change|turn) to channel {value} {where}",
        "turn on {target} (on|to) channel {value}", "(watch|show) channel {value} {where}",
        "(change|set|switch) the channel {where} to {value}",
        "(change|set|switch) the channel (of|on) {target} to {value}",
        "turn {target} on (to|on) channel {value}", "channel {value} {where}",
        "i want to watch channel {value} {where}",
    ), _channel),
    Action("tv", "channel=up", "step", (
        "channel up {where}", "(next|one up) channel {where}", "next channel on {target}",
        "{target} (channel up|next channel)", "go up (a|one) channel {where}",
        "(go|switch|change) to the next channel {where}",
    )),
    Action("tv", "channel=down", "step", (
        "channel down {where}", "previous channel {where}", "previous channel on {target}",
        "{target} (channel down|previous channel)",
        "go (down|back) (a|one) channel {where}",
        "(go|switch) (back|) to the (previous|last) channel {where}",
    )),
)  # fmt: skip

SPEAKER = (
    *_player("speaker"),
    Action("speaker", "volume={value}", "level", (
        "(set|change|turn|put|raise|lower|increase|decrease) the volume {where} to {value}",
        "volume (to|at|) {value} {where}",
        "(set|change|turn|put|raise|lower) the {r}volume (to|at) {value}",
        "turn the volume (up|down) to {value} {where}",
        "turn (up|down) the volume to {value} {where}", "turn volume (up|down) to {value} {where}",
        "(set|use) {value} as the volume {where}",
        "{r}volume (to|at|) {value}", "i want the volume (at|to be) {value} {where}",
        "put the volume (at|on|to) {value} {where}",
        "(increase|raise|decrease|lower|turn up|turn down) the (volume|sound) of the music "
        "{where} to {value}",
        "(set|turn) the music {where} to {value}", "turn (up|down) the {r}volume to {value}",
        "make the volume {value} {where}",
        "turn it (up|down) to {value}",
    ), percentage),
    Action("speaker", "volume={value}", "level", (
        "(set|turn|put) the volume {where} to {value}",
        "(set|turn|put) the {r}volume (to|at) {value}", "{value} volume {where}",
        "volume (to|at) {value} {where}",
    ), highest),
    Action("speaker", "volume={value}", "level", (
        "(set|turn|put) the volume {where} to {value}",
        "(set|turn|put) the {r}volume (to|at) {value}",
        "volume (to|at) {value} {where}",
    ), silent),
    Action("speaker", "volume=up", "step", (
        "the (music|sound|volume) {where} is too (quiet|low|soft)",
        "(turn up|increase|raise|boost|up) the (volume|sound) {where}",
        "turn the (volume|sound) up {where}", "(volume|sound) up {where}",
        "(turn up|increase|raise) the {r}(volume|music|sound)",
        "turn the {r}(volume|music|sound) up", "{r}(volume|sound|music) (up|louder|increase)",
        "(louder|a bit louder|much louder) {where}",
        "(make it|make that|play it|i want it) (louder|a bit louder) {where}",
        "turn it up {where}", "(it is|it's|that is) (too|so) quiet {where}",
        "turn up the (music|volume|sound) {where}",
        "(increase|raise|turn up) the volume (a little|a bit|more|some) {where}",
        "i (can not|can't|cannot) hear (you|it|the music|anything) {where}",
        "(raise|increase) your (volume|voice) {where}",
        "turn (up your volume|your volume up|up your speaker|your speaker up|your speaker volume "
        "up)",
        "more volume {where}",
        "(turn up|increase|raise) the volume (of|on|for) your speaker",
        "volume (increase|higher|louder) {where}", "speak up",
    )),
    Action("speaker", "volume=down", "step", (
        "the (music|sound|volume) {where} is too (loud|high)",
        "(turn down|decrease|lower|reduce|cut|cut down|bring down) the (volume|sound|noise|tone) "
        "{where}",
        "turn the (volume|sound) down {where}", "(volume|sound) down {where}",
        "(turn down|decrease|lower|reduce) the {r}(volume|music|sound)",
        "turn the {r}(volume|music|sound) down", "{r}(volume|sound|music) (down|quieter|decrease)",
        "(quieter|softer|a bit quieter) {where}",
        "(make it|make that|play it|i want it) (quieter|softer|a bit quieter) {where}",
        "turn it down {where}", "(it is|it's|its|that is) (too|so|way too) loud {where}",
        "turn down the (music|volume|sound) {where}",
        "(decrease|lower|turn down) the volume (a little|a bit|more|some) {where}",
        "not so loud {where}", "(lower|decrease|reduce) your (volume|voice) {where}",
        "you are too loud", "less volume {where}",
        "turn (down your volume|your volume down|down your speaker|your speaker down|your "
        "speaker volume down)",
        "volume (decrease|lower) {where}",
    )),
    Action("speaker", "volume?", "question", (
        "what is the volume {where}", "how loud is (it|the music) {where}",
        "what is the {r}volume", "tell me the volume {where}",
        "what volume is it {where}",
    )),
    Action("speaker", "play={value}", "media", (
        "play {value} {where}",
        "play (some|a bit of|a little|me some|me something|something) {value} {where}",
        "put on (some|a little) {value} {where}", "play {value} (songs|music|tunes) {where}",
        "play (some|me some|the|me) {value} (music|songs) {where}",
        "i (want|would like|like|wish|need|love) to (hear|listen to|play) (some|) {value} "
        "(music|songs|) {where}",
        "play {value} on {target}", "i want (some|) {value} (music|) {where}",
        "play (some|) {value} music on {target}",
        "{value} music {where}", "(let us|let me|let's) (hear|listen to) (some|) {value} {where}",
        "(start|turn on|put on) (some|the|) {value} (music|) {where}",
        "i am in the mood for (some|) {value} {where}",
        "(switch|change) the music {where} to {value}", "some {value} {where}",
        "give me (some|) {value} {where}", "i feel like (some|listening to) {value} {where}",
    ), _genre),
    Action("speaker", "on", "switch", (
        "(turn|switch|put) on the {r}music", "(turn|switch|put) the {r}music on",
        "(turn|switch|put) on the music {where}",
        "(turn|switch|put) the music on {where}", "{r}music on", "music on {where}",
        "play (some|the|a little|) music {where}",
        "i want to (listen to|hear) (some|the|) (music|radio|the radio) {where}",
        "start the music {where}", "play the radio {where}", "put some music on {where}",
        "(i want|let us hear|give me) (some|) music {where}",
        "(play|put on) (a song|some songs|some tunes) {where}",
    )),
    Action("speaker", "off", "switch", (
        "(turn|switch|shut|put) off the {r}music", "(turn|switch|put) the {r}music off",
        "(turn|switch|shut) off the music {where}",
        "(turn|switch|put) the music off {where}", "{r}music off", "music off {where}",
        "no (more|) music {where}",
    )),
    Action("speaker", "pause", "media", (
        "pause the (music|song|track|radio) {where}", "hold the music {where}",
        "pause (playback|music|the playback) {where}", "pause {where}",
        "pause the {r}(music|song|media)",
        "pause (this song|this track|the media|the player) {where}",
        "take a break from the music {where}",
    )),
    Action("speaker", "stop", "media", (
        "stop (the music|playing|the song|playback|music|playing music) {where}",
        "stop the {r}(music|song|media)",
        "(end|quit|stop) (the playback|the track) {where}",
    )),
    Action("speaker", "resume", "media", (
        "(resume|unpause|continue) the (music|song|track|playback) {where}",
        "(resume|unpause|continue) (playing|playback|music) {where}",
        "(resume|continue|unpause) the {r}music", "keep playing {where}",
        "play the music again {where}", "go on playing {where}",
        "(resume|unpause) {where}", "continue (with|) the (song|music) {where}",
    )),
    Action("speaker", "next", "media", (
        "(next|skip) (song|track|item|music|one) {where}",
        "skip (this song|this track|the song|this|this one|song|the track) {where}",
        "play the next (song|track|one|item) {where}",
        "(skip|go|move|jump|forward) to the next (song|track|one) {where}", "skip {where}",
        "(move|go|skip) forward (one|a) (song|track) {where}",
        "i (don't|do not) (like|want to hear) this (song|one|track) {where}",
        "(go to|give me) the next (song|track) (and play it|) {where}", "next {where}",
        "skip to the next {where}", "another song {where}",
    )),
    Action("speaker", "previous", "media", (
        "(previous|last) (song|track|item) {where}",
        "play the (previous|last) (song|track) (again|) {where}",
        "(play|replay) that (song|track) again {where}",
        "go back (one song|a song|to the previous song|to the last track|one track|to the last "
        "song) {where}",
        "replay the (previous|last) (song|track) {where}",
        "(replay|repeat) (the song|the last song|the track) {where}", "skip back {where}",
        "go back {where}", "previous {where}", "replay {where}",
    )),
    Action("speaker", "mute", "media", (
        "mute {where}", "mute (it|the music|the sound|the volume) {where}", "silence {where}",
        "turn off the (sound|volume) {where}",
        "(be quiet|quiet|silence please) {where}", "sound off {where}",
        "mute the {r}(music|volume|sound)",
    )),
    Action("speaker", "unmute", "media", (
        "unmute {where}", "unmute (it|the music|the sound|the volume) {where}", "sound on {where}",
        "turn the sound (back|) on {where}",
        "turn on the (sound|volume) {where}", "unmute the {r}(music|volume|sound)",
    )),
)  # fmt: skip
