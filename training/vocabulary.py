"""The words of the home: rooms, devices, colours, and things that no home of ours has."""

from __future__ import annotations

from typing import NamedTuple

# What an action line calls a room, and the names that people give it.
ROOMS: dict[str, tuple[str, ...]] = {
    "kitchen": ("kitchen",),
    "bedroom": ("bedroom", "master bedroom"),
    "living_room": ("living room", "lounge", "sitting room"),
    "bathroom": ("bathroom", "washroom"),
    "hallway": ("hallway", "hall", "corridor"),
    "garage": ("garage",),
    "office": ("office", "study"),
    "dining_room": ("dining room",),
    "garden": ("garden", "backyard", "yard"),
    "basement": ("basement", "cellar"),
    "attic": ("attic", "loft"),
    "nursery": ("nursery", "kids room", "baby room"),
    "guest_room": ("guest room", "spare room"),
    "laundry": ("laundry", "laundry room", "utility room"),
}
ALL, HERE = "all", "here"  # every room, and the room that the speaker is in


class Nouns(NamedTuple):
    """Names of one kind of device."""

    singular: tuple[str, ...]
    plural: tuple[str, ...]


DEVICES: dict[str, Nouns] = {
    "light": Nouns(("light", "lamp"), ("lights", "lamps")),
    "fan": Nouns(("fan", "ceiling fan"), ("fans",)),
    "blinds": Nouns(("blind", "shade", "curtain"), ("blinds", "shades", "curtains")),
    "heating": Nouns(("heating", "heater", "thermostat", "radiator"), ("heaters", "radiators")),
    "ac": Nouns(("ac", "air conditioner", "air conditioning"), ("air conditioners",)),
    "tv": Nouns(("tv", "television", "telly"), ("tvs", "televisions")),
    "speaker": Nouns(("speaker", "stereo", "radio"), ("speakers",)),
    "plug": Nouns(("plug", "socket", "outlet"), ("plugs", "sockets", "outlets")),
    "lock": Nouns(("door",), ("doors",)),
    "vacuum": Nouns(("vacuum", "robot vacuum", "vacuum cleaner"), ("vacuums",)),
}

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "green": ("green",),
    "blue": ("blue",),
    "yellow": ("yellow",),
    "orange": ("orange",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
    "warm_white": ("warm white", "soft white"),
    "cool_white": ("cool white", "daylight"),
    "turquoise": ("turquoise", "teal"),
    "gold": ("gold", "golden"),
}

MUSIC = (
    "jazz", "rock", "pop", "classical", "blues", "folk", "country", "techno", "reggae", "soul",
    "disco", "opera", "metal", "lullabies",
)  # fmt: skip

FAN_SPEEDS: dict[str, tuple[str, ...]] = {
    "low": ("low", "slow"),
    "medium": ("medium",),
    "high": ("high", "fast"),
}

SCENES: dict[str, tuple[str, ...]] = {
    "movie": ("movie", "movie night", "cinema"),
    "night": ("night", "bedtime", "sleep"),
    "morning": ("morning", "wake up"),
    "dinner": ("dinner",),
    "party": ("party", "disco"),
    "reading": ("reading",),
    "relax": ("relax", "relaxing", "chill"),
    "work": ("work", "focus"),
    "away": ("away", "vacation", "holiday"),
    "home": ("home", "welcome home"),
    "romantic": ("romantic", "date night"),
    "cleaning": ("cleaning",),
}

# What people say instead of naming a scene.
SCENE_SAYINGS: dict[str, tuple[str, ...]] = {
    "movie": ("we are watching a movie", "let us watch a film"),
    "night": ("good night", "i am going to bed", "time to sleep", "i am going to sleep"),
    "morning": ("good morning", "i am awake", "i just woke up"),
    "dinner": ("dinner is ready", "we are having dinner", "time to eat"),
    "party": ("let us party", "it is party time", "the guests are here"),
    "reading": ("i want to read", "i am going to read a book"),
    "relax": ("i want to relax", "i need to relax"),
    "work": ("i need to concentrate", "i am starting work", "time to work"),
    "away": ("i am leaving", "we are leaving", "i am going out", "goodbye", "we are going away"),
    "home": ("i am home", "we are home", "i am back", "we are back"),
    "romantic": ("set a romantic mood",),
    "cleaning": ("i am going to clean", "time to clean up"),
}

