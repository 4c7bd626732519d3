"""Ways to ask for things that move: blinds, door locks and vacuum cleaners."""

from __future__ import annotations

from training.actions import TOGGLE, Action
from training.spoken import percentage

BLINDS = (
    Action("blinds", "open", "switch", (
        "(open|raise|draw up|lift) {target}", "open (up|) {target}", "pull up {target}",
        "roll up {target}",
        "{target} (open|up)", "let the (sun|daylight|light) in {where}", "put {target} up",
        "(pull|roll|bring) {target} up",
        "i (want|need) {target} (open|opened)", "(open|raise) all of {target}",
        "let some (light|sun) in {where}",
    )),
    Action("blinds", "close", "switch", (
        "(close|shut|lower|draw) {target}", "(close|shut) {target}",
        "(pull|roll|bring|put) down {target}", "{target} (closed|down|shut|close)",
        "shut out the (sun|daylight) {where}", "i (want|need) {target} (closed|shut)",
        "(pull|roll|bring|put) {target} down", "shut {target} please",
        "close (up|) {target}", "block the sun {where}",
    )),
    Action("blinds", "position={value}", "level", (
        "(set|move|put|open|close|change) {target} to {value}", "{target} (at|to) {value}",
        "open {target} {value}",
        "(raise|lower|pull up|roll down) {target} to {value}", "i want {target} at {value}",
        "(close|shut|lower) {target} to {value}",
        "set the position of {target} to {value}", "(open|close) {target} to {value}",
        "set {target} position to {value}", "{target} {value} open",
    ), percentage),
    Action("blinds", "position=up", "step", (
        "(raise|open) {target} (a bit|a little|slightly|some more|a bit more)",
        "{target} (a bit|a little) (higher|up)",
    )),
    Action("blinds", "position=down", "step", (
        "(lower|close) {target} (a bit|a little|slightly|some more|a bit more)",
        "{target} (a bit|a little) (lower|down)",
    )),
    Action("blinds", "stop", "switch", (
        "stop {target}", "(halt|hold|freeze) {target}",
        "stop (moving|adjusting|closing|opening|lowering|raising) {target}", "{target} stop",
    )),
    Action("blinds", "toggle", "toggle", TOGGLE),
    Action("blinds", "state?", "question", (
        "(is|are) {target} (open|closed|shut|open or closed|up|down)",
        "did (i|we) (open|close|shut) {target}", "(is|are) any of {target} (open|closed)",
        "(tell me|check|see|confirm) (if|whether|that) {target} (is|are) (open|closed)",
        "any {r}(curtains|blinds|shades) (open|closed)",
        "what is the (state|status) of {target}", "(check|check on) {target}",
        "are any (of the|) {r}(curtains|blinds|shades) (open|closed)",
        "are any (curtains|blinds|shades) (open|closed) {where}",
        "are all (the|my|) (curtains|blinds|shades) (open|closed) {where}",
        "which (curtains|blinds|shades) are (open|closed) {where}",
        "any (curtains|blinds) (open|closed) {where}",
    )),
    Action("blinds", "position?", "question", (
        "how far (is|are) {target} open", "what is the position of {target}",
        "tell me the position of {target}", "what position (is|are) {target} (in|at)",
        "how (open|closed|far open|far closed) (is|are) {target}",
    )),
)  # fmt: skip

LOCK = (
    Action("lock", "lock", "switch", (
        "lock {target}", "lock up {target}", "(bolt|secure|latch) {target}",
        "make sure {target} (is|are) (locked|secure)", "lock {target} (up|for me)",
        "lock {place}", "lock up {place}", "{target} (needs|need) (locking|to be locked)",
        "{target} should be (locked|locked now)",
        "i (need|want|would like) {target} (locked|to be locked)",
        "(set|change) {target} to locked", "ensure {target} (is|are) (securely|) locked",
        "(engage|activate) the {r}lock",
        "(engage|activate) (the|all the|) (lock|locks|door lock|door locks) {where}",
        "{target} (lock|locked)", "secure {place}",
        "close and lock {target}", "lock the (door|lock) {where}", "put the lock on {target}",
        "lock (all|all the) (locks|doors) {where}",
    )),
    Action("lock", "unlock", "switch", (
        "unlock {target}", "unbolt {target}", "take the lock off {target}",
        "i (want|need) {target} (unlocked|to be unlocked)", "unlock {place}",
        "{target} (needs|need|has) to be unlocked", "{target} should be unlocked",
        "(disengage|undo|open|release) the lock (of|on) {target}", "{target} unlock",
        "(set|change) {target} to unlocked", "unlock the (door|lock) {where}",
        "make sure {target} (is|are) unlocked", "unlatch {target}",
    )),
    Action("lock", "state?", "question", (
        "(is|are) {target} (locked|unlocked|currently locked|still locked|locked now|locked "
        "currently)",
        "did (i|we|someone) (lock|unlock) {target}",
        "(check|check on) {target}", "is {place} locked", "have (i|we) locked {target}",
        "(tell me|check|see|confirm|let me know) (if|whether|that) {target} (is|are) "
        "(locked|unlocked)",
        "did (i|we) lock up {place}",
        "what is the (state|status) of {target}", "what is the status of the {r}lock",
        "(is|are) any of {target} (locked|unlocked|open)",
        "are all (the|my|) doors (locked|unlocked) {where}", "are any doors unlocked {where}",
        "which doors are (locked|unlocked) {where}", "(confirm|check) {target} (is|are) locked",
    )),
)  # fmt: skip

