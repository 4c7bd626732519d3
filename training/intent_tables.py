"""Maps Home Assistant's intents, domains and slots to action lines, with weights."""

from host.grammar.action_lines import UNKNOWN

OTHER_SHARE = 0.15  # fraction of places and names that the home lacks
COVERS = {
    "blind": "blinds",
    "curtain": "blinds",
    "shade": "blinds",
    "shutter": "blinds",
    "gate": "gate",
}
KINDS = {  # that Home Assistant's domains are
    "light": ("light",),
    "switch": ("plug",),
    "fan": ("fan",),
    "media_player": ("tv", "speaker"),
    "climate": ("heating", "ac"),
    "cover": ("blinds", "gate"),
    "lock": ("lock",),
    "vacuum": ("vacuum",),
    "scene": ("scene",),
}
OPENED = {
    "blinds": ("open", "close"),
    "gate": ("open", "close"),
    "lock": ("lock", "unlock"),
    "vacuum": ("start", "stop"),
}
VERBS = {
    "HassMediaPlayerMute": "mute",
    "HassMediaPlayerUnmute": "unmute",
    "HassMediaPause": "pause",
    "HassMediaUnpause": "resume",
    "HassMediaNext": "next",
    "HassMediaPrevious": "previous",
    "HassVacuumStart": "start",
    "HassVacuumCleanArea": "start",
    "HassVacuumReturnToBase": "dock",
    "HassGetState": "state?",
    "HassClimateGetTemperature": "temperature?",
}
MEANT = {  # the kind of device that is meant if none is named
    "HassLightSet": "light",
    "HassFanSetSpeed": "fan",
    "HassSetPosition": "blinds",
    "HassClimateSetTemperature": "heating",
    "HassClimateGetTemperature": "heating",
    "HassSetVolume": "speaker",
    "HassSetVolumeRelative": "speaker",
    "HassVacuumStart": "vacuum",
    "HassVacuumCleanArea": "vacuum",
    "HassVacuumReturnToBase": "vacuum",
    **{name: "speaker" for name in VERBS if name.startswith("HassMedia")},
}
TIMER_VERBS = {
    "HassStartTimer": "start=",
    "HassIncreaseTimer": "add=",
    "HassDecreaseTimer": "remove=",
    "HassPauseTimer": "pause",
    "HassUnpauseTimer": "resume",
    "HassCancelTimer": "cancel",
    "HassTimerStatus": "remaining?",
    "HassCancelAllTimers": "cancel",
}
# Intents are drawn by these weights; those for other assistants are rare.
WEIGHTS = {
    "HassTurnOn": 20,
    "HassTurnOff": 20,
    "HassLightSet": 14,
    "HassGetState": 12,
    "HassSetVolumeRelative": 5,
    "HassStartTimer": 7,
    "HassSetPosition": 5,
    "HassClimateSetTemperature": 5,
    "HassClimateGetTemperature": 4,
    "HassSetVolume": 5,
    "HassFanSetSpeed": 3,
    "HassMediaSearchAndPlay": 3,
    "HassMediaNext": 3,
    "HassMediaPrevious": 3,
    "HassTimerStatus": 3,
    "HassVacuumCleanArea": 3,
    "HassVacuumStart": 2,
}
COMMANDS = (
    ("turn off the lights", "light.here off"),
    ("turn on the fan", "fan.here on"),
    ("close the blinds", "blinds.here close"),
    ("open the curtains", "blinds.here open"),
    ("lock the @garage door", "lock.@garage lock"),
    ("turn off the @bedroom light", "light.@bedroom off"),
    ("turn on the @kitchen lights", "light.@kitchen on"),
    ("open the @garage door", UNKNOWN),
    ("open the garage door", UNKNOWN),
    ("turn off the tv", "tv.here off"),
    ("turn off the heating in the @office", "heating.@office off"),
    ("pause the music", UNKNOWN),
    ("turn off all the lights", "light.all off"),
    ("start the vacuum", "vacuum.here start"),
    ("turn off the @kitchen fan", "fan.@kitchen off"),
    ("call my mother", UNKNOWN),
    ("water the plants", UNKNOWN),
    ("turn on the oven", UNKNOWN),
    ("close the @bedroom blinds", "blinds.@bedroom close"),
    ("turn on @light1", "light.@light1 on"),
    ("turn off @plug1", "plug.@plug1 off"),
)
QUESTIONS = frozenset((
    "is", "are", "any", "some", "which", "what", "how", "do",
    "tell", "what's", "whats", "hows", "how's", "who", "where", "wheres",
    "where's",
))  # fmt: skip
IMPERATIVES = frozenset((
    "turn", "switch", "change", "bring", "set", "make", "increase", "decrease",
    "open", "raise", "lift", "close", "shut", "lower", "activate", "deactivate",
    "lock", "unlock", "play", "pause", "resume", "skip", "start", "stop",
    "vacuum", "clean", "mute", "unmute", "add", "remove", "cancel", "illuminate",
    "return", "adjust",
))  # fmt: skip
