"""Seeds that once found something, kept for ever, and seeds that together make everything happen that must happen sometimes."""

FOUND = {
    0: "a step that was cancelled before its first line ran kept its slot for ever",
    5: "the back-off of a step ended while its run was being parked, and its body ran for nobody",
    1029: "a worker that had stood still began a step after its runs had gone to another",
    1139: "with small batches the intent of an at_most_once step was settled a transaction before its outcome, and the step ran twice",
    1223: "after the clock was set back a long back-off was waited for in memory, where there was no room for others",
    500421: "a worker whose life ended between the store's answer and its report kept a run of that life in its next one",
    700138: "a pause was withdrawn in the very commit that recorded a step, and the step began again",
    200000204: "the clock was set on, the intent of an at_most_once step's next try was written twice, and its body ran twice",
}
"""Seed -> what was wrong. A seed plays something else once the simulation itself has changed; it stays, for it costs half a second."""

COVER = (3001, 3003, 3005, 3015, 3051, 3055, 3056, 3080, 3085, 3086, 3098, 3099, 3100, 3104, 3114, 3117, 3125, 3128, 3143, 3150)
"""In these everything that must happen sometimes happens, most of it three times."""
