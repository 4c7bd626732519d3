"""Ways to name the devices and the places of a home."""
from training.vocabulary import ALL, HERE

# Ways to name a device: {room} a room, {one} and {many} the device's names.
NAMED = (
    "the {room} {one}", "the {room} {many}", "the {one} in the {room}", "the {many} in the {room}",
    "{room} {one}", "{room} {many}", "my {room} {one}", "the {one} of the {room}",
    "my {room} {many}",
    "the {many} in {room}", "the {one} in {room}", "{many} in the {room}", "{one} in the {room}",
    "{many} in {room}", "all the {many} in the {room}", "all the {many} in {room}",
    "all {room} {many}",
    "all the {room} {many}", "all {many} in the {room}", "every {one} in the {room}",
    "the {room}'s {one}",
    "each {one} in the {room}", "my {many} in the {room}", "the {one} in my {room}",
    "the {many} in our {room}",
    "our {room} {many}", "all of the {many} in the {room}", "the {room} {one}'s",
    "all my {room} {many}",
    "the {many} on the {room}", "the {one} on the {room}", "all {many} on the {room}",
    "every single {one} in {room}",
    "the {room}'s {many}", "{room}'s {one}", "the {many} at the {room}", "any {one} in the {room}",
    "the main {room} {one}", "the {many} in the main {room}",
)  # fmt: skip
EVERY = (
    "all the {many}", "all {many}", "every {one}", "the {many} everywhere", "each and every {one}",
    "every single {one}",
    "all the {many} in the house", "all of the {many}", "the {many} in every room",
    "all my {many}", "all our {many}",
    "the {many} in all rooms", "all {many} everywhere", "the {many} all over",
    "all {many} in the (house|home)",
    "every {one} in the (house|home|apartment|flat)", "each {one} in the house",
    "the {many} throughout the (house|home)",
    "the {many} in the (house|home|whole house|entire home|apartment|flat)",
    "all {many} throughout the (house|home|apartment)",
    "every single {one} in the (house|home)", "{many} everywhere", "the {many} in my (house|home)",
    "all (the|) {many} around the house",
    "each and every {one} everywhere", "the {one} everywhere", "the whole house {many}",
    "every {one} everywhere", "all {many} on all floors",
    "each and every {many}", "each and every {many} everywhere", "my {many} everywhere",
    "all of my {many}", "the house {many}", "house {many}", "all the house {many}",
    "the {many} in all of the house",
    "all {many} across every room", "all the {many} across the house",
    "{many} all over the (house|home|place)", "every {one} across the (house|home)",
)  # fmt: skip
NEAR = (
    "the {one}", "the {many}", "the {one}", "the {many}", "the {one} in here",
    "the {many} in here", "this {one}",
    "my {one}", "my {many}", "the {one} in this room", "the {many} in this room", "the {one} here",
    "the {many} here", "{many}", "{one}",
    "{many}", "{one}", "the {many} in the room", "{many} in here", "all the {many} in here",
    "all {many} in this room", "every {one} in here",
    "every {one} in this room", "each {one} in this room", "our {many}", "these {many}",
    "the {many} in my room", "all the {many} here",
    "each and every {one} in here", "every single {one} in this room",
    "each and every {one} in the room", "all {many} in the room", "all of the {many} in here",
)  # fmt: skip
OWN = (
    "the {own}",
    "the {own}",
    "{own}",
    "{own}",
    "my {own}",
    "the {own} in the {room}",
    "the {own} {one}",
)
TWO_ROOMS = (
    "the {room} and {other} {many}", "the {many} in the {room} and the {other}",
    "{many} in {room} and {other}",
    "the {room} and the {other} {many}", "the {many} in the {room} and {other}",
    "the {room} {one} and the {other} {one}",
    "both the {room} and {other} {many}", "{room} and {other} {many}",
)  # fmt: skip
TWO_DEVICES = (
    "the {one} and the {second} in the {room}", "the {room} {one} and {second}",
    "the {one} and {second} in the {room}", "the {room} {one} and the {second}",
    "both the {one} and the {second} in the {room}",
)  # fmt: skip
TWO_DEVICES_NEAR = (
    "the {one} and the {second}",
    "the {one} and {second}",
    "{one} and {second}",
    "both the {one} and the {second}",
)
WHERE = {
    ALL: (
        "everywhere", "in the whole house", "in every room", "in all rooms", "in the house",
        "throughout the house", "all over the house", "around the house",
    ),
    HERE: ("", "", "", "", "", "in here", "here", "in this room", "in the room"),
}  # fmt: skip
WHERE_NAMED = (
    "in the {room}",
    "in the {room}",
    "in the {room}",
    "in {room}",
    "in {room}",
    "in my {room}",
    "in our {room}",
    "on the {room}",
)
PLACE = {
    ALL: (
        "the whole house", "every room", "the house", "the home", "all rooms", "the entire house",
        "the entire home", "our entire home", "each room in the house", "my home", "the apartment",
    ),
    HERE: ("this room", "the room"),
}  # fmt: skip
PLACE_NAMED = (
    "the {room}",
    "the {room}",
    "the {room}",
    "{room}",
    "{room}",
    "my {room}",
    "our {room}",
)