TIMERS = (
    "pasta", "pizza", "egg", "tea", "oven", "cake", "bread", "rice", "laundry", "workout", "nap",
    "coffee", "chicken", "homework", "cookie", "potato",
)  # fmt: skip

# Things that can be asked for and are none of the devices above.
STRANGE_THINGS = (
    "dishwasher", "oven", "microwave", "toaster", "kettle", "fridge", "freezer", "printer",
    "sprinkler", "fountain", "car", "bike", "boat", "train", "rocket", "spaceship", "robot",
    "elephant", "dog", "cat", "dragon", "unicorn", "washing machine", "dryer", "computer",
    "laptop", "phone", "camera", "alarm system", "piano", "guitar", "drum", "aquarium", "pool",
    "hot tub", "sauna", "fireplace", "stove", "grill", "blender", "mixer", "coffee machine",
    "ice maker", "water", "shower", "bath", "sink", "toilet", "mirror", "table", "chair", "sofa",
    "couch", "bed", "pillow", "carpet", "wall", "roof", "chimney", "ladder", "hammer", "drill",
    "lawn mower", "tractor", "telescope", "clock", "calendar", "doorbell", "mailbox", "hedge",
    "tree", "moon", "sun", "internet", "router", "game console", "treadmill", "sewing machine",
    "typewriter", "time machine", "volcano", "helicopter", "gate", "projector", "candle",
)  # fmt: skip

STRANGE_PLACES = (
    "castle", "school", "submarine", "church", "airport", "library", "forest", "desert", "museum",
    "hospital", "shop", "restaurant", "stadium", "cave", "tower", "prison", "theater", "hotel",
    "shed", "barn", "palace", "factory", "bank", "zoo", "park", "station", "tunnel", "bakery",
    "supermarket", "swimming pool", "neighbour's house", "spaceship", "igloo", "tent", "cinema",
)  # fmt: skip

COUNTRIES = (
    "france", "germany", "spain", "italy", "japan", "china", "india", "brazil", "canada", "peru",
    "kenya", "egypt", "norway", "sweden", "poland", "greece", "turkey", "mexico", "chile",
    "iceland", "london", "paris", "berlin", "rome", "tokyo", "madrid", "new york", "sydney",
)  # fmt: skip

PEOPLE = (
    "mom", "dad", "grandma", "my sister", "my brother", "anna", "peter", "john", "maria",
    "the boss",
    "the doctor", "my wife", "my husband", "the neighbour", "emma", "lucas", "the president",
    "the plumber", "uncle bob", "shakespeare", "napoleon", "einstein", "the teacher",
)  # fmt: skip

FOODS = (
    "pizza", "pasta", "sushi", "bread", "milk", "eggs", "cheese", "apples", "bananas", "coffee",
    "tea", "rice", "soup", "salad", "chicken", "fish", "chocolate", "ice cream", "cake", "butter",
    "potatoes", "onions", "beer", "wine", "orange juice", "toilet paper", "cookies", "noodles",
)  # fmt: skip

STRANGE_VERBS = (
    "eat", "sell", "buy", "paint", "repair", "fix", "photograph", "throw away", "wash", "hide",
    "burn", "draw", "steal", "weigh", "measure", "wrap", "bake", "drink", "marry", "insult",
    "teach", "polish", "break", "explain", "rename", "return", "lick", "phone", "bury", "forget",
)  # fmt: skip

TOPICS = (
    "the news", "a joke", "a story", "a poem", "a riddle", "something", "a secret", "a fun fact",
    "the football score", "the stock market", "politics", "history", "the traffic", "my emails",
    "my messages", "my horoscope", "the lottery numbers", "a recipe", "the meaning of life",
)  # fmt: skip
