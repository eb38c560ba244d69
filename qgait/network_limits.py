"""How large a network may be: more is not a gait network, and would take all memory there is."""

LARGEST = 2**26  # codes of one tensor
LONGEST = 2**10  # frames that the shortest clip is repeated to