VACUUM = (
    Action("vacuum", "start", "switch", (
        "(vacuum|hoover|clean|sweep) {place}", "(start|run|begin|launch) {target}",
        "(clean|vacuum|sweep) the floor {where}", "(activate|initiate|enable|engage) {target}",
        "start (vacuuming|hoovering|cleaning) {place}",
        "{place} (needs|need) (vacuuming|cleaning|to be cleaned|to be vacuumed|hoovering)",
        "(turn|switch) on {target}",
        "(get|let|have|tell|send) {target} to (clean|vacuum)", "(turn|switch) {target} on",
        "{target} (on|start)", "(start|begin) (vacuuming|hoovering|cleaning) {where}",
        "clean up {place}", "{place} is (dirty|a mess|pretty dirty|very dusty|dusty|filthy)",
        "{target} should be (activated|started|running)", "(vacuum|hoover) {where}",
        "(get|let|have|tell|send) the (roomba|robot|vacuum|robot vacuum) to (clean|vacuum|do) "
        "{place}",
        "clean {place} with the (roomba|vacuum|robot)",
        "time to (vacuum|clean|hoover) {place}", "start the {r}(cleanup|cleaning|vacuuming)",
        "(can|could) the (roomba|vacuum|robot) clean {place}", "(send|start) the roomba {where}",
        "do some (vacuuming|cleaning) {where}",
    )),
    Action("vacuum", "stop", "switch", (
        "stop (vacuuming|hoovering|cleaning) {place}", "(stop|halt|end) {target}",
        "(turn|switch|shut) off {target}", "(turn|switch) {target} off",
        "stop cleaning the floor {where}", "no more (vacuuming|cleaning) {where}",
        "{target} (off|stop)", "stop (vacuuming|hoovering|cleaning) {where}",
        "(deactivate|disable|cancel) {target}",
        "(tell|let|have|make) {target} (stop|stop cleaning)",
    )),
    Action("vacuum", "dock", "switch", (
        "(send|return|get|bring) {target} (home|to its base|back to base|to the base|to its "
        "dock|back to its dock|back)",
        "dock {target}",
        "(tell|let|have|make) {target} (go home|return to base|go back to its dock)",
        "{target} (go home|dock)",
        "return {target} to base", "{target} return to (base|dock)",
    )),
    Action("vacuum", "pause", "switch", (
        "pause {target}", "pause (vacuuming|hoovering|cleaning) {where}",
    )),
    Action("vacuum", "resume", "switch", (
        "(resume|continue|unpause) {target}",
        "(resume|continue) (vacuuming|hoovering|cleaning) {where}",
    )),
    Action("vacuum", "state?", "question", (
        "is {target} (running|done|finished|on|off|cleaning|still running|docked)",
        "did {target} (finish|clean)", "has {target} (finished|cleaned|started)",
        "(has|have) {place} been (vacuumed|cleaned|hoovered)",
        "what is the (state|status) of {target}", "(check|check on) {target}",
        "what is {target} doing", "is {place} clean",
    )),
)  # fmt: skip

GATE = (
    Action("gate", "open", "switch", (
        "open {target}", "open up {target}", "{target} open", "i (want|need) {target} open",
        "raise {target}",
    )),
    Action("gate", "close", "switch", (
        "(close|shut) {target}", "{target} (close|closed|shut)", "lower {target}",
        "i (want|need) {target} (closed|shut)",
    )),
    Action("gate", "stop", "switch", ("(stop|halt|hold) {target}", "{target} stop")),
    Action("gate", "state?", "question", (
        "(is|are) {target} (open|closed|shut)", "did (i|we) (close|shut|open) {target}",
        "(check|tell me) (if|whether) {target} (is|are) (open|closed)",
        "what is the (state|status) of {target}", "(check|check on) {target}",
    )),
)  # fmt: skip

SECURITY = (
    Action("security", "arm", "switch", (
        "(arm|activate|enable|engage) {target}", "(turn|switch) on {target}",
        "(turn|switch) {target} on", "{target} on", "set {target}",
    )),
    Action("security", "disarm", "switch", (
        "(disarm|deactivate|disable) {target}", "(turn|switch) off {target}",
        "(turn|switch) {target} off", "{target} off",
    )),
    Action("security", "state?", "question", (
        "is {target} (on|off|armed|disarmed|active)", "did (i|we) (arm|disarm|set) {target}",
        "(check|tell me) (if|whether) {target} is (on|armed)",
        "what is the (state|status) of {target}", "(check|check on) {target}",
    )),
)  # fmt: skip
