"""Ways to ask for timers, alarms and scenes, and for all devices of a place at once."""

TIMER_STARTS = (
    "(set|start|create|make|set up|begin) a {name}timer for {value}", "{name}timer for {value}",
    "time {value}{for_name}", "timer {value}{for_name}",
    "(set|start|set up) the {name}timer (to|for|at) {value}", "give me a {name}timer of {value}",
    "(set|start) {name}timer (for|to|) {value}",
    "a {name}timer for {value}", "count down {value}{for_name}", "new {name}timer {value}",
    "(set|start|create|set up) a {value} {name}timer",
    "{value} {name}timer", "a {value} {name}timer", "(set|start) a {value} timer{for_name}",
    "(set|start) a timer for {value}{for_name}",
    "i (need|want) a {name}timer (for|of) {value}",
    "set a {name}timer to (go off|ring|end) in {value}", "set a {name}timer for {value} from now",
    "let me know (when it has been|when it's been|in|after) {value}{for_name}",
    "the {name}timer should (be|run for|have) {value}",
    "start (a|the) countdown (of|for) {value}{for_name}",
    "tell me when {value} (are over|have passed|are up)", "start timing {value}{for_name}",
    "set {value} on the {name}timer", "{value} timer{for_name}", "add a {name}timer for {value}",
    "put {value} on the {name}timer", "can i have a {name}timer for {value}",
)  # fmt: skip
TIMER_CALLED = (
    "(set|start|) (a|) timer for {value} (called|named) {bare}",
    "(set|start|) (a|) timer (called|named) {bare} for {value}",
    "(a|) {value} timer (called|named|for) {bare}",
    "set a {value} timer for (the|my|) {bare}", "timer for {bare} {value}",
    "set (a|the) timer for (the|) {bare} (to|for) {value}", "start {bare} timer for {value}",
)  # fmt: skip
TIMER_CANCELS = (
    "(cancel|stop|delete|end|remove|clear|kill) (the|my) {name}timer", "turn off the {name}timer",
    "no more {name}timer", "stop (timing|the countdown){for_name}",
    "forget the {name}timer", "(cancel|stop|delete) {name}timer", "{name}timer (off|stop|cancel)",
    "(stop|cancel) (my|the) timer{for_name}",
)  # fmt: skip
TIMER_QUESTIONS = (
    "how (long|much time|many minutes) (is|are|) left on (the|my|) {name}timer",
    "how much (longer|time) (on|for|is on|does) (the|my) {name}timer (have|)",
    "how long until (the|my) {name}timer (ends|rings|is done|goes off)",
    "(time|what time is|how much) left on (the|my) {name}timer", "{name}timer status",
    "check (the|my) {name}timer", "when does (the|my) {name}timer (end|ring|go off)",
    "(status|state) of (the|my|) {name}timer", "what is the status of (the|my) {name}timer",
    "is (the|my) {name}timer (done|still running|running)",
    "how is (the|my) {name}timer (doing|going)", "what is left on (the|my) {name}timer",
    "how long (is|) left on {name}timer",
    "status of my {name}timers", "tell me how (much time|long) is left on (the|my) {name}timer",
    "remaining time (on|of) the {name}timer", "show me the {name}timer",
)  # fmt: skip
TIMER_CHANGES = {
    "pause": ("(pause|hold) (the|my|) {name}timer", "put the {name}timer on hold"),
    "resume": (
        "(resume|continue|unpause|restart) (the|my|) {name}timer", "let the {name}timer go on",
    ),
    "add={value}": (
        "add {value} to (the|my|) {name}timer", "{value} more on the {name}timer",
        "(increase|extend|prolong) (the|my) {name}timer by {value}",
        "give the {name}timer {value} more",
    ),
    "remove={value}": (
        "(take|remove) {value} (off|from) (the|my) {name}timer", "{value} less on the {name}timer",
        "(decrease|shorten|reduce) (the|my) {name}timer by {value}",
    ),
}  # fmt: skip
ALL_TIMERS = {
    "cancel": (
        "(cancel|stop|delete|clear|remove) all (the|my|of my|) timers", "no more timers",
        "(cancel|stop|end) every timer",
    ),
    "pause": ("pause all (my|the|) timers", "pause every timer"),
    "resume": ("(resume|continue|unpause) all (my|the|) timers",),
}  # fmt: skip
ALARM_STARTS = (
    "wake me (up|) at {value}",
    "(set|create|make|add|put|start|give me|set up|schedule) (an|my|a new|a wake up) alarm "
    "(for|at) {value}",
    "(set|put) (the|my|an|) alarm (to|for|at) {value}",
    "alarm (at|for) {value}", "i (need|have|want) to (wake|get|be) up at {value}", "{value} alarm",
    "set a {value} alarm", "(get|wake) me (up|out of bed) at {value}",
    "i need an alarm (at|for|set for|set at) {value}",
    "i (want|would like|need) (an|a wake up|my) alarm (for|at) {value}", "(set|put) alarm {value}",
    "make sure i am up (at|by) {value}",
    "please wake me (up|) (by|for|at) {value}", "(can|could) you wake me (up|) at {value}",
    "set (a|my) wake up call for {value}", "i must be up (at|by) {value}", "alarm {value}",
    "my alarm should (ring|be|go off) at {value}", "have my alarm go off at {value}",
    "turn on (an|the|my) alarm for {value}", "set the alarm clock (for|to) {value}",
    "get my alarm ready for {value}",
)  # fmt: skip
ALARMS_TOGETHER = (
    "(set|create|add|make|i need|i want|give me) (alarms|alarm|an alarm) (for|at) (both|) "
    "{first} and {second}",
    "wake me (up|) at {first} and (again|) (at|) {second}",
    "(set|create|add) (an|one) alarm (for|at) {first} and (one|another|another one|one more|a "
    "second one) (for|at) {second}",
    "alarms (at|for) {first} and {second}",
    "i (need|want|would like) (alarms|an alarm|an alarm set|alarms set) (for|at) (both|) {first} "
    "and {second}",
    "(set|add) two alarms (for|at|one for) {first} and {second}",
)  # fmt: skip
ALARM_CANCELS = (
    "(cancel|delete|remove|clear|disable|deactivate|erase) (my|the|all|all my|any|) "
    "(alarm|alarms)",
    "turn off (my|the) (alarm|alarms)", "no (alarm|alarms)", "switch off (my|the) alarm",
    "forget (the|my) alarm", "i (do not|don't) need (the|my|an) alarm",
    "get rid of (my|the) (alarm|alarms)", "i no longer need (my|the|an) alarm",
)  # fmt: skip
ALARM_CANCELS_AT = (
    "(cancel|delete|remove|turn off|disable) (my|the) {value} alarm",
    "(cancel|delete|remove|turn off|disable) (my|the) alarm (at|for) {value}",
)  # fmt: skip
ALARM_STOPS = (
    "stop (the|my) alarm",
    "stop ringing",
    "(silence|quiet) (the|my) alarm",
    "alarm stop",
    "dismiss (the|my) alarm",
)
ALARM_SNOOZES = (
    "snooze",
    "snooze (the|my) alarm",
    "hit snooze",
    "let me sleep a bit longer",
    "(give me|) five more minutes of sleep",
)
ALARM_SNOOZES_FOR = (
    "snooze (the|my) alarm for {value}",
    "snooze for {value}",
    "let me sleep {value} longer",
    "{value} more sleep",
)
ALARM_QUESTIONS = (
    "when is (my|the|my next|the next) alarm",
    "what time is (my|the|my next) alarm (set for|set to|set|at|going off|)",
    "is (my|the|an|any) alarm (on|set)", "do i have (an|any) (alarm|alarms) (set|on|)",
    "when do you wake me up",
    "(check|show|show me|tell me|list|read|confirm|what are|read me|give me) (my|the|all my) "
    "(alarm|alarms|alarm settings|alarm times)",
    "(what|which|are there any|are any) alarms (are|) (set|on|currently set|active)",
    "when (does|will|is) (my|the) alarm (go off|ring|going to ring)",
    "(what|which) alarms do i have (set|right now|)",
    "(at|) what time (have you|did you|did i) set (my|the|) alarm (for me|)",
    "show me (the|my) alarms (i have|that are) set",
    "what time (will|do) (you|i) wake (me|) up", "how many alarms do i have",
    "tell me when my alarm is", "what alarms", "is there an alarm (set|)",
)  # fmt: skip
SCENE_STARTS = (
    "(activate|start|run|set|turn on|play|enable) the {name} scene",
    "(set|switch to|turn on|activate|enable|start|change to|go to|transition to|begin) {name} "
    "mode",
    "{name} scene",
    "(start|activate) {name}", "{name} mode (please|on|)", "set the scene (to|for) {name}",
    "turn {name} mode on", "switch {name} mode on", "(activate|start|run) {name} scene",
    "i want the {name} scene", "change (the scene|) to {name} mode", "turn {name} scene on",
    "put the house in {name} mode", "(change|switch) to the {name} scene", "turn on scene {name}",
    "get the house ready for {name}", "(set up|prepare) the {name} scene",
    "(i want|give me) {name} mode", "{name} time (mode|)", "set (the house|it) to {name} (mode|)",
    "make it {name} mode",
    "{name} lights and music", "(put|set) on {name} mode", "scene {name}",
)  # fmt: skip
EVERYTHING = {
    "off": (
        "(turn|switch|shut) off everything {where}", "(turn|switch|shut) everything off {where}",
        "everything off {where}", "(shut|power) down everything {where}",
        "(turn|switch|shut) it all off {where}",
        "(turn|switch) all (devices|the devices|appliances|things) off {where}",
        "(turn|switch) off all (devices|the devices|of the devices|appliances) {where}",
        "kill everything {where}",
        "all off {where}", "(power|shut) everything down {where}", "disable everything {where}",
        "turn (off|) every device (off|) {where}",
    ),
    "on": (
        "(turn|switch) on everything {where}", "(turn|switch) everything on {where}",
        "everything on {where}", "(turn|switch) all (devices|the devices|appliances) on {where}",
        "power up everything {where}",
        "(turn|switch) on all (devices|the devices|appliances) {where}",
        "activate everything {where}",
    ),
}  # fmt: skip
